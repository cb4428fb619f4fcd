import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.nets.recurrent_stack import RecurrentStack
from saccade.runs import catalogue
from saccade.systems.hred.influence import MOST, Influence, influences
from saccade.systems.hred.model import HRED, HREDConfig
from saccade.tasks.dialogue import END, START, Judged
from saccade.tasks.dialogue.task import padded
from tests.checks import assert_twins, randomised
from tests.explain.pictures import assert_apart, assert_whole

RECIPE: Any = catalogue.recipe("hred")
WORDS = 11
DIALOGUES = [
    [[4, 5, 6], [7], [8, 1, 9, 4]],
    [[10, 4], [5]],
]


def net(**options: Any) -> Any:
    sizes = {"embedding_size": 3, "turn_size": 5, "context_size": 7, "decoder_size": 2, "dropout": 0.0}
    torch.manual_seed(0)
    return randomised(HRED(HREDConfig(**{**sizes, **options}), WORDS)).eval()


def said(dialogues: Any = DIALOGUES) -> Tensor:
    return padded([tuple((START, *turn, END) for turn in one) for one in dialogues])


def cell(stack: RecurrentStack, direction: int, inputs: Tensor, hidden: Tensor) -> Tensor:
    """One step of a gated recurrent unit, equation by equation."""
    net: Any = stack.layers[0][direction]  # type: ignore[index]
    rows_in = (net.weight_ih_l0 @ inputs + net.bias_ih_l0).chunk(3)
    rows_on = (net.weight_hh_l0 @ hidden + net.bias_hh_l0).chunk(3)
    reset, update = (torch.sigmoid(one + other) for one, other in zip(rows_in[:2], rows_on[:2], strict=True))
    new = torch.tanh(rows_in[2] + reset * rows_on[2])
    found: Tensor = (1 - update) * new + update * hidden
    return found


def slow(model: Any, dialogue: list[list[int]]) -> list[Tensor]:
    """Minus the log-probability of each turn, word by word."""
    config, table = model.config, model.embedding.weight
    context, found = table.new_zeros(config.context_size), []
    for turn in dialogue:
        hidden, nats = torch.tanh(model.initial.weight @ context + model.initial.bias), table.new_zeros(())
        for word, after in zip([START, *turn], [*turn, END], strict=True):
            inputs = torch.cat([table[word], context]) if config.every else table[word]
            hidden = cell(model.decoder, 0, inputs, hidden)
            features = model.hidden.weight @ hidden + model.hidden.bias + model.last.weight @ table[word]
            nats = nats - (table @ features + model.bias).log_softmax(0)[after]
        found.append(nats)
        ends = []
        for direction, words in enumerate([turn, turn[::-1]][: 1 + config.bidirectional]):
            state = table.new_zeros(config.turn_size)
            for word in words:
                state = cell(model.turn, direction, table[word], state)
            ends.append(state)
        context = cell(model.context, 0, torch.cat(ends), context)
    return found


