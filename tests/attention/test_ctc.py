"""CTC and the transducer against the sum over every path, written out."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.attention.ctc import (
    best_path,
    collapse,
    ctc_loss,
    forced_alignment,
    frames_needed,
    posteriors,
    prefix_beam_search,
)
from saccade.attention.transducer import transducer_loss
from saccade.core.errors import InvalidInput

FRAMES, SYMBOLS = 5, 3
LENGTHS = torch.tensor([5, 4, 3, 5, 1])
TARGETS = torch.tensor([[1, 1, 2], [2, 1, 1], [1, 1, 2], [0, 0, 0], [2, 0, 0]])
TARGET_LENGTHS = torch.tensor([3, 3, 2, 0, 1])


def make_logits() -> Tensor:
    return torch.randn(len(LENGTHS), FRAMES, SYMBOLS, dtype=torch.float64, requires_grad=True)


def paths(row: int) -> Iterator[tuple[int, ...]]:
    """B^-1 of the row's labelling."""
    label = TARGETS[row, : TARGET_LENGTHS[row]].tolist()
    for path in itertools.product(range(SYMBOLS), repeat=int(LENGTHS[row])):
        if collapse(path) == label:
            yield path


def probability(log_probs: Tensor, path: tuple[int, ...]) -> Tensor:
    return torch.stack([log_probs[t, symbol] for t, symbol in enumerate(path)]).sum().exp()


@pytest.mark.parametrize(
    ("path", "labels"),
    [([], []), ([0, 0], []), ([1, 1], [1]), ([1, 0, 1], [1, 1]), ([0, 2, 2, 0, 0, 2, 1, 1], [2, 2, 1])],
)
def test_repeats_are_dropped_and_then_blanks(path: list[int], labels: list[int]) -> None:
    assert collapse(path) == labels
    assert collapse([{0: 7, 7: 0}.get(symbol, symbol) for symbol in path], blank=7) == labels


def test_the_loss_is_the_sum_over_every_path_with_its_gradient() -> None:
    logits = make_logits()
    loss = ctc_loss(logits.log_softmax(2), LENGTHS, TARGETS, TARGET_LENGTHS)
    log_probs = logits.log_softmax(2)
    expected = torch.stack([
        -torch.stack([probability(log_probs[row], path) for path in paths(row)]).sum().log()
        for row in range(len(LENGTHS))
    ])  # fmt: skip
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    slopes = torch.randn(len(LENGTHS), dtype=torch.float64)
    ours, theirs = (torch.autograd.grad(value, logits, slopes)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def test_the_gradient_is_the_distribution_minus_the_posterior() -> None:
    logits = make_logits()
    loss = ctc_loss(logits.log_softmax(2), LENGTHS, TARGETS, TARGET_LENGTHS)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    log_probs = logits.detach().log_softmax(2)
    found = posteriors(log_probs, LENGTHS, TARGETS, TARGET_LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = {path: probability(log_probs[row], path) for path in paths(row)}
        total = sum(every.values())
        for t in range(length):
            for symbol in range(SYMBOLS):
                expected = sum((p for path, p in every.items() if path[t] == symbol), torch.zeros(())) / total
                torch.testing.assert_close(found[row, t, symbol], expected.double(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(slope[row, :length], log_probs[row, :length].exp() - found[row, :length])
        assert not found[row, length:].any()
        assert not slope[row, length:].any()


def test_the_number_of_frames_needed() -> None:
    assert frames_needed(TARGETS, TARGET_LENGTHS).tolist() == [4, 4, 3, 0, 1]
    assert frames_needed(TARGETS[:, :1], TARGET_LENGTHS.clamp(max=1)).tolist() == [1, 1, 1, 0, 1]


def test_an_infeasible_labelling_raises_or_is_dropped_without_effect_on_others() -> None:
    logits, lengths = make_logits(), torch.tensor([5, 3, 3, 5, 1])
    with pytest.raises(InvalidInput, match="sequence 1 has 3 frames, but its labels need 4"):
        ctc_loss(logits.log_softmax(2), lengths, TARGETS, TARGET_LENGTHS)
    loss = ctc_loss(logits.log_softmax(2), lengths, TARGETS, TARGET_LENGTHS, infeasible="drop")
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    keep = torch.tensor([0, 2, 3, 4])
    alone = ctc_loss(logits[keep].log_softmax(2), lengths[keep], TARGETS[keep], TARGET_LENGTHS[keep])
    (expected,) = torch.autograd.grad(alone.sum(), logits)
    torch.testing.assert_close(loss[keep], alone)
    assert loss[1] == 0
    torch.testing.assert_close(slope, expected)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"log_probs": float("nan")}, "NaN"),
        ({"log_probs": float("inf")}, r"\+inf"),
        ({"lengths": 6}, "from 1 to 5 frames"),
        ({"lengths": 0}, "from 1 to 5 frames"),
        ({"target_lengths": 4}, "from 0 to 3"),
        ({"targets": 0}, "not the blank, 0"),
        ({"targets": 3}, "from 0 to 2"),
    ],
)
def test_bad_input_raises(change: dict[str, float], match: str) -> None:
    arguments = {
        "log_probs": make_logits().detach().log_softmax(2), "lengths": LENGTHS.clone(), "targets": TARGETS.clone(),
        "target_lengths": TARGET_LENGTHS.clone(),
    }  # fmt: skip
    for name, value in change.items():
        arguments[name].view(-1)[0] = value
    for function in (ctc_loss, forced_alignment, posteriors):
        with pytest.raises(InvalidInput, match=match):
            function(**arguments)


