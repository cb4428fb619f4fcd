import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from saccade.app import predict_verb
from saccade.core.errors import InvalidInput, NotFound
from saccade.core.recipe import Answer
from saccade.explain import capture
from saccade.memory import LSTM
from saccade.runs import flags
from saccade.runs.ending import draw
from saccade.runs.run import Run, assemble
from saccade.systems.draw.model import Draw, DrawConfig, Whole, Windowed, Windows, drawn
from saccade.systems.draw.objective import bound, bounds, negative_log_likelihood, noise_of
from saccade.systems.draw.recipe import RECIPE
from saccade.tasks.digits import Batch, Bound, DigitsConfig
from saccade.tasks.digits.drawn import DrawnDigits
from saccade.tasks.digits.kinds import Binarised, Plain
from saccade.training.run_folder import RunFolder
from tests.checks import assert_twins, randomised, unchanged
from tests.vision.test_gaussian_grid import slow_read, slow_write

HEIGHT, WIDTH, STEPS, HIDDEN, LATENTS, BATCH = 5, 7, 3, 6, 2, 2
MECHANISMS = {"attention": Windows(read_size=2, write_size=3), "none": Whole()}


def make(mechanism: str, scale: float = 0.3, **options: Any) -> Draw:
    sizes = {"steps": STEPS, "hidden_size": HIDDEN, "latent_size": LATENTS} | options
    return randomised(Draw(DrawConfig(mechanism=MECHANISMS[mechanism], **sizes), HEIGHT, WIDTH), scale)


