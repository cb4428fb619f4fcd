"""What DRAW drew, and where it read and wrote, step by step; figures 1 and 7 of Gregor et al. 2015."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saccade.core.picture import Picture
from saccade.core.recipe import Answer
from saccade.explain import capture
from saccade.explain.pictures.strip import Strip
from saccade.systems.draw.objective import noise_of

Seen = Mapping[str, Sequence[Tensor]]
SECONDS = 4.0  # of an animation, for all steps


def pictures(answer: Answer) -> list[Picture]:
    """The canvas and the image, with the windows of writing and reading; without an image, a drawing from the prior.

    Examples of the data have a drawing from the prior too.
    """
    example, config = answer.example, answer.config.sampling
    if example.image is not None and example.image.isnan().all():
        return [generation(answer, config.seed + number, number) for number in range(config.drawings)]
    image = answer.task.collate([example]).images[:, 0].to(answer.device)
    noise = noise_of(answer.model, image, 1, config.seed)[:, 0]
    with capture(answer.model) as seen:
        answer.model(image, noise)
    found: list[Picture] = [strip("drawing", seen, "The canvas, and where each step writes")]
    if example.split:
        found.append(generation(answer, config.seed + example.row, 0))
    if (boxes := windows(seen, "read_grid")) is not None:
        found.append(Strip("reading", image.expand(len(boxes), -1, -1).cpu(), boxes, title="Where each step reads"))
    return found


def generation(answer: Answer, seed: int, number: int) -> Strip:
    """A drawing of latents from the prior, drawn from this seed."""
    model: Any = answer.model
    generator = torch.Generator().manual_seed(seed % 2**32)
    latents = torch.randn(1, model.steps, model.latent_size, generator=generator).to(answer.device)
    with capture(model) as seen:
        model.generate(latents)
    name = f"generation-{number + 1}" if number else "generation"
    return strip(name, seen, f"Drawn without an image, seed {seed}")


def strip(name: str, seen: Seen, title: str) -> Strip:
    """The canvas after each step, with the windows of writing, if there are any."""
    canvases = seen["canvas"][0][0].float().sigmoid().cpu()
    return Strip(name, canvases, windows(seen, "write_grid"), title=title, seconds=SECONDS / len(canvases))


def windows(seen: Seen, grid: str) -> Float[Tensor, "t 4"] | None:
    """The window of each step; None without attention."""
    boxes = [tensor for name, steps in seen.items() if f"{grid}.boxes" in name for tensor in steps]
    return torch.cat(boxes).float().cpu() if boxes else None