class TestNet:
    @pytest.mark.parametrize(("bidirectional", "every"), [(True, True), (False, False)])
    def test_it_is_the_equations_word_by_word(self, bidirectional: bool, every: bool) -> None:
        model = net(bidirectional=bidirectional, every=every)
        turns = said()
        there = turns[:, :, 0] == START

        def fast() -> Tensor:
            loss: Tensor = model.loss(turns[there], model.contexts(turns)[:, :-1][there])
            return loss

        def loops() -> Tensor:
            return torch.stack([nats for one in DIALOGUES for nats in slow(model, one)]).sum()

        assert_twins(fast, loops, list(model.parameters()))
        each = model.nats(turns[there], model.contexts(turns)[:, :-1][there])
        torch.testing.assert_close(each, torch.stack([nats.detach() for one in DIALOGUES for nats in slow(model, one)]))

    def test_on_turns_of_one_word_it_is_a_plain_recurrent_net_over_them(self) -> None:
        """The vector of a turn depends on its word alone, so the contexts are the states of one GRU over words, and the
        next word is predicted from the state alone."""
        model, words = net(), [4, 7, 7, 10, 5]
        turns = said([[[word] for word in words]])
        table = model.encode(said([[[word]] for word in range(4, WORDS)])[:, 0])
        plain = torch.nn.GRU(2 * 5, 7, batch_first=True).double()
        plain.load_state_dict(model.context.layers[0][0].state_dict())
        states, _ = plain(table[torch.tensor(words) - 4][None])
        torch.testing.assert_close(model.contexts(turns)[0, 1:], states[0])
        for place, word in enumerate(words[1:]):
            projection, _ = model.read(torch.tensor([[START]]), model.start(states[:, place]))
            first = -float(projection.log_probs()[0, 0, word].detach())
            projection, _ = model.read(torch.tensor([[START, word]]), model.start(states[:, place]))
            end = -float(projection.log_probs()[0, 1, END].detach())
            found = model.nats(turns[0, place + 1][None], model.contexts(turns)[:, place + 1])
            assert float(found) == pytest.approx(first + end)

    def test_padding_of_turns_and_of_dialogues_changes_nothing(self) -> None:
        model = net()
        together = model.contexts(F.pad(said(), (0, 3, 0, 2)))
        for row, one in enumerate(DIALOGUES):
            alone = model.contexts(said([one]))
            torch.testing.assert_close(together[row, : len(one) + 1], alone[0])
            torch.testing.assert_close(together[row, -1], alone[0, -1])  # beyond the end it stays the last one

    def test_no_turn_depends_on_a_later_one(self) -> None:
        model = net()
        changed = [[[4, 5, 6], [7], [9, 9]]]
        torch.testing.assert_close(model.contexts(said(changed))[0, :3], model.contexts(said([DIALOGUES[0]]))[0, :3])

    def test_a_first_turn_is_predicted_as_without_context(self) -> None:
        model = net()
        [first] = slow(model, DIALOGUES[1][:1])
        zeros = torch.zeros(1, 7, dtype=torch.float64)
        assert float(model.nats(said([DIALOGUES[1][:1]])[0], zeros)) == pytest.approx(float(first.detach()))
        assert not model.contexts(said())[:, 0].any()
        assert not net(context=False).contexts(said()).any()

    def test_a_turn_that_was_cut_has_no_end_to_predict(self) -> None:
        model, zeros = net(), torch.zeros(1, 7, dtype=torch.float64)
        projection, _ = model.read(torch.tensor([[START, 4]]), model.start(zeros))
        rows = projection.log_probs()[0].detach()
        expected = -float(rows[0, 4] + rows[1, 5])
        assert float(model.nats(torch.tensor([[START, 4, 5]]), zeros)) == pytest.approx(expected)

    def test_it_writes_neither_padding_nor_unknown_words(self) -> None:
        model = net()
        log_probs, _ = model.step(torch.tensor([START]), model.start(torch.zeros(1, 7, dtype=torch.float64)))
        assert log_probs[0, :3].tolist() == [-torch.inf] * 3
        assert float(log_probs.detach().exp().sum()) == pytest.approx(1)


def built(variant: str = "tiny", **model: Any) -> tuple[Any, Any, Any]:
    config = RECIPE.variants[variant]
    config = replace(config, model=replace(config.model, **model))
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task), 0.3).eval()


def answered(example: Any, config: Any, task: Any, model: Any) -> Answer:
    [prediction] = RECIPE.predict(model, task.collate([example]), config)
    return Answer(model, task, config, example, prediction, torch.device("cpu"))


