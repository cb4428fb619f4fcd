"""Reading stories: the files of the bAbI tasks 1.2 (Weston et al. 2015, arXiv:1502.05698), and text that a user types.

A line is a number, a space and a sentence; or a question, a tab, the answer, a tab, and the numbers of the lines that
support it. The number 1 begins a story. A question is about all sentences of its story before it.
"""

import gzip
import re
import tarfile
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.files import UNPACKED, against, composed, read_lines

EMBEDDED = resources.files("saccade.tasks.babi").joinpath("data", "babi_sample.txt.gz")
HEAD = "= "  # a line of the embedded sample that begins the stories of a task and a split
WORD = re.compile(r"\w+(?:['-]\w+)*")
SENTENCE = re.compile(r"[^.?!\n]+[.?!\n]*")


class Question(NamedTuple):
    """A question about the first `known` sentences of its story."""

    text: str
    answer: str
    known: int
    supports: tuple[int, ...]
    """The sentences that support the answer, counted from 0, in the order of the file."""


class Story(NamedTuple):
    """Sentences, and questions between them."""

    sentences: tuple[str, ...]
    questions: tuple[Question, ...]


def words_of(text: str) -> list[str]:
    """Its words, in lower case."""
    return WORD.findall(text.lower())


def parse(lines: Sequence[str], name: str) -> list[Story]:
    """The stories in lines of a file of this name.

    Raises:
        InvalidInput: a line of another form, or a question before the first sentence; it names the line.
    """
    stories: list[Story] = []
    sentences: list[str] = []
    questions: list[Question] = []
    places: dict[int, int] = {}  # line of the story -> number of the sentence

    def end() -> None:
        if questions:
            stories.append(Story(tuple(sentences), tuple(questions)))

    for row, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        number, _, rest = composed(line).partition(" ")
        parts = [part.strip() for part in rest.split("\t")]
        if not number.isdecimal() or len(parts) not in (1, 3) or not parts[0]:
            raise InvalidInput(f"{name}, line {row}: expected '1 A sentence.' or '2 A question?<tab>answer<tab>1'")
        if int(number) == 1:
            end()
            sentences, questions, places = [], [], {}
        if len(parts) == 1:
            places[int(number)] = len(sentences)
            sentences.append(parts[0])
            continue
        text, answer, supports = parts
        if not sentences:
            raise InvalidInput(f"{name}, line {row}: a question before the first sentence of its story")
        known = [place for place in supports.split() if place.isdecimal() and int(place) in places]
        if len(known) < len(supports.split()) or not answer:
            raise InvalidInput(
                f"{name}, line {row}: expected an answer, and the numbers of earlier sentences that support it, "
                f"not {supports!r}"
            )
        facts = tuple(places[int(place)] for place in known)
        questions.append(Question(text, answer.lower(), len(sentences), facts))
    end()
    return stories


def typed(text: str) -> tuple[list[str], str, list[str]]:
    """The sentences of a story, the question at its end, and questions before it, from text that a user typed.

    Raises:
        InvalidInput: no question at the end, or no story before it.
    """
    example = "such as 'John went to the kitchen. Where is John?'"
    parts = [part.strip() for part in SENTENCE.findall(composed(text)) if words_of(part)]
    if not parts:
        raise InvalidInput(f"expected a story and a question, {example}; the input has no word")
    *before, question = parts
    if not question.endswith("?"):
        raise InvalidInput(f"expected a question at the end of the story, {example}; the input ends in {question!r}")
    story = [re.sub(r"^\d+\s+", "", part) for part in before if not part.endswith("?")]
    if not story:
        raise InvalidInput(f"the story is empty: expected sentences before the question, {example}")
    return story, re.sub(r"^\d+\s+", "", question), [part for part in before if part.endswith("?")]


@cache
def embedded() -> dict[tuple[int, str], list[Story]]:
    """The embedded sample: (task, "train" or "test") -> stories."""
    found: dict[tuple[int, str], list[str]] = {}
    rows: list[str] = []
    for line in gzip.decompress(EMBEDDED.read_bytes()).decode("ascii").splitlines():
        if line.startswith(HEAD):
            _, task, split = line.split()
            rows = found.setdefault((int(task), split), [])
        else:
            rows.append(line)
    return {key: parse(lines, f"{EMBEDDED.name}, task {key[0]}") for key, lines in found.items()}


def whole(folder: Path, tasks: Sequence[int], split: str, questions: str) -> dict[int, list[Story]]:
    """The stories of some tasks of the whole set, "train" or "test".

    Raises:
        NotFound: no such folder or archive, or it lacks a task.
        InvalidInput: an archive or a file that cannot be read.
    """
    language = "en" if questions == "1k" else "en-10k"
    found: dict[int, list[Story]] = {}
    for name, lines in files(folder, language, tasks, split):
        found[int(re.sub(r"\D.*", "", name.removeprefix("qa")))] = parse(lines, f"{folder}, {language}/{name}")
    if missing := [task for task in tasks if task not in found]:
        others = [str(task) for task in tasks if task in found]
        raise NotFound(
            f"{folder} has no {split} questions of task {', '.join(map(str, missing))} in {language}"
            + (f"; type --task.tasks {' '.join(others)}" if others else "")
        )
    return {task: found[task] for task in tasks}


def files(folder: Path, language: str, tasks: Sequence[int], split: str) -> Iterator[tuple[str, list[str]]]:
    """The names and lines of the files of these tasks, in a folder or in an archive."""
    if not folder.exists():
        raise NotFound(f"{folder}: there is no such folder or archive{against(folder)}")
    wanted = re.compile(rf"qa({'|'.join(map(str, tasks))})_[\w-]+_{split}\.txt")
    if folder.is_dir():
        if places := [path for path in (folder / language, *sorted(folder.glob(f"*/{language}"))) if path.is_dir()]:
            for path in sorted(places[0].iterdir()):
                if wanted.fullmatch(path.name):
                    yield path.name, read_lines(path)
            return
        archives = sorted([*folder.glob("*.tar.gz"), *folder.glob("*.tgz")])
        if len(archives) != 1:
            raise NotFound(
                f"{folder} holds neither {language}/qa1_single-supporting-fact_{split}.txt nor one archive (.tar.gz)"
            )
        folder = archives[0]
    try:
        with tarfile.open(folder) as archive:
            for member in archive:
                *_, room, name = ["", *member.name.split("/")]
                if room != language or not wanted.fullmatch(name):
                    continue
                held = archive.extractfile(member) if member.isfile() else None
                if held is not None:
                    yield name, held.read(UNPACKED).decode("utf-8").splitlines()
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{folder}: the archive is broken, or is not one of bAbI ({error})") from error
