"""The docs site builds from the pages that docs/build generates."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import diagrams
import pages
import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.compile(r"\]\((?:\.\./)*pictures/(shown-[\w.-]+)\)")
"""A link to a picture that a block of a page makes."""


@pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None, reason="zensical is not installed: pip install 'torch-saccade[docs]'"
)
def test_the_site_builds(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("README.md", "zensical.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    with pages.read_once():
        for path, content in pages.pages(ROOT):
            if (ROOT / "docs") in path.parents:
                target = tmp_path / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8")
        pages.draw(tmp_path, blocks=False)  # another test runs the blocks of all pages
    for link in (link for page in (tmp_path / "docs").rglob("*.md") for link in SHOWN.findall(page.read_text("utf-8"))):
        (tmp_path / "docs" / "pictures" / link).touch()
    diagrams.draw(tmp_path / "docs" / "pictures")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("index.html", "mechanisms/attention-additive/index.html", "systems/rnnsearch/index.html"):
        assert (tmp_path / "site" / page).stat().st_size > 1000
    front = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "<table>" in front
    for found in (tmp_path / "site").rglob("*.html"):
        if found.name == "404.html":  # served for any path, so its links start at the root of the site
            continue
        text = found.read_text(encoding="utf-8")
        for source in re.findall(r'<(?:img|iframe|script|link)\b[^>]*?\b(?:src|href)="([^"]+)"', text):
            assert not source.startswith(("http:", "https:", "//")), f"{found} loads {source} from a network"
            path = source.partition("#")[0].partition("?")[0]
            local = ("pictures/" in source or "assets/site" in source) and not path.endswith("/")  # not another page
            assert not local or (found.parent / path).is_file(), f"{found}: {source}"
    live = [path.stat().st_size for path in (tmp_path / "site" / "pictures").glob("live-*.html")]
    assert len(live) == 2
    assert max(live) <= 500_000


def test_the_readme_and_ci_run_the_same_suite() -> None:
    [command] = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("python3 -m venv")]
    assert command in (ROOT / "README.md").read_text()


def test_nothing_is_loaded_from_a_network() -> None:
    for name in ("site.css", "site.js"):
        text = (ROOT / "docs" / "assets" / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://|@import|url\(", text), name
    configuration = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert "font = false" in configuration
    assert not re.search(r"https?://", configuration)


def test_the_readme_shows_pictures_that_a_code_host_can_show() -> None:
    shown = re.findall(r'<img src="([^"]+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(shown) == 2
    assert all((ROOT / path).stat().st_size < 60_000 for path in shown)
