import math
import random
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.explain.pictures.characters import Characters
from saccade.nets.sampling import draws, sample
from saccade.runs import catalogue
from saccade.systems.char_rnn.cells import features, followers, traced
from saccade.systems.char_rnn.model import CharRNN, CharRNNConfig
from saccade.systems.char_rnn.writing import write
from saccade.tasks.text import Written
from saccade.tasks.text.levels import FLAG, level, path
from tests.checks import randomised
from tests.explain.pictures import assert_apart, assert_whole

RECIPE: Any = catalogue.recipe("char_rnn")
SYMBOLS = 5


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, RECIPE.build(config, task).double().eval()


def make(cell: Any = "lstm", layers: int = 2) -> CharRNN:
    sizes = CharRNNConfig(cell=cell, layers=layers, embedding_size=3, hidden_size=4, dropout=0.0)
    return randomised(CharRNN(sizes, SYMBOLS)).eval()


def places(picture: Any) -> tuple[list[int], list[int]]:
    """The lines and the columns of the characters whose number is above 0."""
    rows, columns, line, column = list[int](), list[int](), 0, 0
    for character, number in zip(picture.characters, picture.numbers, strict=True):
        if number > 0:
            rows.append(line)
            columns.append(column)
        line, column = (line + 1, 0) if character == "\n" else (line, column + 1)
    return rows, columns


def texts(rows: int, length: int) -> tuple[Tensor, Tensor]:
    symbols = torch.randint(SYMBOLS, (rows, length))
    return symbols, torch.ones_like(symbols, dtype=torch.bool)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_windows_with_a_carried_state_equal_one_pass_and_single_steps(cell: Any) -> None:
    model, (symbols, mask) = make(cell), texts(2, 9)
    whole, end = model(symbols, mask)
    state, parts = None, []
    for window in symbols.split(3, 1):
        logits, state = model(window, mask[:, :3], state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(state, end)
    state = model.initial_state(2)
    for t in range(9):
        row, state = model.step(symbols[:, t], state)
        torch.testing.assert_close(row, whole[:, t])


def test_the_nats_are_those_of_each_scored_symbol_given_those_before(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    examples = [task.examples("test")[0], task.examples("test")[-1]]
    with torch.no_grad():
        found = RECIPE.predict(model, task.collate(examples), config)
        for example, written in zip(examples, found, strict=True):
            state, total = model.initial_state(1), 0.0
            for place, symbol in enumerate(example.symbols.tolist()[:-1]):
                row, state = model.step(torch.tensor([symbol]), state)
                if place + 1 >= len(example.symbols) - example.scored:
                    total -= float(row[0].log_softmax(0)[example.symbols[place + 1]])
            assert written.nats == pytest.approx(total, abs=1e-3)
            assert written.symbols == ()


class TestSamples:
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -4.0], dtype=torch.float64)

    def drawn(self, temperature: float, count: int = 40_000) -> Tensor:
        """The share of each symbol among samples."""
        rows = self.logits.expand(count, -1)
        return sample(rows, temperature, draws("samples", count)).bincount(minlength=SYMBOLS) / count

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_they_follow_the_distribution(self, temperature: float) -> None:
        expected = (self.logits / temperature).softmax(0)
        spread = (expected * (1 - expected) / 40_000).sqrt()
        assert ((self.drawn(temperature) - expected).abs() < 4 * spread + 1e-4).all()

    def test_their_entropy_rises_with_the_temperature(self) -> None:
        entropies = [float(torch.special.entr(self.drawn(t)).sum()) for t in (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 100.0)]
        assert entropies == sorted(entropies)
        assert entropies[0] == 0
        assert entropies[-1] == pytest.approx(math.log(SYMBOLS), abs=1e-3)

    def test_a_low_temperature_does_not_overflow(self) -> None:
        rows = torch.tensor([[3e38, -3e38, 1.0], [-1e30, -1e30, -1e30]])
        assert sample(rows, 1e-6, torch.tensor([0.999, 0.5])).tolist() == [0, 1]

    def test_the_ends_of_the_unit_interval_are_symbols(self) -> None:
        rows = torch.tensor([[-torch.inf, 0.0, -torch.inf]] * 2)
        assert sample(rows, 1.0, torch.tensor([0.0, 1.0 - 1e-16], dtype=torch.float64)).tolist() == [1, 1]


def test_the_likeliest_are_written_at_temperature_0() -> None:
    model, (symbols, mask) = make(), texts(1, 3)
    found, text = write(model, symbols, mask, 6, 0.0, [1])[0].tolist(), symbols[0].tolist()
    for symbol in found:
        logits, _ = model(torch.tensor([text]), torch.ones(1, len(text), dtype=torch.bool))
        assert symbol == int(logits[0, -1].argmax())
        text.append(symbol)


def test_samples_of_a_net_follow_its_distribution_over_texts() -> None:
    model, count = make(layers=1), 20_000
    symbols, mask = torch.ones(count, 1, dtype=torch.long), torch.ones(count, 1, dtype=torch.bool)
    with torch.no_grad():
        found = write(model, symbols, mask, 2, 1.0, range(count))
        pairs = (found[:, 0] * SYMBOLS + found[:, 1]).bincount(minlength=SYMBOLS**2) / count
        first, _ = model(symbols[:1], mask[:1])
        given = torch.cat([torch.ones(SYMBOLS, 1, dtype=torch.long), torch.arange(SYMBOLS)[:, None]], 1)
        second, _ = model(given, torch.ones_like(given, dtype=torch.bool))
    expected = (first[0, -1].softmax(0)[:, None] * second[:, -1].softmax(1)).flatten()
    assert (pairs - expected).abs().max() < 0.015


