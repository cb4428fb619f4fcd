"""XLNet: its two streams, orders and memory, and its answers and pictures."""

import itertools
import json
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from saccade.core.config import from_plain, to_plain
from saccade.core.recipe import Answer
from saccade.explain.pictures import kept, load
from saccade.nets.continuation import WritingConfig
from saccade.runs import catalogue
from saccade.runs.memory import sized
from saccade.systems.xlnet.model import XLNet, XLNetConfig
from saccade.systems.xlnet.orders import Order, draw, masks
from saccade.systems.xlnet.recipe import OrderConfig
from saccade.tasks.text import Written
from tests.checks import assert_twins, randomised
from tests.explain.pictures import assert_whole

CPU = torch.device("cpu")
RECIPE: Any = catalogue.recipe("xlnet")
SYMBOLS, LENGTH, MEMORY = 11, 5, 4


def make(layers: int = 2, memory: int = MEMORY, **options: Any) -> XLNet:
    sizes = XLNetConfig(layers=layers, model_size=6, heads=2, hidden_size=7, memory=memory, dropout=0.0, **options)
    return randomised(XLNet(sizes, SYMBOLS, 8)).eval()


def texts(rows: int, length: int) -> Tensor:
    """Each symbol at most once in a text, so that a row of the embedding is one position."""
    return torch.stack([torch.randperm(SYMBOLS)[:length] for _ in range(rows)])


def order_of(*orders: tuple[int, ...]) -> Order:
    """An order from the positions in their turn, from 0."""
    return Order(torch.tensor(orders).argsort(1))


def forwards(rows: int, length: int) -> Order:
    return Order(torch.arange(length).expand(rows, -1))


def slow_two_streams(
    model: XLNet, symbols: list[int], order: tuple[int, ...], wanted: tuple[int, ...], memory: Tensor | None = None
) -> Tensor:
    """The query stream of the wanted positions of one text. Each position attends, alone, to the list of those that it
    may see; no mask and no shift. Positions that are not in the order are not looked at."""
    h = {i: model.embedding.weight[symbols[i]] for i in order}
    g: dict[int, Tensor] = dict.fromkeys(wanted, model.unknown)
    for number, layer in enumerate(model.layers):
        old = [] if memory is None else list(memory[number])

        def step(x: Tensor, place: int, seen: list[int], h: Any = h, old: Any = old, layer: Any = layer) -> Tensor:
            keys = [*old, *(h[i] for i in seen), torch.zeros_like(x)]  # the last is masked: no list is empty
            places = [*range(len(old)), *(len(old) + i for i in seen), 0]
            attention = layer.attention
            queries, total = (attention.query.weight @ x).view(attention.content_bias.shape), []
            for head, query in enumerate(queries):
                rows = slice(head * attention.head_size, (head + 1) * attention.head_size)
                scores = []
                for key, at in zip(keys, places, strict=True):
                    distance, angles = len(old) + place - at, []
                    for n in range(0, len(x), 2):
                        angle = distance / 10_000 ** (n / len(x))
                        angles += [math.sin(angle), math.cos(angle)]
                    r = attention.position.weight[rows] @ torch.tensor(angles, dtype=x.dtype)
                    k = attention.key.weight[rows] @ key
                    scores.append(
                        (query + attention.content_bias[head]) @ k + (query + attention.position_bias[head]) @ r
                    )
                scaled = torch.stack(scores)[:-1] / attention.head_size**0.5
                values = [attention.value.weight[rows] @ key for key in keys[:-1]]
                none = torch.zeros_like(query)
                total.append(sum((w * v for w, v in zip(scaled.softmax(0), values, strict=True)), none))
            hidden, output = layer.feed_forward.hidden, layer.feed_forward.output
            for residual in (layer.attention_residual, layer.forward_residual):
                if residual is layer.attention_residual:
                    added = x + attention.output.weight @ torch.cat(total)
                else:
                    units = hidden.weight @ x + hidden.bias
                    units = units / 2 * (1 + torch.erf(units / 2**0.5))
                    added = x + output.weight @ units + output.bias
                centred = added - added.mean()
                x = residual.norm.weight * centred / (centred.square().mean() + 1e-12).sqrt() + residual.norm.bias
            return x

        turn = {position: t for t, position in enumerate(order)}
        g = {i: step(g[i], i, [j for j in order if turn[j] < turn.get(i, len(order))]) for i in wanted}
        h = {i: step(h[i], i, [j for j in order if turn[j] <= turn[i]]) for i in order}
    return torch.stack([g[i] for i in wanted])


