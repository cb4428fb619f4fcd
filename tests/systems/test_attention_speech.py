import math
from dataclasses import replace

import pytest
import torch

from saccade.attention.ctc import ctc_loss
from saccade.core.masks import length_mask
from saccade.core.recipe import Answer
from saccade.core.task import Figure
from saccade.explain import capture
from saccade.explain.pictures.sound import Sound
from saccade.nets.attention_choice import Dot
from saccade.nets.projection import Projection
from saccade.nets.search import Symbols, beam_search
from saccade.systems.attention_speech.model import AttentionSpeech, AttentionSpeechConfig
from saccade.systems.attention_speech.objective import objective
from saccade.systems.attention_speech.recipe import RECIPE
from saccade.tasks.speech import BLANK, PAD, Batch, SpeechTask
from tests.checks import Forgetful, attentions, randomised

FEATURES, SYMBOLS = 7, 13
INPUTS = torch.tensor([[1, 5, 5, 3], [1, 4, 0, 0]])
TARGETS = torch.tensor([[5, 5, 3, 2], [4, 2, 0, 0]])
ATTENTIONS = attentions(11)
MECHANISMS = list(ATTENTIONS)


@pytest.fixture(scope="module")
def task() -> SpeechTask:
    return SpeechTask(RECIPE.variants["tiny"].task)


def make(ctc_weight: float = 0.0, attention: str = "location-aware") -> AttentionSpeech:
    sizes = AttentionSpeechConfig(
        attention=ATTENTIONS[attention], ctc_weight=ctc_weight, encoder_size=5, embedding_size=3, hidden_size=10,
        readout_size=2, dropout=0.0,
    )  # fmt: skip
    return randomised(AttentionSpeech(sizes, FEATURES, SYMBOLS)).eval()


def make_batch() -> Batch:
    return Batch(
        torch.randn(2, 11, FEATURES, dtype=torch.float64), length_mask(torch.tensor([11, 6]), 11), INPUTS, TARGETS
    )