OTHERS: list[tuple[str, Any, str]] = [
    ("lengths", lambda x: x[:1], r"lengths must be integers of shape \(5,\), not torch.int64 of \(1,\)"),
    ("lengths", lambda x: x[:, None], r"lengths must be integers of shape \(5,\), not torch.int64 of \(5, 1\)"),
    ("lengths", Tensor.float, r"lengths must be integers of shape \(5,\), not torch.float32 of \(5,\)"),
    ("target_lengths", lambda x: x[:1], r"target lengths must be integers of shape \(5,\), not torch.int64 of \(1,\)"),
    ("target_lengths", Tensor.double, r"target lengths must be integers of shape \(5,\), not torch.float64 of \(5,\)"),
    ("targets", lambda x: x[:1], r"targets must be integers of shape \(5, labels\), not torch.int64 of \(1, 3\)"),
    ("targets", lambda x: x[0], r"targets must be integers of shape \(5, labels\), not torch.int64 of \(3,\)"),
    ("targets", Tensor.float, r"targets must be integers of shape \(5, labels\), not torch.float32 of \(5, 3\)"),
    ("log_probs", lambda x: x[0], r"log-probabilities must be \(batch, .*symbols\), not \(5, "),
    ("all", lambda x: x[:0], "at least 1 sequence"),
]


@pytest.mark.unhooked
@pytest.mark.parametrize("function", [ctc_loss, forced_alignment, posteriors, transducer_loss])
@pytest.mark.parametrize(("name", "change", "match"), OTHERS, ids=range(len(OTHERS)))
def test_lengths_and_labels_for_another_batch_raise(function: Any, name: str, change: Any, match: str) -> None:
    shape = (4, SYMBOLS) if function is transducer_loss else (SYMBOLS,)
    arguments = {
        "log_probs": torch.randn(len(LENGTHS), FRAMES, *shape).log_softmax(-1), "lengths": LENGTHS, "targets": TARGETS,
        "target_lengths": TARGET_LENGTHS,
    }  # fmt: skip
    for changed in arguments if name == "all" else [name]:
        arguments[changed] = change(arguments[changed])
    with pytest.raises(InvalidInput, match=match):
        function(**arguments)


