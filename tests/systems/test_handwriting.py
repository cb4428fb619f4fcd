from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from saccade.app.predict_verb import show
from saccade.attention import GaussianWindowAttention
from saccade.core.config import from_plain
from saccade.core.errors import InvalidInput
from saccade.core.recipe import Answer
from saccade.explain import capture
from saccade.explain.pictures.alignment import Alignment
from saccade.explain.pictures.strokes import Strokes
from saccade.memory import LSTM
from saccade.nets.attention_choice import GaussianWindow
from saccade.runs import flags
from saccade.runs.run import Run, assemble
from saccade.systems.handwriting.mixture import pen_mixture
from saccade.systems.handwriting.model import Handwriting, HandwritingConfig, Prediction, Synthesis
from saccade.systems.handwriting.recipe import RECIPE, Config
from saccade.systems.handwriting.writing import Trace, write
from saccade.tasks.pen import Batch, PenConfig, PenTask
from saccade.tasks.pen.objective import negative_log_density
from saccade.training.run_folder import RunFolder
from tests.checks import assert_twins, attentions, randomised, unchanged

SYMBOLS, HIDDEN, WINDOWS, COMPONENTS = 27, 6, 3, 2
ATTENTIONS = attentions(5)
MECHANISMS = list(ATTENTIONS)


@pytest.fixture(scope="module")
def task() -> PenTask:
    return PenTask(PenConfig(lines=300, fewest=2, most=5))


def make(attention: Any = None, network: Any = None, **options: Any) -> Handwriting:
    """The attention by name or options; None: that of the recipe."""
    chosen = ATTENTIONS[attention] if isinstance(attention, str) else attention
    network = network or (Synthesis() if chosen is None else Synthesis(attention=chosen))
    made = HandwritingConfig(hidden_size=HIDDEN, components=COMPONENTS, dropout=0.0, network=network, **options)
    return randomised(Handwriting(made, SYMBOLS), 0.3).eval()


def batch_of(task: PenTask, count: int = 3) -> Batch:
    return task.collate(task.examples("test")[:count])


