import gzip
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.core.recipe import Loss
from saccade.core.stream import StatefulStream
from saccade.core.task import Learning, Legible, Readable, Size, Sized, Task
from saccade.tasks.text import Bytes, Characters, Lines, TextConfig, TextTask, Written
from saccade.tasks.text.corpus import embedded, parts
from saccade.tasks.text.stream import Windows
from saccade.tasks.text.symbols import learned, restored

TEXT = "".join(f"Das ist Zeile {n}: Übermut tut selten gut.\n" for n in range(200))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def make(file: Path, **options: Any) -> TextTask:
    return TextTask(TextConfig(file=(file,), **{"context": 7, "window": 5, **options}))


def test_the_embedded_text_is_tinyshakespeare() -> None:
    assert len(embedded()) == 1_115_394
    assert len(set(embedded())) == 65
    assert embedded().startswith("First Citizen:\nBefore we proceed any further, hear me speak.\n")


def test_it_is_a_task_with_abilities(file: Path) -> None:
    task = make(file)
    for ability in (Task, Sized, Legible, Readable, Learning):
        assert isinstance(task, ability)


@pytest.mark.parametrize("scheme", [Characters(), Bytes(), Lines()], ids=lambda scheme: scheme.name)
def test_every_symbol_of_the_last_tenth_counts_once_with_its_context_before_it(file: Path, scheme: Any) -> None:
    task = make(file, symbols=scheme)
    whole, examples = task.numbers, task.examples("test")
    span = parts(len(whole))["test"]
    assert len(span) == len(whole) - len(whole) * 9 // 10
    assert torch.cat([one.symbols[-one.scored :] for one in examples]).tolist() == whole[span.start :].tolist()
    place = span.start
    for one in examples:
        before = len(one.symbols) - one.scored
        assert before == 7
        assert one.symbols.tolist() == whole[place - before : place + one.scored].tolist()
        place += one.scored
    text = task.symbols.decode(whole[span.start :].tolist()) if scheme.name != "bytes" else None
    if text is not None:
        assert sum(one.characters for one in examples) == len(text)
    assert sum(one.size for one in examples) == len(bytes(TEXT, "utf-8")) - sum(
        task.symbols.lengths(whole[: span.start].tolist())[1:]
    )


@pytest.mark.parametrize("scheme", [Characters(), Bytes(), Lines()], ids=lambda scheme: scheme.name)
def test_bits_are_those_of_the_characters_whatever_the_symbols(file: Path, scheme: Any) -> None:
    task = make(file, symbols=scheme)
    examples, count = task.examples("test"), len(task.symbols.names)
    uniform = [Written((), one.scored * math.log(count)) for one in examples]
    figures = task.score(uniform, examples).figures
    symbols, characters = (sum(getattr(one, key) for one in examples) for key in ("scored", "characters"))
    assert figures["bits_per_character"].value == pytest.approx(symbols * math.log2(count) / characters)
    assert figures["perplexity"].value == pytest.approx(count)
    if scheme.name == "bytes":
        assert figures["bits_per_byte"].value == pytest.approx(8)
        assert symbols > characters


def test_a_scored_text_is_written_and_one_to_continue_is_read(file: Path) -> None:
    """So the pictures of a scored text are small enough for evidence."""
    task = make(file)
    example = task.examples("test")[0]
    assert task.size(example) == Size(0, len(example.symbols))
    assert task.size(task.read("gut")) == Size(3, 3)


def test_validation_is_the_fortieth_before_and_is_cut(file: Path) -> None:
    task = make(file, validated=20)
    found = task.examples("validation")
    span = parts(len(task.numbers))["validation"]
    assert len(span) == pytest.approx(len(task.numbers) / 40, abs=1)
    assert torch.cat([one.symbols[-one.scored :] for one in found]).tolist() == (
        task.numbers[span.start : span.start + 20].tolist()
    )
    assert task.examples("train") == []


def test_a_batch_scores_the_last_symbols_of_each_example(file: Path) -> None:
    task = make(file)
    examples = [task.examples("test")[0], task.examples("test")[-1], task.read("Das")]
    batch = task.collate(examples)
    assert batch.scored.sum(1).tolist() == [one.scored for one in examples]
    assert batch.mask.sum(1).tolist() == [len(one.symbols) for one in examples]
    assert not (batch.scored & ~batch.mask).any()
    assert not batch.scored[2].any()


