"""Puts the docs build, which is not part of the package, on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "build"))