@pytest.mark.unhooked
def test_decoding_raises_for_bad_input() -> None:
    log_probs = make_logits().detach().log_softmax(2)
    for lengths, match in (
        (LENGTHS[:1], r"lengths must be integers of shape \(5,\), not torch.int64 of \(1,\)"),
        (LENGTHS.float(), r"lengths must be integers of shape \(5,\), not torch.float32"),
        (LENGTHS + 1, "lengths must be from 0 to 5 frames"),
        (LENGTHS - 2, "lengths must be from 0 to 5 frames"),
    ):
        with pytest.raises(InvalidInput, match=match):
            best_path(log_probs, lengths)
    with pytest.raises(InvalidInput, match=r"must be \(batch, frames, symbols\), not \(5, 3\)"):
        best_path(log_probs[0], LENGTHS)
    with pytest.raises(InvalidInput, match=r"must be \(frames, symbols\), not \(5, 5, 3\)"):
        prefix_beam_search(log_probs)
    with pytest.raises(
        InvalidInput, match=r"targets must be integers of shape \(5, labels\), not torch.int64 of \(1, 3\)"
    ):
        frames_needed(TARGETS[:1], TARGET_LENGTHS)
    assert best_path(log_probs, torch.zeros_like(LENGTHS)) == [[]] * len(LENGTHS)


def test_another_index_of_the_blank_gives_the_same_loss() -> None:
    log_probs = make_logits().detach().log_softmax(2)
    renamed = log_probs[:, :, [1, 2, 0]]
    targets = TARGETS - 1
    for function in (ctc_loss, forced_alignment):
        one = function(log_probs, LENGTHS, TARGETS, TARGET_LENGTHS)
        other = function(renamed, LENGTHS, targets.clamp(min=0), TARGET_LENGTHS, blank=2)
        torch.testing.assert_close(one, other)


def test_the_best_path_is_the_likeliest_symbol_of_each_frame() -> None:
    log_probs = make_logits().detach().log_softmax(2)
    found = best_path(log_probs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        every = itertools.product(range(SYMBOLS), repeat=length)
        likeliest = max(every, key=lambda path: probability(log_probs[row], path).item())
        assert found[row] == collapse(likeliest)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_prefix_search_is_exact(seed: int) -> None:
    torch.manual_seed(seed)
    log_probs = (2 * torch.randn(FRAMES, SYMBOLS)).double().log_softmax(1)
    every: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(SYMBOLS), repeat=FRAMES):
        labels = tuple(collapse(path))
        every[labels] = every.get(labels, 0.0) + probability(log_probs, path).item()
    assert math.isclose(sum(every.values()), 1)
    found = prefix_beam_search(log_probs, beam=10_000)
    assert len(found) == len(every)
    for labels, score in found:
        assert score == pytest.approx(math.log(every[tuple(labels)]), abs=1e-10)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def slow_search(log_probs: Tensor, beam: int, weigh: Any) -> list[tuple[tuple[int, ...], float]]:
    """Hannun et al. 2014, algorithm 1, a prefix and a label at a time."""
    beams = {(): (1.0, 0.0)}
    for frame in log_probs.exp().tolist():
        grown: dict[tuple[int, ...], list[float]] = {}
        for prefix, (blank_end, label_end) in beams.items():
            for label, p in enumerate(frame):
                if label == 0:
                    ways = [(prefix, 0, p * (blank_end + label_end))]
                elif prefix[-1:] == (label,):
                    ways = [(prefix, 1, p * label_end), ((*prefix, label), 1, p * blank_end)]
                else:
                    ways = [((*prefix, label), 1, p * (blank_end + label_end))]
                for labels, end, mass in ways:
                    grown.setdefault(labels, [0.0, 0.0])[end] += mass
        ranked = sorted(grown, key=lambda labels: -sum(grown[labels]) * math.exp(weigh(labels)))[:beam]
        beams = {labels: (grown[labels][0], grown[labels][1]) for labels in ranked if sum(grown[labels])}
    return [(labels, math.log(sum(ends)) + weigh(labels)) for labels, ends in beams.items()]