class TestWindows:
    def test_rows_go_on_where_they_ended(self, file: Path) -> None:
        task = make(file)
        stream = Windows(task, 20)
        assert isinstance(stream, StatefulStream)
        first, second = (stream.share(n).batch for n in range(2))
        assert first.symbols.shape == (4, 6)
        assert torch.equal(first.symbols[:, -1], second.symbols[:, 0])
        assert first.scored[:, 1:].all()
        assert not first.scored[:, 0].any()

    def test_a_pass_reads_every_symbol_of_training_but_the_margins(self, file: Path) -> None:
        task = make(file)
        stream = Windows(task, 20)
        read = [stream.share(n).batch.symbols[:, 1:] for n in range(stream.count)]
        rows = torch.cat(read, 1)
        text = task.part("train")
        for row, start in zip(rows, stream.starts[:, 0].tolist(), strict=True):
            assert torch.equal(row, text[start + 1 : start + 1 + len(row)])
        assert rows.numel() > 0.98 * len(text) - 3 * 20
        assert not torch.equal(stream.share(stream.count).batch.symbols, stream.share(0).batch.symbols)

    def test_the_state_is_carried_and_reset(self, file: Path) -> None:
        stream = Windows(make(file), 20)
        assert stream.share(0).batch.state is None
        stream.after(0, Loss({}, carry=torch.ones(4, 2)))
        assert torch.equal(stream.share(1).batch.state, torch.ones(4, 2))
        other = Windows(make(file), 20)
        other.load_state_dict(stream.state_dict())
        assert torch.equal(other.share(1).batch.state, torch.ones(4, 2))
        assert stream.share(stream.count).batch.state is None

    def test_processes_share_the_rows(self, file: Path) -> None:
        stream = Windows(make(file), 15)
        whole = stream.share(3).batch.symbols
        shares = [stream.share(3, rank, 2).batch.symbols for rank in range(2)]
        assert torch.equal(whole[0::2], shares[0])
        assert torch.equal(whole[1::2], shares[1])
        assert not stream.share(3, 4, 5).counted

    def test_a_text_shorter_than_a_batch_is_refused(self, file: Path) -> None:
        with pytest.raises(InvalidInput, match=r"a batch of 1,000 windows needs 10,001"):
            Windows(make(file), 5000)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_text_survives_its_symbols(text: str) -> None:
    for scheme in (Characters(), Bytes(), Lines()):
        symbols = learned(scheme, text)
        for own in (symbols, restored(symbols.plain())):
            decoded = own.decode(own.encode(text).tolist())
            assert decoded.removesuffix("\n") == text.removesuffix("\n")
        found = symbols.encode(text).tolist()
        if scheme.name != "lines":
            assert symbols.lengths(found) == (len(text), len(text.encode("utf-8")))


def test_what_was_learned_is_saved(file: Path, tmp_path: Path) -> None:
    task = make(file)
    task.save(tmp_path)
    again = TextTask(task.config, tmp_path)
    assert again.symbols.plain() == task.symbols.plain()
    again.check_trained(task.config)
    with pytest.raises(InvalidInput, match=r"task.symbols is bytes in the training"):
        again.check_trained(TextConfig(symbols=Bytes()))


def test_files_are_joined_unpacked_and_composed(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt.gz"
    one.write_text("U\u0308bermut\r\n" * 20, encoding="utf-8")
    two.write_bytes(gzip.compress(b"gut\n" * 20))
    task = TextTask(TextConfig(file=(one, two)))
    assert task.text == "Übermut\n" * 20 + "gut\n" * 20
    assert task.describe()["data"] == "one.txt, two.txt.gz"
    assert task.read("U\u0308ber").symbols.tolist() == task.symbols.encode("Über").tolist()


def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, file: Path) -> None:
    empty, latin, short = tmp_path / "empty", tmp_path / "latin", tmp_path / "short"
    empty.write_bytes(b"\n\n")
    latin.write_bytes("gut\nÜbermut".encode("latin-1") * 30)
    short.write_text("zu kurz")
    for path, why in ((empty, "the file is empty"), (latin, r"line 2: not UTF-8 \(byte 0xdc\)"),
                      (short, "expected at least 100 characters")):  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            TextTask(TextConfig(file=(path,)))
    with pytest.raises(NotFound, match="there is no such file"):
        TextTask(TextConfig(file=(tmp_path / "none",)))
    task = make(file)
    with pytest.raises(InvalidInput, match=r"not among the \d+ characters that this model knows: '@', '%'"):
        task.read("Das@%ist@")
    with pytest.raises(InvalidInput, match="the input is empty"):
        task.read("")
    with pytest.raises(InvalidInput, match="at most 20,000 characters"):
        task.read("D" * 20_001)
    with pytest.raises(InvalidInput, match="not a file"):
        task.read(b"Das")
    with pytest.raises(InvalidInput, match="there is no split 'dev'"):
        task.examples("dev")
    with pytest.raises(InvalidInput, match="the line 'Das' is not among"):
        make(file, symbols=Lines()).read("Das")
    with pytest.raises(ValidationError, match="corpus is 'levels', which is generated"):
        TextConfig(corpus="levels", file=(file,))
    with pytest.raises(ValidationError, match="whose symbols are its columns"):
        TextConfig(corpus="levels")


def test_an_answer_is_one_line(file: Path) -> None:
    task = make(file)
    written = Written(tuple(task.symbols.encode("Das\nist\n").tolist()), math.nan)
    assert task.decode(written) == "Das ⏎ ist ⏎ "
    assert task.decode(Written((), 2 * math.log(2))) == "2.0 bits"
    assert "\n" not in "".join(task.compare(task.examples("test")[0], written).values())
    assert task.examples_to_type(2)[0].endswith(":")  # type: ignore[arg-type]


def test_a_limit_leaves_out_the_end_of_the_text() -> None:
    task = TextTask(TextConfig(limit=5000))
    assert task.text == TextTask(TextConfig()).text[:5000]
    assert sum(len(task.part(split)) for split in ("train", "validation", "test")) == 5000