def make_inputs(batch: int = BATCH, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    images = (torch.rand(batch, HEIGHT, WIDTH) > 0.6).double()
    return images, torch.randn(batch, steps, LATENTS).double()


def slow_lstm(lstm: LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (lstm.weight_input @ x + lstm.weight_hidden @ h + lstm.bias).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def slow_draw(model: Draw, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Equations 3 to 8 for one image, with the divergence and log q / p by torch.distributions."""
    look, canvas = model.looking, model.first_canvas.view(HEIGHT, WIDTH)
    h_enc, h_dec = model.first_hidden
    c_enc, c_dec = torch.zeros_like(h_enc), torch.zeros_like(h_dec)
    divergences, log_ratio = [], torch.zeros(()).double()
    for epsilon in noise:
        error = image - torch.sigmoid(canvas)
        if isinstance(look, Windowed):
            placed = (look.read_grid.parameters_of.weight @ h_dec + look.read_grid.parameters_of.bias)[None]
            read = slow_read(torch.stack([image, error])[None], placed, look.read_grid.size).flatten()
        else:
            read = torch.cat([image.flatten(), error.flatten()])
        h_enc, c_enc = slow_lstm(model.encoder, torch.cat([read, h_dec]), h_enc, c_enc)
        mean, log_deviation = (model.posterior.weight @ h_enc + model.posterior.bias).chunk(2)
        posterior, prior = Normal(mean, log_deviation.exp()), Normal(torch.zeros(()).double(), torch.ones(()).double())
        latent = mean + log_deviation.exp() * epsilon
        divergences.append(kl_divergence(posterior, prior).sum())
        log_ratio = log_ratio + (posterior.log_prob(latent) - prior.log_prob(latent)).sum()
        h_dec, c_dec = slow_lstm(model.decoder, latent, h_dec, c_dec)
        patch = look.patch.weight @ h_dec + look.patch.bias
        if isinstance(look, Windowed):
            placed = (look.write_grid.parameters_of.weight @ h_dec + look.write_grid.parameters_of.bias)[None]
            size = look.write_grid.size
            canvas = canvas + slow_write(patch.view(1, 1, size, size), placed, HEIGHT, WIDTH)[0, 0]
        else:
            canvas = canvas + patch.view(HEIGHT, WIDTH)
    return canvas, torch.stack(divergences), log_ratio


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_it_equals_its_slow_twin(mechanism: str) -> None:
    model, (images, noise) = make(mechanism), make_inputs()

    def slow() -> tuple[Tensor, ...]:
        rows = [slow_draw(model, image, own) for image, own in zip(images, noise, strict=True)]
        return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))

    assert_twins(lambda: tuple(model(images, noise)), slow, list(model.parameters()), 1e-10)


def test_the_divergence_has_the_constant_of_every_latent() -> None:
    """A posterior equal to the prior has no divergence; with the paper's constant -T / 2 it would have T / 2."""
    nothing = torch.zeros(BATCH, STEPS, LATENTS).double()
    found = drawn(torch.zeros(BATCH, HEIGHT, WIDTH).double(), nothing, nothing, torch.randn_like(nothing))
    assert not found.divergence.any()
    torch.testing.assert_close(found.log_ratio, torch.zeros(BATCH).double())
    tiny = drawn(found.canvas.float(), nothing.float(), nothing.float() + 1e-4, nothing.float())
    torch.testing.assert_close(tiny.divergence, torch.full((BATCH, STEPS), LATENTS * 1e-8), rtol=1e-2, atol=0)


def test_the_likelihood_is_that_of_torch_distributions() -> None:
    canvas, (images, _) = 3 * torch.randn(BATCH, HEIGHT, WIDTH).double(), make_inputs()
    expected = -Independent(Bernoulli(logits=canvas), 2).log_prob(images)
    torch.testing.assert_close(negative_log_likelihood(canvas, images), expected)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_bounds_hold_and_close_on_a_model_that_can_be_integrated(mechanism: str) -> None:
    """One step, one latent: -log p(x) by quadrature over z, the exact bound by quadrature over the noise."""
    model, (images, _) = make(mechanism, 0.6, steps=1, latent_size=1), make_inputs()
    z, prior = torch.linspace(-12, 12, 1201).double(), Normal(torch.zeros(()).double(), torch.ones(()).double())
    weights = prior.log_prob(z) + math.log(24 / 1200)
    with torch.no_grad():
        drawings = model.generate(z[:, None, None])
        for image in images:
            likelihood = -negative_log_likelihood(drawings, image.expand_as(drawings))
            exact = -float((likelihood + weights).logsumexp(0))
            many = image.expand(len(z), -1, -1)
            once = model(many, z[:, None, None])
            mean = float((weights.exp() * negative_log_likelihood(once.canvas, many)).sum())
            elbo = mean + float(once.divergence[0].sum())
            # the noise whose weights p(x, z) / q(z | x) average to p(x)
            ratio = -negative_log_likelihood(once.canvas, many) - once.log_ratio
            assert float((weights + ratio).logsumexp(0)) == pytest.approx(-exact, abs=1e-3)
            assert elbo > exact + 1e-3
            quantiles = prior.icdf((torch.arange(200).double() + 0.5) / 200)
            found = bounds(model, image[None], quantiles[None, :, None, None])
            assert float(found.reconstruction + found.divergence) == pytest.approx(elbo, abs=0.03)
            assert exact - 0.01 < float(found.weighted) < elbo


def test_one_sample_weighs_nothing_and_more_tighten_the_bound() -> None:
    model, (images, _) = make("attention", 0.6), make_inputs(7)
    noise = torch.randn(7, 64, STEPS, LATENTS).double()
    one, many = bounds(model, images, noise[:, :1]), bounds(model, images, noise)
    found = model(images, noise[:, 0])
    torch.testing.assert_close(one.weighted, negative_log_likelihood(found.canvas, images) + found.log_ratio)
    assert (many.weighted < many.reconstruction + many.divergence).all()


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_drawing_from_the_latents_of_an_image_gives_its_canvas(mechanism: str) -> None:
    model, (images, noise) = make(mechanism), make_inputs()
    # with this posterior, the latents are the noise
    torch.nn.init.zeros_(model.posterior.weight)
    torch.nn.init.zeros_(model.posterior.bias)
    with torch.no_grad():
        torch.testing.assert_close(model.generate(noise), model(images, noise).canvas)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_an_image_is_drawn_alike_alone_and_in_a_batch_and_under_capture(mechanism: str) -> None:
    model, (images, noise) = make(mechanism), make_inputs()
    with torch.inference_mode(), unchanged(model):
        together = model(images, noise)
        with capture(model) as seen:
            assert torch.equal(model(images, noise).canvas, together.canvas)
        alone = model(images[1:], noise[1:])
    torch.testing.assert_close(alone.canvas, together.canvas[1:])
    assert seen["canvas"][0].shape == (BATCH, STEPS, HEIGHT, WIDTH)
    torch.testing.assert_close(seen["canvas"][0][:, -1], together.canvas)
    grids = [name for name in seen if "boxes" in name]
    assert len(grids) == (2 if mechanism == "attention" else 0)
    assert all(len(seen[name]) == STEPS and seen[name][0].shape == (BATCH, 4) for name in grids)


def test_the_noise_of_an_image_depends_on_it_and_on_the_seed_alone() -> None:
    model, (images, _) = make("none"), make_inputs(5)
    noise = noise_of(model, images, 3, 1)
    assert torch.equal(noise_of(model, images[2:3], 3, 1)[0], noise[2])
    assert not torch.equal(noise_of(model, images, 3, 2), noise)
    assert not torch.equal(noise[0], noise[1])
    assert noise.shape == (5, 3, STEPS, LATENTS)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_weights_gone_astray_give_finite_bounds_and_gradients(mechanism: str) -> None:
    model, (images, noise) = make(mechanism, 300.0).float(), make_inputs()
    found = model(images.float(), noise.float())
    value = negative_log_likelihood(found.canvas, images).mean() + found.divergence.sum(1).mean()
    value.backward()
    assert value.isfinite()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())


def test_in_bfloat16_autocast_the_bound_is_close() -> None:
    model, (images, noise) = make("attention").float(), make_inputs()
    exact = model(images.float(), noise.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images.float(), noise.float())
        nats = negative_log_likelihood(found.canvas, images)
    assert nats.dtype == torch.float32
    torch.testing.assert_close(nats, negative_log_likelihood(exact.canvas, images), rtol=0.05, atol=0.5)


def test_the_validation_loss_draws_the_same_each_time_and_the_training_loss_does_not() -> None:
    model, (images, _) = make("attention", 0.6), make_inputs()
    batch = Batch(images[:, None], torch.zeros(BATCH, dtype=torch.long))
    assert bound(model.eval(), batch, 0).value == bound(model, batch, 0).value
    assert bound(model.train(), batch, 0).value != bound(model, batch, 0).value


# --- the task and the run ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = RECIPE.variants["tiny"]
    task = RECIPE.task(config, None)
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    return assemble(folder, "draw", "tiny", RECIPE, config, task, RECIPE.build(config, task))


def test_without_an_image_it_draws_and_moves(run: Run, tmp_path: Path) -> None:
    found = run.predict("")
    assert found.text == "drawn without an image"
    assert [picture.name for picture in found.pictures] == ["generation"]
    files = sorted(path.suffix for path in [*draw(found.pictures, tmp_path), *tmp_path.glob("*.svg")])
    assert files == [".gif", ".png", ".svg"]


def test_predict_needs_no_input_and_takes_an_image(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loaded(*_: Any) -> tuple[Run, list[str]]:
        return run, []

    monkeypatch.setattr("saccade.runs.run.load", loaded)
    assert predict_verb.run(["RUN", "--pictures", str(tmp_path)]) == 0
    assert "drawn without an image" in capsys.readouterr().out
    given = tmp_path / "digit.png"
    given.write_bytes(run.task.examples_to_type(2)[1])
    assert predict_verb.run(["RUN", str(given), "--pictures", str(tmp_path)]) == 0
    assert "at most" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="the input is empty"):
        predict_verb.run(["RUN", "", "--pictures", str(tmp_path)])
    with pytest.raises(NotFound, match="nowhere"):
        predict_verb.run(["RUN", str(tmp_path / "nowhere.png")])


def test_an_image_is_drawn_with_the_windows_of_reading_and_writing(run: Run) -> None:
    found = run.predict(run.task.examples_to_type(2)[1])
    assert "nats" in found.text
    drawing, reading = found.pictures
    assert (drawing.name, reading.name) == ("drawing", "reading")
    assert drawing.boxes.shape == reading.boxes.shape == (3, 4)  # type: ignore[attr-defined]
    seed = [picture.name for picture in run.pictures(run.task.examples("test")[0], found.value)]
    assert seed == ["drawing", "generation", "reading"]


def test_without_attention_there_is_no_window() -> None:
    config = replace(RECIPE.variants["tiny"], model=DrawConfig(mechanism=Whole(), steps=2, hidden_size=5))
    task = RECIPE.task(config, None)
    example = task.examples("test")[0]
    answer = Answer(RECIPE.build(config, task), task, config, example, Bound(1.0), torch.device("cpu"))
    with torch.inference_mode():
        assert RECIPE.pictures is not None
        drawing, generation = RECIPE.pictures(answer)
    assert drawing.boxes is generation.boxes is None  # type: ignore[attr-defined]


def test_another_seed_draws_another_digit(run: Run) -> None:
    with torch.inference_mode():
        sampled = [replace(run.config.sampling, seed=seed, drawings=2) for seed in (1, 2)]
        one, other = (replace(run, config=replace(run.config, sampling=own)) for own in sampled)
        first, second = one.predict("").pictures
        assert not np.array_equal(first.images, second.images)  # type: ignore[attr-defined]
        assert np.array_equal(second.images, other.predict("").pictures[0].images)  # type: ignore[attr-defined]


@pytest.mark.unhooked
def test_images_in_grey_raise() -> None:
    with pytest.raises(InvalidInput, match=r"expected --task.kind binarised, not plain"):
        DrawnDigits(DigitsConfig(kind=Plain()))
    assert isinstance(DrawnDigits(DigitsConfig(kind=Binarised())), DrawnDigits)


def test_options_of_a_mechanism_that_is_not_chosen_raise() -> None:
    config = RECIPE.variants["none"]
    with pytest.raises(InvalidInput, match="read-size"):
        flags.parse(config, ["--model.attention.read-size", "3"])
    chosen = flags.parse(RECIPE.config, ["--model.attention.read-size", "3"])
    assert chosen.model.mechanism.read_size == 3