class TestStreams:
    def test_they_equal_the_slow_twin_with_a_memory(self) -> None:
        model, symbols, order = make(), texts(2, 4), [(2, 0, 3, 1), (1, 3, 2, 0)]
        _, memory = model.permuted(texts(2, 3), forwards(2, 3))
        assert memory.shape == (2, 2, 3, 6)

        def slow() -> Tensor:
            rows = zip(symbols.tolist(), order, memory, strict=True)
            return torch.stack([slow_two_streams(model, text, one, (0, 1, 2, 3), old) for text, one, old in rows])

        weights = [model.embedding.weight, model.unknown, *model.layers.parameters()]
        assert_twins(lambda: model.permuted(symbols, order_of(*order), memory)[0].query, slow, weights, 1e-10)

    def test_under_the_order_of_the_text_the_content_is_a_causal_transformer(self) -> None:
        model, symbols = make(), texts(3, LENGTH)
        found, _ = model.permuted(symbols, forwards(3, LENGTH))
        content = model.embedding(symbols)
        layers: Any = model.layers
        for layer in layers:
            attended = layer.attention_residual(content, lambda x, layer=layer: layer.attention(x, causal=True))
            content = layer.forward_residual(attended, layer.feed_forward)
        torch.testing.assert_close(found.content, content)

    def test_under_the_order_of_the_text_the_next_symbol_is_predicted_as_in_writing(self) -> None:
        model, symbols = make(), texts(3, LENGTH)
        found, _ = model.permuted(symbols, forwards(3, LENGTH))
        torch.testing.assert_close(model(symbols[:, :-1]).features, found.query[:, 1:])

    @pytest.mark.parametrize(("length", "layers"), [(1, 2), (2, 2), (3, 2), (4, 2), (5, 1)])
    def test_the_mean_over_all_orders_is_that_of_brute_force(self, length: int, layers: int) -> None:
        model, symbols, orders = make(layers), texts(1, length), list(itertools.permutations(range(length)))

        @cache
        def conditional(seen: tuple[int, ...], place: int) -> float:
            """log p of the symbol at a place, after those seen."""
            features = slow_two_streams(model, symbols[0].tolist(), seen, (place,))[0]
            logits = model.embedding.weight @ features + model.output_bias
            return float(logits.log_softmax(0)[symbols[0, place]])

        with torch.no_grad():
            found, _ = model.permuted(symbols.expand(len(orders), -1), order_of(*orders))
            ours = F.cross_entropy(model.project(found.query).logits().mT, symbols.expand(len(orders), -1))
            total = 0.0
            for order in orders:  # the chain rule
                for t, place in enumerate(order):
                    seen = order[:t] if layers > 1 else tuple(sorted(order[:t]))  # one layer only sees which there are
                    total -= conditional(seen, place)
        assert float(ours) == pytest.approx(total / len(orders) / length, rel=1e-10)

    def test_the_query_stream_never_sees_its_own_symbol_or_a_later_one(self) -> None:
        model, symbols, order = make(layers=3), texts(1, LENGTH), (3, 1, 4, 0, 2)
        found, _ = model.permuted(symbols, order_of(order))
        for t, place in enumerate(order):
            for stream, seen in ((found.query, order[:t]), (found.content, order[: t + 1])):
                total, table = stream[0, place].square().sum(), model.embedding.weight
                [slope] = torch.autograd.grad(total, [table], retain_graph=True)
                moved = {i for i in range(LENGTH) if slope[symbols[0, i]].any()}  # exactly 0 elsewhere
                assert moved == set(seen)

    def test_the_first_of_an_order_sees_nothing_and_depends_on_no_symbol(self) -> None:
        model = make()
        found = [model.permuted(texts(1, LENGTH), order_of((2, 0, 1, 4, 3)))[0].query[0, 2] for _ in range(2)]
        torch.testing.assert_close(*found, rtol=0, atol=0)

    def test_positions_that_are_not_predicted_change_nothing(self) -> None:
        model, symbols, order = make(), texts(2, LENGTH), draw(2, LENGTH)
        _, memory = model.permuted(texts(2, 3), draw(2, 3))
        targets = torch.tensor([[0, 3], [2, 4]])
        whole, part = (model.permuted(symbols, one, memory)[0] for one in (order, order._replace(targets=targets)))
        torch.testing.assert_close(part.query, whole.query.gather(1, targets[..., None].expand(-1, -1, 6)))
        torch.testing.assert_close(part.content, whole.content)

    def test_padding_equals_cut_off(self) -> None:
        model, symbols, order = make(), texts(2, LENGTH), draw(2, LENGTH)
        padded = torch.cat([symbols, texts(2, 2)], 1)
        # the padding comes first in the order, where everything could see it
        ranks = torch.cat([order.ranks + 2, torch.tensor([[0, 1], [1, 0]])], 1)
        mask = (torch.arange(LENGTH + 2) < LENGTH).expand(2, -1)
        (found, _), (cut, _) = model.permuted(padded, Order(ranks), None, mask), model.permuted(symbols, order)
        for ours, theirs in zip(found, cut, strict=True):
            torch.testing.assert_close(ours[:, :LENGTH], theirs)
        torch.testing.assert_close(model(padded, mask).features[:, :LENGTH], model(symbols).features)
        before = torch.cat([texts(2, 2), symbols], 1)
        torch.testing.assert_close(model(before, mask.flip(1)).features[:, 2:], model(symbols).features)

    def test_segments_are_relative(self) -> None:
        model, symbols, order = make(segments=True), texts(2, LENGTH), draw(2, LENGTH)
        segments = torch.tensor([[0, 0, 1, 1, 1], [1, 0, 0, 2, 2]])
        found, other, none = (
            model.permuted(symbols, order, None, None, given)[0].query for given in (segments, 7 - segments, None)
        )
        torch.testing.assert_close(found, other)
        assert not torch.allclose(found, none)
        one = model.permuted(symbols, order, None, None, torch.zeros_like(segments))[0].query
        torch.testing.assert_close(one, none)  # within one segment the term cancels in the softmax