def test_a_text_is_continued_alike_in_any_batch(built: tuple[Any, Any, Any]) -> None:
    config, task, model = built
    asked = [task.read(text) for text in ("ROMEO:", "A", "What is thy")]
    with torch.no_grad():
        together = RECIPE.predict(model, task.collate([*asked, task.examples("test")[0]]), config)
        alone = [RECIPE.predict(model, task.collate([one]), config)[0] for one in asked]
    assert [one.symbols for one in together[:3]] == [one.symbols for one in alone]
    assert all(math.isnan(one.nats) for one in together[:3])
    assert not math.isnan(together[3].nats)
    assert task.decode(alone[0]).startswith("ROMEO:")
    assert len(alone[0].symbols) == 6 + config.sampling.length


def test_a_temperature_below_0_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        type(RECIPE.config)(temperature=-0.1)


class TestCells:
    def test_features_are_capitals_and_the_place_in_the_line(self) -> None:
        assert features("aB\nC") == {"capitals": [0, 1, 0, 1], "the place in the line": [1, 2, 0, 1]}

    def test_the_cell_that_follows_is_found(self) -> None:
        torch.manual_seed(0)
        text = "First Citizen:\nBefore we proceed, hear ME speak.\nAll: speak!"
        cells = 0.3 * torch.randn(1, len(text), 2, 7)
        cells[0, :, 1, 4] -= torch.tensor(features(text)["the place in the line"]) / 30
        cells[0, :, 0, 6] += torch.tensor(features(text)["capitals"])
        capitals, line = followers(cells, [text])
        assert (capitals.layer, capitals.cell) == (0, 6)
        assert (line.layer, line.cell) == (1, 4)
        assert capitals.correlation > 0.5
        assert line.correlation < -0.5

    def test_constant_cells_do_not_divide_by_zero(self) -> None:
        assert all(math.isfinite(one.correlation) for one in followers(torch.ones(1, 3, 1, 2), ["abc"]))

    def test_traces_are_the_cells_after_each_symbol(self) -> None:
        model, (symbols, mask) = make(), texts(2, 4)
        cells = traced(model, symbols)
        for t in range(1, 5):
            _, state = model(symbols[:, :t], mask[:, :t])
            torch.testing.assert_close(cells[:, t - 1], model.unpacked(state).cell.tanh().detach())


class TestPictures:
    def test_a_prompt_is_shaded_with_what_was_written(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        example = task.read("ROMEO:\n")
        with torch.no_grad():
            [written] = RECIPE.predict(model, task.collate([example]), config)
        line, capitals = RECIPE.pictures(Answer(model, task, config, example, written, torch.device("cpu")))
        assert (line.name, capitals.name) == ("line", "capitals")
        assert line.characters == task.symbols.decode(written.symbols)
        assert line.title.startswith("Unit ")
        assert "follows the place in the line (correlation 0." in line.title
        assert kept(load(kept(line))) == kept(line)

    def test_a_level_is_drawn_in_rows_with_the_way_to_its_end(self) -> None:
        config = RECIPE.variants["levels"]
        task = RECIPE.task(config, None)
        columns = [FLAG, *level(random.Random(2)), *level(random.Random(3))]
        written = Written(tuple(task.symbols.encode("\n".join(columns)).tolist()), math.nan)
        [picture] = RECIPE.pictures(Answer(None, task, config, task.read(""), written, torch.device("cpu")))  # type: ignore[arg-type]
        lines = picture.characters.split("\n")
        count = columns.index(FLAG, 1)
        assert lines[:10] == [
            "".join(row).replace("-", " ") for row in zip(*columns[1 : min(count, 60) + 1], strict=True)
        ]
        assert len(lines) == 10 + 11 * ((count - 1) // 60)
        marked = {(x, y) for y, x in zip(*places(picture), strict=True)}
        assert marked == {(x % 60, 11 * (x // 60) + y) for x, y in path(columns[1 : count + 1]) if y >= 0}
        assert "walked to the end" in picture.title

    def test_steps_are_the_written_symbols(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        example = task.read("ROMEO:")
        with torch.no_grad():
            [written] = RECIPE.predict(model, task.collate([example]), config)
        answer = Answer(model, task, config, example, written, torch.device("cpu"))
        steps = RECIPE.steps(answer, 61)
        assert len(steps) == config.sampling.length
        total = sum(math.exp(value) for _, value in steps[7].likeliest)
        assert total == pytest.approx(1)
        with pytest.raises(InvalidInput, match="from 1 to 61"):
            RECIPE.steps(answer, 66)

    def test_lines_are_cut_at_spaces(self) -> None:
        text = "to be or not to be that is the question\n\nend"
        picture = Characters("a", text, torch.linspace(-1, 1, len(text)), "cell")
        lines = picture.text(24).split("\n")
        assert lines[0:6:2] == ["to be or not to be that", "is the question", ""]
        assert lines[1].startswith("====")
        assert "█" in lines[7]
        figure = picture.figure()
        assert_whole(figure)
        assert_apart(figure)
        assert picture.page()["characters"] == text
        assert (
            picture.description() == "Cell, for each of 44 characters of: to be or not to be that is the question end"
        )

    def test_bad_numbers_are_refused(self) -> None:
        for numbers, why in (([2.0], "from -1 to 1, got 2"), ([0.0, 0.0], r"\(1\)")):
            with pytest.raises(InvalidInput, match=why):
                Characters("a", "x", numbers)
        with pytest.raises(InvalidInput, match="at least one"):
            Characters("a", "", [])


def test_a_test_example_is_compared_in_one_line(built: tuple[Any, Any, Any]) -> None:
    _, task, _ = built
    compared = task.compare(task.examples("test")[0], Written((), math.log(2) * 64))
    assert compared["ours"] == "64.0 bits"