def test_without_ctc_the_loss_is_that_of_labels_and_end() -> None:
    model, batch = make(), make_batch()
    projection = model(batch.features, batch.mask, batch.target_inputs)
    assert isinstance(projection, Projection)
    log_probs = projection.log_probs()
    said = [log_probs[0, i, TARGETS[0, i]] for i in range(4)] + [log_probs[1, i, TARGETS[1, i]] for i in range(2)]
    found = objective(model, batch, 0)
    torch.testing.assert_close(found.value, -sum(said) / 6)
    assert [(part.count, part.weight) for part in found.parts.values()] == [(6, 1.0)]
    assert model.ctc is None


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_with_ctc_the_loss_is_the_weighted_mean_and_all_weights_get_gradients(weight: float) -> None:
    model, batch = make(weight), make_batch()
    encoded = model.encode(batch.features, batch.mask)
    attended = model.decode(encoded, batch.target_inputs).cross_entropy(batch.targets, PAD)
    frames = model.frame_log_probs(encoded)
    summed = ctc_loss(frames, torch.tensor([11, 6]), batch.labels, torch.tensor([3, 1]), BLANK).sum() / 4
    found = objective(model, batch, 0)
    torch.testing.assert_close(found.value, weight * summed + (1 - weight) * attended)
    counts = {name: (int(part.count), part.weight) for name, part in found.parts.items()}
    assert counts == {"attention": (6, 1 - weight), "ctc": (4, weight)}
    torch.testing.assert_close(found.parts["ctc"].value, summed)
    torch.testing.assert_close(found.parts["attention"].value, attended)
    found.value.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_recording_too_short_for_its_labels_is_ignored_by_ctc() -> None:
    model, batch = make(0.5), make_batch()
    short = batch._replace(mask=length_mask(torch.tensor([11, 3]), 11), target_inputs=INPUTS.flip(0))
    short = short._replace(targets=TARGETS.flip(0))  # three labels, two of them alike, in three steps
    found = objective(model, short, 0)
    assert found.value.isfinite()
    encoded = model.encode(short.features[:1], short.mask[:1])
    alone = ctc_loss(model.frame_log_probs(encoded), torch.tensor([11]), short.labels[:1], torch.tensor([1]), BLANK)
    torch.testing.assert_close(found.parts["ctc"].value, alone[0])
    assert found.parts["ctc"].count == 1


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_step_of_the_search_equals_teacher_forcing(mechanism: str) -> None:
    model, batch = make(attention=mechanism), make_batch()
    whole = model(batch.features, batch.mask, batch.target_inputs).log_probs()
    state = model.start(model.encode(batch.features, batch.mask))
    for t in range(INPUTS.shape[1]):
        log_probs, state = model.step(INPUTS[:, t], state)
        torch.testing.assert_close(log_probs, whole[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_padding_after_a_recording_has_no_influence(mechanism: str) -> None:
    model, batch = make(attention=mechanism), make_batch()
    whole = model(batch.features, batch.mask, batch.target_inputs).log_probs()
    louder = batch.features.masked_fill(~batch.mask[..., None], 7.0)
    torch.testing.assert_close(model(louder, batch.mask, batch.target_inputs).log_probs(), whole)
    for row, length in enumerate(batch.mask.sum(1).tolist()):
        alone = model(batch.features[row : row + 1, :length], batch.mask[row : row + 1, :length], INPUTS[row : row + 1])
        torch.testing.assert_close(alone.log_probs()[0], whole[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_search_with_caches_equals_one_without(mechanism: str) -> None:
    model, batch = make(attention=mechanism), make_batch()
    given, limits = (batch.features, batch.mask), torch.tensor([7, 3])
    for beam in (1, 3, 5):
        fast = beam_search(model, model.encode(*given), limits, Symbols(1, 2), beam)
        slow = beam_search(Forgetful(model), given, limits, Symbols(1, 2), beam)
        assert [[found.tokens for found in row] for row in fast] == [[found.tokens for found in row] for row in slow]


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_capture_contains_every_step_and_changes_nothing(mechanism: str) -> None:
    model, batch = make(attention=mechanism), make_batch()
    given = (batch.features, batch.mask, batch.target_inputs)
    with torch.inference_mode():
        whole = model(*given).log_probs()
        with capture(model, only="*attention*") as seen:
            assert torch.equal(model(*given).log_probs(), whole)
    weights = seen.joined("decoder.recurrent.attention.weights")
    assert weights.shape == (2, INPUTS.shape[1], 11)
    assert weights.any(-1).all()
    assert not weights.masked_select(~batch.mask[:, None]).any()


def test_measures_are_entropy_and_the_share_at_the_right_place(task: SpeechTask) -> None:
    config = RECIPE.variants["tiny"]
    model, example = RECIPE.build(config, task).eval(), task.examples("test")[0]
    assert RECIPE.measures is not None
    assert RECIPE.pictures is not None
    answer = Answer(model, task, config, example, [3, 3], torch.device("cpu"))
    found = RECIPE.measures(answer)
    assert set(found) == {"attention_entropy", "aligned"}
    assert 0 < float(found["attention_entropy"].value or 0) < math.log(task.steps(example))
    # given the right answer, one step for each digit
    with torch.inference_mode(), capture(model, "decoder.recurrent.attention.weights") as seen:
        objective(model, task.collate([example]), 0)
    [weights] = seen.joined("decoder.recurrent.attention.weights")
    right = task.aligned(example, weights)
    assert len(right) == len(example.target)
    assert found["aligned"] == Figure(100 * sum(right) / len(right), "%", "looks at the right place", len(right))
    [sound] = RECIPE.pictures(answer)
    assert isinstance(sound, Sound)
    assert list(sound.rows) == ["0", "0", "end"]
    assert sound.step == task.step_seconds
    assert sound.weights.shape == (3, task.steps(example))


@pytest.mark.unhooked
def test_dot_attention_requires_annotations_of_the_states_size() -> None:
    make(attention="dot")
    with pytest.raises(ValueError, match="with dot attention, hidden-size must be even, not 9"):
        AttentionSpeechConfig(attention=Dot(), hidden_size=9)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_learns_and_searches(mechanism: str, task: SpeechTask) -> None:
    tiny = RECIPE.variants["tiny"]
    config = replace(tiny, model=replace(tiny.model, attention=ATTENTIONS[mechanism]))
    model, batch = RECIPE.build(config, task), task.collate(task.examples("test")[:3])
    objective(model.train(), batch, 0).value.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert sum(float(p.grad.abs().sum()) > 0 for p in model.parameters() if p.grad is not None) > 10
    with torch.inference_mode():
        found = RECIPE.predict(model.eval(), batch, config)
    assert len(found) == 3
    assert all(max([0, *answer]) < len(task.symbols) for answer in found)