def slow_lstm(lstm: LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    W_i, W_f, W_c, W_o = (x @ w.T for w in lstm.weight_input.chunk(4))
    U_i, U_f, U_c, U_o = (h @ w.T for w in lstm.weight_hidden.chunk(4))
    b_i, b_f, b_c, b_o = lstm.bias.chunk(4)
    assert lstm.peepholes is not None
    p_i, p_f, p_o = lstm.peepholes.chunk(3)
    c = torch.sigmoid(W_f + U_f + p_f * c + b_f) * c + torch.sigmoid(W_i + U_i + p_i * c + b_i) * torch.tanh(
        W_c + U_c + b_c
    )
    return torch.sigmoid(W_o + U_o + p_o * c + b_o) * torch.tanh(c), c


def slow_outputs(model: Handwriting, points: Tensor, text: list[int]) -> Tensor:
    """y^ (t, o) of all steps of one line by the paper's equations, one step and one character at a time."""
    lstms: Any = list(model.layers)
    attention: Any = model.attention
    h, c = torch.zeros(3, HIDDEN).double(), torch.zeros(3, HIDDEN).double()
    window, kappa, outputs = torch.zeros(SYMBOLS).double(), torch.zeros(WINDOWS).double(), []
    for x in points:
        h1, c1 = slow_lstm(lstms[0], torch.cat([x, window]), h[0], c[0])
        alpha, beta, step = (part.exp() for part in attention.parameters_of(h1).chunk(3))
        kappa = kappa + step
        window = torch.zeros(SYMBOLS).double()
        for u, character in enumerate(text, start=1):
            phi = sum(alpha[k] * torch.exp(-beta[k] * (kappa[k] - u) ** 2) for k in range(WINDOWS))
            window = window + phi * torch.eye(SYMBOLS).double()[character]
        h2, c2 = slow_lstm(lstms[1], torch.cat([x, h1, window]), h[1], c[1])
        h3, c3 = slow_lstm(lstms[2], torch.cat([x, h2, window]), h[2], c[2])
        h, c = torch.stack([h1, h2, h3]), torch.stack([c1, c2, c3])
        outputs.append(model.output.weight @ h.flatten() + model.output.bias)
    return torch.stack(outputs)


def test_the_synthesis_network_equals_its_slow_twin(task: PenTask) -> None:
    model, batch = make(GaussianWindow(components=WINDOWS, pace=0.1)), batch_of(task)
    assert isinstance(model.attention, GaussianWindowAttention)
    targets = batch.targets.double()

    def fast() -> Tensor:
        return model(batch).log_density(targets).masked_fill(~batch.mask, 0.0)

    def slow() -> Tensor:
        rows = []
        for row, steps in enumerate(batch.mask.sum(1).tolist()):
            text = batch.characters[row, : batch.lengths[row]].tolist()
            outputs = slow_outputs(model, batch.inputs[row, :steps].double(), text)
            densities = pen_mixture(outputs).log_density(targets[row, :steps])
            rows.append(torch.nn.functional.pad(densities, (0, targets.shape[1] - steps)))
        return torch.stack(rows)

    assert_twins(fast, slow, list(model.parameters()), 1e-9)


@pytest.mark.parametrize("options", [{"network": "prediction"}, *({"attention": name} for name in MECHANISMS)])
def test_all_steps_at_once_equal_single_steps(task: PenTask, options: dict[str, Any]) -> None:
    model, batch = make(**options), batch_of(task)
    text = model.prepare(batch.characters, batch.lengths)
    state, densities = model.initial_state(3, text), []
    for t in range(batch.inputs.shape[1]):
        outputs, _, state = model.step(batch.inputs[:, t].double(), text, state)
        densities.append(pen_mixture(outputs).log_density(batch.targets[:, t].double()))
    torch.testing.assert_close(model(batch).log_density(batch.targets), torch.stack(densities, 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_line_has_the_same_density_alone_and_in_a_batch_and_under_capture(task: PenTask, mechanism: str) -> None:
    model, examples = make(attention=mechanism), task.examples("test")[:3]
    batch = task.collate(examples)
    with torch.inference_mode():
        together = model(batch).log_density(batch.targets)
        with capture(model, "path") as seen:
            assert torch.equal(model(batch).log_density(batch.targets), together)
        for row, example in enumerate(examples):
            alone = task.collate([example])
            found = model(alone).log_density(alone.targets)[0]
            torch.testing.assert_close(found, together[row, : len(found)], rtol=0, atol=1e-11)
    path = seen.joined("path")
    assert path.shape[0] == 3
    assert path.shape[-1] == batch.inputs.shape[1]
    assert path.any()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_every_mechanism_learns_and_writes(task: PenTask, mechanism: str) -> None:
    model, batch = make(attention=mechanism).train(), batch_of(task)
    negative_log_density(model, batch, 0).value.backward()
    # at the first reward a learned baseline is still zero
    learned = [weight for name, weight in model.named_parameters() if not name.startswith("score_function")]
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in learned)
    weights = list(model.mechanism.parameters())
    assert not weights or any(weight.grad is not None and weight.grad.any() for weight in weights)
    with torch.inference_mode():
        traces = write(model.eval(), batch, 1.0, 3, 1)
    for trace, length in zip(traces, batch.asked_lengths.tolist(), strict=True):
        assert 1 <= len(trace.points) <= 3 * length
        assert len(trace.weights) == len(trace.points)
        assert np.isfinite(trace.points).all()
        assert np.isfinite(trace.weights).all()


def test_choices_add_a_gradient_and_no_loss(task: PenTask) -> None:
    model, batch = make(attention="hard").train(), batch_of(task)
    torch.manual_seed(3)
    with torch.no_grad():
        plain = negative_log_density(model, batch, 0).value
    torch.manual_seed(3)
    loss = negative_log_density(model, batch, 0).value
    torch.testing.assert_close(loss.detach(), plain, rtol=0, atol=1e-12)
    loss.backward()
    assert any(weight.grad is not None and weight.grad.any() for weight in model.mechanism.parameters())


def test_the_prediction_network_ignores_the_text_and_has_no_window(task: PenTask) -> None:
    model, batch = make(network=Prediction()), batch_of(task)
    assert model.attention is None
    other = batch._replace(characters=1 + torch.zeros_like(batch.characters))
    assert torch.equal(model(batch).mixture.means, model(other).mixture.means)
    with torch.inference_mode():
        [trace, *_] = write(model, batch, 0.0, 4, 1)
    assert trace.ended
    assert trace.weights == []
    assert len(trace.points) == 4 * int(batch.lengths[0])


def test_the_text_ends_when_the_end_has_the_largest_weight(task: PenTask) -> None:
    model, batch = make(GaussianWindow(components=1, pace=0.1)), task.collate([task.read("abc")])
    attention: Any = model.attention
    with torch.no_grad():
        attention.parameters_of.weight.zero_()
        # half a character per step: the 8th read is at 4, the position of the end
        attention.parameters_of.bias.copy_(torch.tensor([0.0, 0.0, 0.5]).log())
        attention.parameters_of.bias[:2] = 0.0
        [trace] = write(model, batch, 0.0, 25, 1)
        assert trace.ended
        assert len(trace.points) == 7
        assert np.array(trace.weights).argmax(1).tolist() == [0, 0, 0, 1, 1, 2, 2]
        attention.parameters_of.bias[2] = -9.0
        [trace] = write(model, batch, 0.0, 5, 1)
    assert not trace.ended
    assert len(trace.points) == 15


def test_a_mechanism_that_attends_only_to_the_end_continues_to_the_limit(
    task: PenTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(attention="additive")
    read = model.mechanism.read
    path = iter([3, 3, 1, 3, 2, 0, 3, 3])

    def looking(query: Tensor, prepared: Any, state: Any = ()) -> Any:
        reading = read(query, prepared, state)
        return reading._replace(weights=torch.eye(4).double()[[next(path)]])

    monkeypatch.setattr(model.mechanism, "read", looking)
    [trace] = write_texts(task, model, ["abc"])
    assert trace.ended
    assert len(trace.points) == 6


def write_texts(task: PenTask, model: Handwriting, texts: list[str], **options: Any) -> list[Trace]:
    settings = {"bias": 0.0, "most": 5, "seed": 1, **options}
    with torch.inference_mode():
        return write(model, task.collate([task.read(text) for text in texts]), **settings)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_written_text_depends_only_on_seed_and_text(task: PenTask, mechanism: str) -> None:
    model = make(attention=mechanism)
    together = write_texts(task, model, ["ab", "a longer text", "c"])
    assert together == [write_texts(task, model, [text])[0] for text in ("ab", "a longer text", "c")]
    assert write_texts(task, model, ["ab"], seed=2)[0] != together[0]
    assert write_texts(task, model, ["ab"], bias=1.0)[0] != together[0]


def test_a_large_bias_writes_the_most_probable_points(task: PenTask) -> None:
    model = make()
    first, second = (write_texts(task, model, ["ab"], bias=10.0, seed=seed)[0].points[0][:2] for seed in (1, 2))
    assert np.abs(np.subtract(first, second)).max() < 1e-3


def test_a_prime_is_written_first(task: PenTask) -> None:
    primed = PenTask(PenConfig(lines=300, prime=19, prime_text="it"))
    model = make()
    [trace] = write_texts(primed, model, ["ab"])
    batch = primed.collate([primed.read("ab")])
    given = batch.prime[0]
    np.testing.assert_allclose(trace.points[: len(given)], given, atol=1e-4)
    assert len(trace.points) > len(given)
    assert len(trace.weights[0]) == len("it ab")


def test_the_taps_capture_the_pen_and_the_path_of_the_window(task: PenTask) -> None:
    model, batch = make(), batch_of(task)
    with capture(model) as seen, unchanged(model):
        model(batch)
    [pen], [path] = seen["pen"], seen["path"]
    assert torch.equal(pen, batch.points)
    assert path.shape == (3, batch.characters.shape[1] + 1, batch.inputs.shape[1])
    weights = torch.cat(seen["attention.weights"], 1)
    assert torch.equal(path, weights.mT)


def test_bfloat16_autocast_stays_near_float32(task: PenTask) -> None:
    model, batch = make().float(), batch_of(task)
    exact = negative_log_density(model, batch, 0).value
    with torch.autocast("cpu", torch.bfloat16):
        near = negative_log_density(model, batch, 0).value
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, exact, rtol=0.05, atol=0)


def test_a_prediction_has_the_promised_fields(task: PenTask) -> None:
    config = Config(task=task.config)
    model = make()
    examples = task.examples("test")
    with torch.inference_mode():
        found = RECIPE.predict(model, task.collate(examples), config)
        nats = float(negative_log_density(model, task.collate(examples), 0).value)
    figures: Any = {name: figure.value for name, figure in task.score(found, examples).figures.items()}
    assert figures["nats_per_step"] == pytest.approx(nats, abs=1e-4)
    assert figures["gain"] == pytest.approx(figures["memoryless"] - nats, abs=1e-4)
    assert figures["nats_per_line"] == pytest.approx(nats * figures["steps"] / len(examples), abs=1e-2)


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"network": {"name": "prediction", "attention": "additive"}}, "network.prediction.attention"),
        ({"network": {"name": "synthesis", "attention": "dot"}, "hidden_size": 7}, "must be even, not 7"),
        ({"layers": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_raise(plain: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        from_plain(HandwritingConfig, plain)


def test_the_pictures_are_the_strokes_and_the_path_of_the_window(task: PenTask) -> None:
    model, config, [example] = make(), Config(task=task.config), task.examples("test")[:1]
    with torch.inference_mode():
        [written] = RECIPE.predict(model, task.collate([example]), config)
    answer = Answer(model, task, config, example, written, torch.device("cpu"))
    assert RECIPE.pictures is not None
    pen, window = RECIPE.pictures(answer)
    assert (pen.name, window.name) == ("pen", "window")
    assert np.asarray(pen.points).shape == (len(written.points), 3)
    assert window.weights.shape == (len(task.labels(task.replay(example, written))["character"]), len(written.points))
    plain = make(network=Prediction())
    [alone] = RECIPE.pictures(answer._replace(model=plain))
    assert alone.name == "pen"


def run_of(folder: Path, *arguments: str) -> Run:
    """The tiny variant with these flags and new weights, as a run."""
    config = flags.parse(RECIPE.variants["tiny"], list(arguments))
    task = RECIPE.task(config, None)
    return assemble(RunFolder(folder), "handwriting", "tiny", RECIPE, config, task, RECIPE.build(config, task))


def test_an_answer_is_printed_and_drawn_and_other_settings_do_not_overwrite_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prediction = run_of(tmp_path, "--bias", "1.0").predict("a bc")
    pen, window = prediction.pictures
    assert isinstance(pen, Strokes)
    assert isinstance(window, Alignment)
    assert pen.points.shape == (len(window.columns), 3)
    assert window.weights.shape == (len("a bc") + 1, len(pen.points))
    assert window.rows == ["a", "␣", "b", "c", "<end>"]
    show(prediction, "a bc", tmp_path, [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"a bc: {len(pen.points)} points in ")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [line.rpartition("/")[2] for line in lines[-2:]] == [name for name in names if name.endswith(".png")]
    assert [name.split("-")[0] for name in names] == ["pen", "pen", "window", "window"]
    assert {name.split(".")[-1] for name in names} == {"png", "svg"}
    show(prediction, "a bc", tmp_path, ["--bias", "1.0"])
    assert len(list(tmp_path.iterdir())) == 2 * len(names)


def test_an_unknown_character_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'C' is not in the training lines; the characters are: space and"):
        run_of(tmp_path).predict("abC")
