"""Examples in README and docs are executed: Python unchanged, `saccade` lines with `tiny`; tables equal evidence."""

import ast
import math
import re
import shlex
import shutil
from pathlib import Path

import pages
import pytest
from mechanisms import described

from saccade.runs import catalogue, ending
from tests.app.conftest import Command

ROOT = Path(__file__).parents[2]
PYTHON = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "guide").glob("*.md")])
PAGES += [catalogue.SYSTEMS / system / "README.md" for system in catalogue.names()]


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, "python")], ids=name)
def test_python_blocks_run_and_print_the_text_below_them(
    path: Path, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "RUN")
    scope: dict[str, object] = {}
    capsys.readouterr()
    for block, printed in PYTHON.findall(path.read_text(encoding="utf-8")):
        exec(compile(block, name(path), "exec"), scope)
        said = capsys.readouterr().out
        assert not printed or said == printed


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path, "sh")], ids=name)
def test_shell_lines_run_with_tiny(
    path: Path, run: Path, saccade: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, tmp_path / "RUN")
    for side in ("train", "test"):
        for language in ("en", "de"):
            (tmp_path / f"{side}.{language}").write_text("".join(f"word{i} word{i % 7}\n" for i in range(60)))
    for corpus in ("multi30k", "hansard"):
        (tmp_path / corpus).mkdir()
        for language in ("de", "en", "fr"):
            text = "".join(f"word{i} word{i % 7}\n" for i in range(60))
            (tmp_path / corpus / f"train.{language}").write_text(text)
    (tmp_path / "enfr.src-tgt").write_text("word1 word2 ||| word1 word2\n" * 3)
    (tmp_path / "enfr.gold.talp").write_text("1-1 2-2\n" * 3)
    (tmp_path / "pairs.tsv").write_text("".join(f"word{i}\tword{i}\n" for i in range(60)))
    (tmp_path / "sentences.txt").write_text("Go home.\n")
    monkeypatch.setattr(ending, "DRAWN", 0)  # a net trained for three steps gives long answers with large pictures
    for line in (line for block in blocks(path, "sh") for line in block.splitlines()):
        words = shlex.split(line, comments=True)
        if "saccade" not in [Path(word).name for word in words] or "&&" in words:
            continue  # environments are not set up here; .ci/run does it
        words = words[[Path(word).name for word in words].index("saccade") + 1 :]
        stdin = b"Go home.\n" if "<" in words or "|" in line else b""
        words = words[: words.index("<")] if "<" in words else words
        if words[:2] == ["train", "--resume"]:
            words += ["--training.steps", "201"]
        elif words[0] == "train" and len(words) > 1 and not words[1].startswith("-"):
            if len(words) == 2 or words[2].startswith("-"):
                words.insert(2, "tiny")
            elif "--task.folder" in words:  # a variant with real data, which are missing
                words[2:3] = ["tiny", "--task.corpus", "folder"]
            if path.parent.parent == catalogue.SYSTEMS and words[2:] == ["tiny"]:
                words.append("--help")  # tests of app/ train this variant of each system
            words += ["--training.steps", "3"] * ("--help" not in words)
            limit = getattr(catalogue.recipe(words[1]).variants["tiny"].task, "limit", math.inf)
            if limit is None or limit < 10_000:  # of examples; a text's is of characters
                words += ["--task.limit", "60"] * ("--help" not in words and "--task.limit" not in words)
        elif words[0] in ("report", "serve"):
            continue  # one writes into the source, the other never ends; both have separate tests
        done = saccade(*words, stdin=stdin)
        assert done.status == 0, f"{line}: {done.err}"


@pytest.fixture(scope="module")
def generated() -> list[tuple[Path, str]]:
    with pages.read_once():
        return list(pages.pages(ROOT))


def test_tables_are_those_of_the_evidence(generated: list[tuple[Path, str]]) -> None:
    for path, content in generated:
        if path.name == "README.md" or path in PAGES:
            assert path.read_text(encoding="utf-8") == content, f"{name(path)}: run python docs/build"


def test_every_mechanism_and_system_has_its_page(generated: list[tuple[Path, str]]) -> None:
    docs = ROOT / "docs"
    written = {path.relative_to(docs).as_posix(): content for path, content in generated if docs in path.parents}
    assert "mechanisms/attention-additive.md" in written
    assert "mechanisms/memory-gru.md" in written
    assert {f"systems/{system}.md" for system in catalogue.names()} <= set(written)
    additive = written["mechanisms/attention-additive.md"]
    assert additive.startswith("# Additive attention\n")
    assert "<math" in additive
    assert "source/attention-additive.md#__codelineno-0-" in additive
    assert "AdditiveAttention(" in additive
    located = written["mechanisms/attention-location_aware.md"]
    assert re.search(r"LocationAwareAttention\(\n(    \w+: int,\n){3}    \*,\n    filters: int", located)


@pytest.mark.parametrize(
    ("source", "call"),
    [
        (
            "def f(a: int, b: int = 2, *, c: int, d: str = 'x') -> int:",
            "f(a: int, b: int=2, *, c: int, d: str='x') -> int",
        ),
        ("def f(a, *rest, b=1, **others):", "f(a, *rest, b=1, **others)"),
        ("def f(a, /, b):", "f(a, /, b)"),
    ],
)
def test_signatures_show_how_arguments_are_passed(source: str, call: str) -> None:
    node = ast.parse(f'{source}\n    """Document."""').body[0]
    assert isinstance(node, ast.FunctionDef)
    shown = "".join(described(node, "##")).replace(" = ", "=")
    assert f"```python\n{call}\n```" in shown


def test_links_between_pages_work() -> None:
    for path in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            generated = target.removeprefix("../").split("/")[0] in pages.GENERATED
            assert generated or (path.parent / target).exists(), f"{name(path)}: {target}"