@pytest.mark.parametrize("beam", [1, 2, 5])
@pytest.mark.parametrize("bonus", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_prefix_search_keeps_what_its_slow_twin_keeps(seed: int, bonus: float, beam: int) -> None:
    """With this many frames, prefixes are dropped and found again, and merge with others that were kept."""
    torch.manual_seed(seed)
    log_probs = (1.5 * torch.randn(40, SYMBOLS)).double().log_softmax(1)
    found = prefix_beam_search(log_probs, beam, bonus=bonus)
    expected = slow_search(log_probs, beam, lambda labels: bonus * len(labels))
    assert [tuple(labels) for labels, _ in found] == [labels for labels, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("beam", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_a_narrow_prefix_search_with_a_language_model_keeps_what_its_slow_twin_keeps(seed: int, beam: int) -> None:
    torch.manual_seed(seed)
    log_probs = (1.5 * torch.randn(20, 4)).double().log_softmax(1)
    table = torch.randn(4, 4, 4).log_softmax(2).tolist()

    def language_model(before: tuple[int, ...], label: int) -> float:
        first, second = (0, 0, *before)[-2:]
        return float(table[first][second][label])

    def weigh(labels: tuple[int, ...]) -> float:
        return sum(0.8 * language_model(labels[:i], label) + 0.5 for i, label in enumerate(labels))

    found = prefix_beam_search(log_probs, beam, language_model=language_model, weight=0.8, bonus=0.5)
    expected = slow_search(log_probs, beam, weigh)
    assert [tuple(labels) for labels, _ in found] == [labels for labels, _ in expected]
    for (_, ours), (_, theirs) in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("given", [math.nan, math.inf])
def test_a_language_model_without_valid_log_probabilities_raises(given: float) -> None:
    log_probs = torch.randn(FRAMES, SYMBOLS).double().log_softmax(1)
    with pytest.raises(InvalidInput, match=rf"a log-probability of label 2 after \(1,\), not {given}"):
        prefix_beam_search(
            log_probs, language_model=lambda before, label: given if (*before, label) == (1, 2) else -1.0
        )


def test_a_language_model_can_forbid_a_label_unless_its_weight_is_0() -> None:
    log_probs = torch.randn(FRAMES, SYMBOLS).double().log_softmax(1)

    def language_model(before: tuple[int, ...], label: int) -> float:
        return -math.inf if label == 2 else -0.3

    assert all(2 not in labels for labels, _ in prefix_beam_search(log_probs, 10_000, language_model=language_model))
    plain = prefix_beam_search(log_probs, 10_000)
    assert prefix_beam_search(log_probs, 10_000, language_model=language_model, weight=0.0) == plain


def test_a_language_model_and_a_bonus_are_added_to_each_label() -> None:
    log_probs = torch.randn(FRAMES, SYMBOLS).double().log_softmax(1)
    asked: list[tuple[tuple[int, ...], int]] = []

    def language_model(before: tuple[int, ...], label: int) -> float:
        asked.append((before, label))
        return -0.3 * label - 0.1 * len(before) - 0.2 * (before[-1:] == (label,))

    plain = {tuple(labels): score for labels, score in prefix_beam_search(log_probs, beam=10_000)}
    found = prefix_beam_search(log_probs, 10_000, language_model=language_model, weight=0.7, bonus=0.4)
    assert len(set(asked)) == len(asked)
    for labels, score in found:
        language = sum(language_model(tuple(labels[:i]), label) for i, label in enumerate(labels))
        assert score == pytest.approx(plain[tuple(labels)] + 0.7 * language + 0.4 * len(labels), abs=1e-10)
    asked.clear()


def test_the_most_probable_labelling_need_not_be_that_of_the_best_path() -> None:
    log_probs = torch.tensor([[0.6, 0.4], [0.6, 0.4]], dtype=torch.float64).log()
    assert best_path(log_probs[None], torch.tensor([2])) == [[]]  # 0.36
    labels, score = prefix_beam_search(log_probs.requires_grad_())[0]
    assert labels == [1]
    assert math.isclose(math.exp(score), 0.64)


def test_a_forced_alignment_is_the_likeliest_path_of_the_labelling() -> None:
    log_probs = make_logits().detach().log_softmax(2)
    found, scores = forced_alignment(log_probs, LENGTHS, TARGETS, TARGET_LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        best = max(paths(row), key=lambda path: probability(log_probs[row], path).item())
        assert scores[row].item() == pytest.approx(probability(log_probs[row], best).log().item(), abs=1e-12)
        said = [int(TARGETS[row, place]) if place >= 0 else 0 for place in found[row, :length].tolist()]
        assert tuple(said) == best
        assert (found[row, length:] == -1).all()
        places = [place for place in found[row].tolist() if place >= 0]
        assert places == sorted(places)
        assert set(places) == set(range(int(TARGET_LENGTHS[row])))


def test_no_labels_in_the_whole_batch() -> None:
    log_probs, none = make_logits().log_softmax(2), torch.zeros(len(LENGTHS), 0, dtype=torch.long)
    zeros = torch.zeros(len(LENGTHS), dtype=torch.long)
    loss = ctc_loss(log_probs, LENGTHS, none, zeros)
    expected = torch.stack([-log_probs[row, :n, 0].sum() for row, n in enumerate(LENGTHS.tolist())])
    torch.testing.assert_close(loss, expected)
    path, score = forced_alignment(log_probs.detach(), LENGTHS, none, zeros)
    assert (path == -1).all()
    torch.testing.assert_close(score, -expected.detach())


def test_frames_after_a_sequence_have_no_influence() -> None:
    logits = make_logits().detach()
    behind = torch.arange(FRAMES) >= LENGTHS[:, None]
    other = logits.masked_fill(behind[..., None], 7.0)
    for function in (ctc_loss, posteriors):
        ours = function(logits.log_softmax(2), LENGTHS, TARGETS, TARGET_LENGTHS)
        assert torch.equal(ours, function(other.log_softmax(2), LENGTHS, TARGETS, TARGET_LENGTHS))


def transducer_sum(log_probs: Tensor, labels: list[int], frames: int) -> Tensor:
    """Every order of `frames` blanks and the labels that ends in a blank."""
    total = torch.zeros((), dtype=torch.float64)
    steps = frames + len(labels)
    for where in itertools.combinations(range(steps - 1), len(labels)):
        t = u = 0
        log_prob = torch.zeros((), dtype=torch.float64)
        for step in range(steps):
            if step in where:
                log_prob = log_prob + log_probs[t, u, labels[u]]
                u += 1
            else:
                log_prob = log_prob + log_probs[t, u, 0]
                t += 1
        total = total + log_prob.exp()
    return total


def test_the_transducers_loss_is_the_sum_over_every_alignment_with_its_gradient() -> None:
    logits = torch.randn(len(LENGTHS), FRAMES, TARGETS.shape[1] + 1, SYMBOLS, dtype=torch.float64, requires_grad=True)
    loss = transducer_loss(logits.log_softmax(3), LENGTHS, TARGETS, TARGET_LENGTHS)
    log_probs = logits.log_softmax(3)
    expected = torch.stack([
        -transducer_sum(log_probs[row], TARGETS[row, :u].tolist(), t).log()
        for row, (t, u) in enumerate(zip(LENGTHS.tolist(), TARGET_LENGTHS.tolist(), strict=True))
    ])  # fmt: skip
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    slopes = torch.randn(len(LENGTHS), dtype=torch.float64)
    ours, theirs = (torch.autograd.grad(value, logits, slopes)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_a_transducer_may_emit_several_labels_in_one_frame() -> None:
    logits = torch.randn(1, 1, 4, SYMBOLS, dtype=torch.float64, requires_grad=True)
    loss = transducer_loss(logits.log_softmax(3), torch.tensor([1]), TARGETS[:1], torch.tensor([3]))
    log_probs = logits.log_softmax(3)[0, 0]
    torch.testing.assert_close(loss[0], -(log_probs[0, 1] + log_probs[1, 1] + log_probs[2, 2] + log_probs[3, 0]))


def test_an_impossible_label_does_not_make_the_transducer_loss_nan() -> None:
    logits = torch.randn(1, 4, 4, SYMBOLS, dtype=torch.float64)
    logits[0, 1, 1, 1] = -torch.inf  # impossible in one frame, and possible in the others
    logits.requires_grad_()
    loss = transducer_loss(logits.log_softmax(3), torch.tensor([4]), TARGETS[:1], torch.tensor([3]))
    expected = -transducer_sum(logits.log_softmax(3)[0], [1, 1, 2], 4).log()
    torch.testing.assert_close(loss[0], expected, rtol=1e-9, atol=1e-9)
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert slope.isfinite().all()


def test_an_impossible_symbol_does_not_make_the_ctc_loss_nan() -> None:
    logits = torch.randn(2, FRAMES, SYMBOLS, dtype=torch.float64)
    logits[0, 1, 1] = logits[1, :, 1] = -torch.inf  # impossible in one frame; in all of them
    logits.requires_grad_()
    lengths, targets = torch.tensor([FRAMES, FRAMES]), torch.tensor([[1, 2], [1, 2]])
    log_probs = logits.log_softmax(2)
    loss = ctc_loss(log_probs, lengths, targets, torch.tensor([2, 2]))
    (slope,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
    assert slope.isfinite().all()
    assert loss[0] < 100
    assert loss[1] > 1000
    every = [path for path in itertools.product(range(SYMBOLS), repeat=FRAMES) if collapse(path) == [1, 2]]
    expected = -torch.stack([probability(log_probs[0], path) for path in every]).sum().log()
    torch.testing.assert_close(loss[0], expected)
    assert posteriors(log_probs, lengths, targets, torch.tensor([2, 2])).isfinite().all()
    assert prefix_beam_search(torch.full((3, SYMBOLS), -torch.inf))


def test_bfloat16_is_summed_in_float32() -> None:
    torch.manual_seed(1)
    log_probs = (3 * torch.randn(2, 200, 7)).log_softmax(2).bfloat16()
    targets = torch.randint(1, 7, (2, 30))
    lengths, sizes = torch.tensor([200, 150]), torch.tensor([30, 20])
    assert ctc_loss(log_probs, lengths, targets, sizes).dtype == torch.float32
    for function in (ctc_loss, posteriors, forced_alignment):
        torch.testing.assert_close(
            function(log_probs, lengths, targets, sizes), function(log_probs.float(), lengths, targets, sizes)
        )
    many = log_probs[:, :, None].expand(-1, -1, 31, -1)
    found = transducer_loss(many, lengths, targets, sizes)
    torch.testing.assert_close(found, transducer_loss(many.float(), lengths, targets, sizes))


def test_padding_has_no_influence_on_the_transducer() -> None:
    logits = torch.randn(2, FRAMES, 4, SYMBOLS, dtype=torch.float64)
    lengths, sizes = torch.tensor([FRAMES, 3]), torch.tensor([3, 1])
    expected = transducer_loss(logits.log_softmax(3), lengths, TARGETS[:2], sizes)
    log_probs = logits.log_softmax(3).masked_fill(
        (torch.arange(FRAMES) >= lengths[:, None])[..., None, None], -torch.inf
    )
    log_probs.requires_grad_()
    loss = transducer_loss(log_probs, lengths, torch.tensor([[1, 1, 2], [2, -100, -100]]), sizes)
    torch.testing.assert_close(loss, expected)
    (slope,) = torch.autograd.grad(loss.sum(), log_probs)
    assert slope.isfinite().all()
    assert not slope[1, 3:].any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"lengths": 0}, "from 1 to 5"),
        ({"lengths": 6}, "from 1 to 5"),
        ({"target_lengths": 4}, "from 0 to 3"),
        ({"target_lengths": -1}, "from 0 to 3"),
        ({"targets": 7}, "labels must be"),
        ({"log_probs": float("nan")}, "NaN"),
        ({"log_probs": float("inf")}, r"\+inf"),
    ],
)
def test_a_transducer_raises_for_bad_input(change: dict[str, float], match: str) -> None:
    arguments = {
        "log_probs": torch.randn(len(LENGTHS), FRAMES, 4, SYMBOLS).log_softmax(3), "lengths": LENGTHS.clone(),
        "targets": TARGETS.clone(), "target_lengths": TARGET_LENGTHS.clone(),
    }  # fmt: skip
    for name, value in change.items():
        arguments[name].view(-1)[0] = value
    with pytest.raises(InvalidInput, match=match):
        transducer_loss(**arguments)
    with pytest.raises(InvalidInput, match="4 states for 3 labels, not 3"):
        transducer_loss(torch.randn(1, 2, 3, SYMBOLS), LENGTHS[:1], TARGETS[:1], TARGET_LENGTHS[:1])
