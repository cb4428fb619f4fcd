"""GPT-2: its published sizes, its protocol, its answers and pictures."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.nets.language_model import LanguageModel
from saccade.runs import catalogue
from saccade.runs.memory import sized
from saccade.tasks.text import Written
from tests.checks import randomised
from tests.conftest import Command
from tests.explain.pictures import assert_whole

RECIPE: Any = catalogue.recipe("gpt2")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task), 0.3).eval()


@pytest.mark.parametrize(
    ("variant", "heads", "parameters"),
    [("small", 12, 124_439_808), ("medium", 16, 354_823_168), ("large", 20, 774_030_080), ("xl", 25, 1_557_611_200)],
)
def test_the_published_sizes_have_their_parameters(variant: str, heads: int, parameters: int) -> None:
    config = RECIPE.variants[variant]
    assert (config.model.heads, config.model.positions) == (heads, 1024)
    model = sized(lambda: LanguageModel(config.model, config.task.symbols.size))
    assert sum(weight.numel() for weight in model.parameters()) == parameters


def test_every_symbol_of_the_test_is_scored_once_from_half_a_window_or_more(built: tuple[Any, Any, Any]) -> None:
    config, task, _ = built
    places = task.spans["test"]
    read = list[int]()
    for example in task.examples("test"):
        assert len(example.symbols) - example.scored >= config.model.positions // 2
        assert len(example.symbols) - 1 <= config.model.positions
        read += example.symbols[-example.scored :].tolist()
    assert read == task.numbers[places.start :].tolist()
    assert len(places) == len(task.text) - len(task.text) * 9 // 10


def test_the_protocol_is_printed_with_the_bits(built: tuple[Any, Any, Any]) -> None:
    _, task, _ = built
    examples = task.examples("test")
    uniform = [Written((), one.scored * math.log(65)) for one in examples]
    figures = task.score(uniform, examples).figures
    assert figures["bits_per_byte"].value == pytest.approx(math.log2(65))
    assert figures["perplexity"].value == pytest.approx(65)
    assert figures["signature"].value == "9,900 symbols, each once, 16 or more before it"


def test_the_nats_are_those_of_each_scored_symbol_given_those_before(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    examples = [task.examples("test")[0], task.examples("test")[-1]]
    with torch.no_grad():
        found = RECIPE.predict(model, task.collate(examples), config)
        for example, written in zip(examples, found, strict=True):
            total = 0.0
            for place in range(len(example.symbols) - example.scored, len(example.symbols)):
                row = model(example.symbols[None, :place]).log_probs()[0, -1]
                total -= float(row[example.symbols[place]])
            assert written.nats == pytest.approx(total, abs=1e-3)


def test_a_text_is_continued_alike_in_any_batch(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    asked = [task.read(text) for text in ("ROMEO:", "A", "What is thy name, and where is all thy house?")]
    together = RECIPE.predict(model, task.collate([*asked, task.examples("test")[0]]), config)
    alone = [RECIPE.predict(model, task.collate([one]), config)[0] for one in asked]
    assert [one.symbols for one in together[:3]] == [one.symbols for one in alone]
    assert all(math.isnan(one.nats) for one in together[:3])
    assert not math.isnan(together[3].nats)
    assert task.decode(alone[0]).startswith("ROMEO:")
    assert len(alone[0].symbols) == 6 + config.writing.length


def test_a_longer_prompt_is_read_through_a_window_and_a_note_says_so(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    short, long = task.read("ROMEO:"), task.read("ROMEO:" * 7)
    assert task.notes(short) == []
    [note] = task.notes(long)
    assert note == "the text has 42 symbols; the model reads at most 32 at once, the last ones"
    [written] = RECIPE.predict(model, task.collate([long]), config)
    assert len(written.symbols) == 42 + config.writing.length


def test_pictures_are_the_tinted_text_and_every_head(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.read("ROMEO:\n")
    [written] = RECIPE.predict(model, task.collate([example]), config)
    tinted, heads = RECIPE.pictures(Answer(model, task, config, example, written, CPU))
    assert tinted.characters == task.symbols.decode(written.symbols)
    with torch.no_grad():
        row = model(torch.tensor([written.symbols[:9]])).log_probs()[0, -1]
    assert float(tinted.numbers[9]) == pytest.approx(math.exp(float(row[written.symbols[9]])))
    assert float(tinted.numbers[0]) == 0
    assert list(heads.layers) == [f"stack.blocks.{layer}.attention.weights" for layer in range(config.model.layers)]
    weights, queries, keys = heads.layers["stack.blocks.0.attention.weights"]
    assert weights.shape == (config.model.heads, 32, 32)
    assert list(queries) == list(keys)
    assert torch.allclose(weights.sum(-1), torch.ones(config.model.heads, 32))
    for picture in (tinted, heads):
        assert_whole(picture.figure())
        assert kept(load(json.loads(json.dumps(kept(picture))))) == json.loads(json.dumps(kept(picture)))


def test_steps_are_the_written_symbols(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    example = task.read("ROMEO:")
    [written] = RECIPE.predict(model, task.collate([example]), config)
    steps = RECIPE.steps(Answer(model, task, config, example, written, CPU), 61)
    assert len(steps) == config.writing.length
    assert sum(math.exp(value) for _, value in steps[7].likeliest) == pytest.approx(1)
    with pytest.raises(InvalidInput, match="from 1 to 61"):
        RECIPE.steps(Answer(model, task, config, example, written, CPU), 66)


@pytest.mark.parametrize("beam", [1, 3])
def test_pieces_of_words_are_written_and_tinted(beam: int) -> None:
    pytest.importorskip("tokenizers")
    from dataclasses import replace

    from saccade.nets.continuation import WritingConfig
    from saccade.tasks.text import BytePieces

    config = RECIPE.variants["tiny"]
    config = replace(
        config,
        task=replace(config.task, symbols=BytePieces(size=300)),
        writing=WritingConfig(length=9, beam=beam),
    )
    task = RECIPE.task(config, None)
    model = randomised(RECIPE.build(config, task), 0.3).eval()
    example = task.read("ROMEO: I do")
    [written] = RECIPE.predict(model, task.collate([example]), config)
    [again] = RECIPE.predict(model, task.collate([example]), config)
    assert written == again
    tinted, heads = RECIPE.pictures(Answer(model, task, config, example, written, CPU))
    assert tinted.characters.startswith("ROMEO: I do")
    assert len(next(iter(heads.layers.values()))[1]) == len(written.symbols)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model.positions": 16}, r"--task.window 16 --task.context 8"),
        ({"task.context": 17}, r"--task.window 32 --task.context 16"),
        ({"task.corpus": "levels", "task.symbols": "lines"}, "--task.corpus must be text"),
        ({"model.heads": 5}, "5 heads do not divide a model-size of 24"),
        ({"writing.top_p": 0}, "greater than 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, Any], why: str) -> None:
    from saccade.core.config import from_plain, to_plain

    plain = to_plain(RECIPE.variants["tiny"])
    for name, value in options.items():
        room, _, key = name.partition(".")
        plain[room][key] = value
    with pytest.raises(ValidationError, match=why):
        from_plain(type(RECIPE.config), plain)


def test_the_command_line_says_what_is_wrong_in_one_sentence(saccade: Command, tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text("\n\n")
    latin.write_bytes("gut\nÜbermut".encode("latin-1") * 30)
    for flags, why in (
        (("--writing.top-p", "0"), "writing.top-p"),
        (("--writing.temperature", "-1"), "writing.temperature"),
        (("--task.file", empty), "the file is empty"),
        (("--task.file", latin), "not UTF-8"),
        (("--model.positions", "16"), "--task.window 16 --task.context 8"),
    ):
        done = saccade("train", "gpt2", "tiny", *flags, "--out", tmp_path / "run")
        assert done.status == 2, done.err
        assert why in done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "run").exists()