class TestRecipe:
    def test_the_three_contexts(self) -> None:
        config, task, model = built()
        example = next(one for one in task.examples("test") if len(one.turns) > 2)
        [judged] = RECIPE.predict(model, task.collate([example]), config)
        turns = padded([example.turns])[0]
        contexts = {
            "nats": model.contexts(turns[None])[0, :-1],
            "without": torch.zeros(len(turns), config.model.context_size, dtype=torch.float64),
            "shuffled": model.contexts(padded([example.others]))[0, :-1],
        }
        for name, own in contexts.items():
            assert list(getattr(judged, name)) == pytest.approx(model.nats(turns, own).tolist(), abs=1e-4)
        assert judged.without[0] == judged.shuffled[0] == judged.nats[0]
        assert judged.shuffled[1] != judged.nats[1] != judged.without[1]

    def test_without_context_there_is_one_number(self) -> None:
        config, task, model = built(context=False)
        [judged] = RECIPE.predict(model, task.collate(task.examples("test")[:1]), config)
        assert (judged.without, judged.shuffled) == ((), ())
        assert not any(name.startswith(("turn.", "context.")) for name, _ in model.named_parameters())

    def test_in_training_some_turns_are_without_their_context(self) -> None:
        config, task, model = built(without=0.999)
        batch = task.collate(task.examples("train")[:3], torch.Generator())
        assert batch.others is None
        parts = RECIPE.objective(model.train(), batch, 0).parts
        there = batch.turns[:, :, 0] == START
        alone = model.loss(batch.turns[there], torch.zeros(int(there.sum()), config.model.context_size).double())
        found = float(parts["nats"].value.detach() * parts["nats"].count)
        assert found == pytest.approx(float(alone.detach()), rel=1e-3)

    def test_a_dialogue_of_one_turn_is_answered(self) -> None:
        config, task, model = built()
        answer = answered(task.read("good morrow ."), config, task, model)
        assert isinstance(answer.prediction, Judged)
        assert answer.prediction.nats == ()
        _, picture = RECIPE.pictures(answer)
        assert len(picture.turns) == 1

    def test_draws_follow_the_seed_and_not_the_batch(self) -> None:
        config, task, model = built()
        config = replace(config, search=replace(config.search, method="sample"))
        examples = [task.read("good morrow ."), task.read("what is it ? / come .")]
        together = RECIPE.predict(model, task.collate(examples), config)
        assert together == [RECIPE.predict(model, task.collate([one]), config)[0] for one in examples]
        other = replace(config, training=replace(config.training, seed=2))
        assert RECIPE.predict(model, task.collate(examples), other) != together

    def test_the_steps_are_those_of_the_turn(self) -> None:
        config, task, model = built()
        example = task.read("good morrow . / what is it ?")
        answer = answered(example, config, task, model)
        steps = RECIPE.steps(answer, 2)
        assert [step.symbol for step in steps][: len(answer.prediction.answer)] == [
            task.words[symbol] for symbol in answer.prediction.answer
        ]
        first, _ = model.step(torch.tensor([START]), model.start(model.contexts(padded([example.turns]))[:, -1]))
        assert steps[0].log_prob == pytest.approx(float(first[0, answer.prediction.answer[0]].detach()))
        alone = task.examples("test")[0]._replace(turns=((START, 5, END),))
        [step, end] = RECIPE.steps(answer._replace(example=alone), 1)
        first, _ = model.step(torch.tensor([START]), model.start(torch.zeros(1, 8, dtype=torch.float64)))
        assert step.log_prob == pytest.approx(float(first[0, 5].detach())), "a first turn, without context"
        assert end.symbol == "<end>"


class TestInfluence:
    def test_it_is_what_the_dialogue_without_the_turn_gives(self) -> None:
        model, turns = net(), [(START, *turn, END) for turn in DIALOGUES[0]]
        answer = (START, 6, 4, END)
        found = influences(model, turns, answer)

        def nats(read: list[list[int]]) -> float:
            return float(slow(model, [*read, [6, 4]])[-1].detach())

        whole = nats(DIALOGUES[0])
        for place, value in enumerate(found.tolist()):
            assert value == pytest.approx(nats(DIALOGUES[0][:place] + DIALOGUES[0][place + 1 :]) - whole)

    def test_the_only_turn_left_out_leaves_no_context(self) -> None:
        model = net()
        [found] = influences(model, [(START, 4, END)], (START, 5, END)).tolist()
        with_it, without = slow(model, [[4], [5]])[-1], slow(model, [[5]])[-1]
        assert found == pytest.approx(float((without - with_it).detach()))

    def test_of_a_long_dialogue_the_last_turns(self) -> None:
        assert len(influences(net(), [(START, 4, END)] * (MOST + 5), (START, 5, END))) == MOST

    def test_the_picture(self) -> None:
        config, task, model = built()
        answer = answered(next(one for one in task.examples("test") if len(one.turns) > 3), config, task, model)
        surprise, picture = RECIPE.pictures(answer)
        last = task.collate([answer.example])
        nats = RECIPE.predict(model, last, config)[0].nats[-1]
        assert float(surprise.numbers.sum()) * math.log(2) == pytest.approx(nats, abs=1e-3)
        assert picture.answer == task.said(answer.example.turns[-1])
        assert kept(load(kept(picture))) == kept(picture)
        assert max(map(len, picture.text(70).split("\n"))) <= 70
        first = answer._replace(example=answer.example._replace(turns=answer.example.turns[:1]))
        assert [each.name for each in RECIPE.pictures(first)] == ["surprise"]

    def test_the_figure_is_whole(self) -> None:
        turns = ["wow , i keep on bumping into you .", "yeah .", "and one that goes on " * 5]
        figure = Influence("influence", turns, [0.7, -0.2, 0.0], "i hope your mango ' s ripe .").figure()
        assert_whole(figure)
        assert_apart(figure)

    def test_numbers_for_other_turns_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="numbers"):
            Influence("influence", ["a", "b"], [0.1], "c")
