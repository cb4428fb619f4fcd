"""Generate the docs from evidence and docstrings: `python docs/build`. Then `zensical build` builds the site.

Writes the tables and pictures of README and docs, and the pages of mechanisms and systems.
"""

import sys
from pathlib import Path

import diagrams
import pages

from saccade.core.errors import SaccadeError

if __name__ == "__main__":
    root = Path(__file__).parents[2]
    try:
        changed = pages.write(root) + diagrams.draw(root / "docs" / "pictures")
    except SaccadeError as error:
        sys.exit(f"docs/build: {error}")
    sys.stdout.write(
        f"{len(changed)} files changed" + "".join(f"\n  {path.relative_to(root)}" for path in changed) + "\n"
    )