class TestMemory:
    def test_a_memory_and_the_next_window_equal_both_in_one_pass(self) -> None:
        """If the order has all of the first window before the second, and the memory reaches back to its beginning."""
        model, symbols = make(memory=LENGTH), texts(2, 2 * LENGTH)
        first, second = draw(2, LENGTH), draw(2, LENGTH)
        both = Order(torch.cat([first.ranks, second.ranks + LENGTH], 1))
        whole, _ = model.permuted(symbols, both)
        _, memory = model.permuted(symbols[:, :LENGTH], first)
        parts, _ = model.permuted(symbols[:, LENGTH:], second, memory)
        for part, all_of_them in zip(parts, whole, strict=True):
            torch.testing.assert_close(part, all_of_them[:, LENGTH:])

    def test_it_reaches_back_as_far_as_it_is_long(self) -> None:
        model, order = make(memory=3), draw(1, 2)
        _, memory = model.permuted(texts(1, LENGTH), draw(1, LENGTH))
        assert memory.shape == (1, 2, 3, 6)
        _, moved = model.permuted(texts(1, 2), order, memory)
        torch.testing.assert_close(moved[:, :, :1], memory[:, :, 2:])
        _, none = make(memory=0).permuted(texts(1, 2), order)
        assert none.shape == (1, 2, 0, 6)

    def test_no_gradient_reaches_it(self) -> None:
        model, order = make(), draw(1, 2)
        _, memory = model.permuted(texts(1, LENGTH), draw(1, LENGTH))
        assert not memory.requires_grad
        memory.requires_grad_()
        found, _ = model.permuted(texts(1, 2), order, memory)
        [slope] = torch.autograd.grad(found.query.sum(), [memory], allow_unused=True)
        assert slope is None


