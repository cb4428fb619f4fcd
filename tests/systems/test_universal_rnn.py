"""A recurrent net that runs a two-stack machine."""

import itertools

import pytest
import torch

from saccade.core.errors import InvalidInput
from saccade.systems.universal_rnn.model import UniversalRNN, coded, decoded
from saccade.systems.universal_rnn.recipe import RECIPE, Config, predict
from saccade.tasks.universal_rnn.machine import MACHINES, Configuration, answer, run
from saccade.tasks.universal_rnn.task import MOST, WordsConfig, WordsTask

WORDS = ["".join(bits) for size in range(1, 8) for bits in itertools.product("01", repeat=size)]


@pytest.mark.parametrize("name", MACHINES)
def test_every_step_on_every_word_of_seven_bits_is_that_of_the_interpreter(name: str) -> None:
    config = Config(task=WordsConfig(machine=name))  # type: ignore[arg-type]
    task = WordsTask(config.task)
    examples = [task.read(word) for word in WORDS]
    model = RECIPE.build(config, task)
    found = predict(model, task.collate(examples), config)
    assert [each.trace for each in found] == [example.trace for example in examples]


def test_the_machines_do_what_they_are_named_after() -> None:
    for word in WORDS:
        ends = {name: run(machine, word, MOST)[-1] for name, machine in MACHINES.items()}
        zeros = len(word) // 2
        assert int(answer("increment", ends["increment"]), 2) == int(word, 2) + 1
        assert answer("reverse", ends["reverse"]) == word[::-1]
        assert answer("equal", ends["equal"]) == ("yes" if word == "0" * zeros + "1" * zeros else "no")


def test_a_halted_machine_stays_as_it_is() -> None:
    model = UniversalRNN(MACHINES["increment"])
    units = model.initial(["1"])
    for _ in range(20):
        units = model(units)
    assert model.configuration(units[0]) == Configuration("done", (), (0, 1))


def test_a_stack_of_26_bits_is_exact() -> None:
    torch.manual_seed(0)
    word = "".join(str(int(bit)) for bit in torch.randint(0, 2, (26,)))
    assert decoded(coded(word)) == tuple(int(bit) for bit in reversed(word))
    assert decoded(0.0) == ()


def test_all_units_are_saturated_linear_and_all_weights_rational() -> None:
    model = UniversalRNN(MACHINES["equal"])
    assert not list(model.parameters())
    assert set((4 * torch.cat([model.weight.flatten(), model.bias])).tolist()) <= set(range(-40, 41))
    assert "units" in dict(model.named_children())


@pytest.mark.parametrize("word", ["12", "0" * 21, "a", " 1"])
def test_what_is_no_word_of_bits_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput, match="expected 1 to 20 bits"):
        WordsTask(WordsConfig()).read(word)