class TestOrders:
    def test_all_are_equally_likely(self) -> None:
        count = 24_000
        torch.manual_seed(0)
        ranks = draw(count, 4).ranks
        assert (ranks.sort(1).values == torch.arange(4)).all()
        seen = (ranks * torch.tensor([64, 16, 4, 1])).sum(1).bincount()
        seen = seen[seen > 0].double()
        assert len(seen) == 24
        assert ((seen - count / 24).square() / (count / 24)).sum() < 49.7  # chi-square, 23 degrees of freedom, 0.1 %

    def test_the_last_part_of_an_order_is_predicted(self) -> None:
        order = draw(50, 13, 4)
        assert order.targets is not None
        assert order.targets.shape == (50, 3)
        assert (order.targets.diff(dim=1) > 0).all()
        assert (order.ranks.gather(1, order.targets).sort(1).values == torch.tensor([10, 11, 12])).all()
        assert draw(2, 3, 6).targets.shape == (2, 1)  # type: ignore[union-attr]  # never none

    def test_blocks_follow_each_other(self) -> None:
        order = draw(50, 12, 2, 4)
        assert order.targets is not None
        assert (order.ranks // 4 == torch.arange(12) // 4).all()
        assert (order.targets // 4 == torch.tensor([0, 0, 1, 1, 2, 2])).all()
        assert (order.ranks.gather(1, order.targets) % 4 >= 2).all()
        assert (draw(2, 5, 1, 1).ranks == torch.arange(5)).all()

    def test_the_masks_are_those_of_the_papers_example(self) -> None:
        """Figure 2 (c): the order 3, 2, 4, 1."""
        found = masks(order_of((2, 1, 3, 0)), 1)
        content = [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [1, 0, 0, 1, 0], [1, 0, 1, 1, 1]]
        assert found.content[0, 0].int().tolist() == content
        for row in range(4):
            content[row][1 + row] = 0
        assert found.query[0, 0].int().tolist() == content


@pytest.fixture(scope="module")
def built() -> tuple[Any, Any, Any]:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    torch.manual_seed(0)
    return config, task, randomised(RECIPE.build(config, task), 0.3).eval()


@pytest.mark.parametrize(("variant", "parameters"), [("base", 116_750_336), ("large", 360_300_800)])
def test_the_published_sizes_have_their_parameters(variant: str, parameters: int) -> None:
    config = RECIPE.variants[variant]
    model = sized(lambda: XLNet(config.model, config.task.symbols.size, 896))
    assert sum(weight.numel() for weight in model.parameters()) == parameters


class TestWriting:
    @pytest.mark.parametrize("parts", [[1] * 7, [3, 4]])
    def test_steps_with_a_cache_equal_one_pass(self, parts: list[int]) -> None:
        model, symbols = make(), texts(2, 7)
        mask = torch.arange(7) >= torch.tensor([[0], [2]])
        past, found, done = None, [], 0
        for part in symbols.split(parts, 1):
            done += part.shape[1]
            features, past = model.advance(part, None, past, mask[:, :done])
            found.append(features)
        torch.testing.assert_close(torch.cat(found, 1), model(symbols, mask).features)

    def test_the_nats_are_those_of_each_scored_symbol_given_those_before(self, built: tuple[Any, Any, Any]) -> None:
        """By the query stream, at the place of the symbol, in the order of the text."""
        config, task, model = built
        examples = [task.examples("test")[0], task.examples("test")[-1]]
        assert len(examples[0].symbols) - examples[0].scored == config.task.context
        with torch.no_grad():
            found = RECIPE.predict(model, task.collate(examples), config)
            for example, written in zip(examples, found, strict=True):
                count = len(example.symbols)
                streams, _ = model.permuted(example.symbols[None], forwards(1, count))
                each = model.project(streams.query[0]).log_probs().gather(1, example.symbols[:, None])
                assert written.nats == pytest.approx(-float(each[count - example.scored :].sum()), abs=1e-3)

    def test_every_symbol_of_the_test_is_scored_once(self, built: tuple[Any, Any, Any]) -> None:
        _, task, _ = built
        examples = task.examples("test")
        figures = task.score([Written((), 0.0)] * len(examples), examples).figures
        assert figures["signature"].value == "9,900 symbols, each once, 16 or more before it"

    def test_a_text_is_continued_alike_in_any_batch(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        asked = [task.read(text) for text in ("ROMEO:", "A", "What is thy name, and where is all thy house?")]
        together = RECIPE.predict(model, task.collate([*asked, task.examples("test")[0]]), config)
        alone = [RECIPE.predict(model, task.collate([one]), config)[0] for one in asked]
        assert [one.symbols for one in together[:3]] == [one.symbols for one in alone]
        assert not math.isnan(together[3].nats)
        assert task.decode(alone[0]).startswith("ROMEO:")
        assert len(alone[0].symbols) == 6 + config.writing.length
        [note] = task.notes(asked[2])
        assert "reads at most 32 at once" in note

    def test_the_likeliest_are_written_at_temperature_0(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        config = replace(config, writing=WritingConfig(temperature=0, length=9))
        [written] = RECIPE.predict(model, task.collate([task.read("ROMEO:")]), config)
        for count in range(6, 15):
            assert (
                int(model(torch.tensor([written.symbols[:count]])).logits()[0, -1].argmax()) == written.symbols[count]
            )

    def test_steps_are_the_written_symbols(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        example = task.read("ROMEO:")
        [written] = RECIPE.predict(model, task.collate([example]), config)
        steps = RECIPE.steps(Answer(model, task, config, example, written, CPU), 61)
        assert len(steps) == config.writing.length
        assert sum(math.exp(value) for _, value in steps[7].likeliest) == pytest.approx(1)


class TestObjective:
    def test_it_is_the_cross_entropy_of_the_last_part_of_an_order_with_a_memory(
        self, built: tuple[Any, Any, Any]
    ) -> None:
        config, task, model = built
        model.train()  # there is no dropout
        stream = RECIPE.stream(config, task, model)
        first = RECIPE.objective(model, stream.share(0).batch, 0)
        assert first.carry.shape == (32, 2, 16, 24)
        stream.after(0, first)
        batch = stream.share(1).batch
        loss = RECIPE.objective(model, batch, 1)
        model.eval()
        assert loss.parts["nats"].count == batch.targets.numel() == 32 * 8
        symbols = batch.symbols[:, 1:]
        streams, _ = model.permuted(symbols, Order(batch.ranks, batch.targets), first.carry)
        rows = model.project(streams.query).log_probs().gather(2, symbols.gather(1, batch.targets)[..., None])
        torch.testing.assert_close(loss.value, -rows.mean())

    def test_windows_follow_each_other_and_orders_are_drawn_anew(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        stream = RECIPE.stream(config, task, model)
        batches = [stream.share(number).batch for number in range(2)]
        text = task.part("train")
        assert torch.equal(torch.cat([batch.symbols[:, 1:] for batch in batches], 1)[0], text[1:33])
        assert not torch.equal(batches[0].ranks, batches[1].ranks)
        parts = [stream.share(1, rank, 3).batch for rank in range(3)]  # as one process
        for rank, part in enumerate(parts):
            assert torch.equal(part.ranks, batches[1].ranks[rank::3])
            assert torch.equal(part.targets, batches[1].targets[rank::3])
            assert torch.equal(part.symbols, batches[1].symbols[rank::3])

    def test_validation_draws_nothing(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        batch = task.collate(task.examples("validation")[:3])
        found = [RECIPE.objective(model.eval(), batch, 0).value for _ in range(2)]
        assert torch.equal(*found)
        nats = sum(one.nats for one in RECIPE.predict(model, batch, config))
        assert found[0].item() == pytest.approx(nats / int(batch.scored.sum()), abs=1e-5)


class TestPictures:
    def test_the_tinted_text_the_heads_and_the_masks(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        config = replace(config, order=replace(config.order, shown=(3, 2, 4, 1)))
        example = task.read("ROMEO:\n")
        [written] = RECIPE.predict(model, task.collate([example]), config)
        tinted, heads, content, query = RECIPE.pictures(Answer(model, task, config, example, written, CPU))
        with torch.no_grad():
            row = model(torch.tensor([written.symbols[:9]])).log_probs()[0, -1]
        assert float(tinted.numbers[9]) == pytest.approx(math.exp(float(row[written.symbols[9]])))
        names = [f"layers.{layer}.{stream}.weights" for layer in range(2) for stream in ("content", "query")]
        assert list(heads.layers) == names
        weights, queries, keys = heads.layers["layers.1.query.weights"]
        assert list(queries) == [*keys[1:], "?"]
        assert torch.allclose(weights.sum(-1), torch.ones(3, len(keys)))
        assert content.rows == ["R 4", "O 2", "M 1", "E 3"]
        assert content.weights.tolist() == [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 0], [0, 1, 1, 1]]
        assert query.weights.tolist() == [[0, 1, 1, 1], [0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 0]]
        for picture in (tinted, heads, content, query):
            assert_whole(picture.figure())
            assert kept(load(json.loads(json.dumps(kept(picture))))) == json.loads(json.dumps(kept(picture)))

    def test_an_order_is_drawn_from_its_seed_and_cut_to_the_text(self, built: tuple[Any, Any, Any]) -> None:
        config, task, model = built
        assert sorted(OrderConfig().positions) == list(range(8))
        assert OrderConfig().positions == OrderConfig().positions != OrderConfig(shown_seed=2).positions
        example = task.read("ROM")
        config = replace(config, writing=WritingConfig(length=1))
        [written] = RECIPE.predict(model, task.collate([example]), config)
        assert len(RECIPE.pictures(Answer(model, task, config, example, written, CPU))[-1].rows) == 4


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"model.memory": 0}, "--task.context 8 or less"),
        ({"order.block": 3}, "--order.block 3 does not divide --task.window 16"),
        ({"order.block": 4, "order.partial": 5}, "--order.partial 4 or less"),
        ({"model.heads": 5}, "5 heads do not divide a model-size of 24"),
        ({"task.corpus": "levels", "task.symbols": "lines"}, "--task.corpus must be text"),
        ({"order.shown": [1, 2, 2]}, "such as 3 2 4 1, not 1 2 2"),
        ({"writing.top_p": 0}, "greater than 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], why: str) -> None:
    plain = to_plain(RECIPE.variants["tiny"])
    for name, value in options.items():
        room, _, key = name.partition(".")
        plain[room][key] = value
    with pytest.raises(ValidationError, match=why):
        from_plain(type(RECIPE.config), plain)
