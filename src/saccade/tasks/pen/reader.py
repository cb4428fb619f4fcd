"""A classifier of single letters, trained on the real ones, to judge synthesised letters.

Its input is four images of a letter, centred and at its size in x-heights: one for each of horizontal, rising, vertical
and falling strokes. A small convolutional network classifies them. It was trained on distorted letters of the training
writers (`train_reader`), and its weights come with the package.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.tasks.pen.letters import ALPHABET, Points, distorted, letters

GRID, REACH, FINE = 20, 1.4, 0.05  # pixels per side; x-heights from the centre to an edge, and between points of ink
STEPS, BATCH, SEED = 300, 128, 1
WEIGHTS = Path(__file__).parent / "data" / "reader.safetensors"


def picture(points: Points) -> Float[Tensor, "4 y x"]:
    """The four images of a letter, given as (points, 3) with 1 where a stroke ends."""
    ink, ways, start = [points[:1, :2]], [np.zeros(1)], 0
    for end in np.flatnonzero(points[:, 2]).tolist() or [len(points) - 1]:
        for a, b in zip(points[start:end, :2], points[start + 1 : end + 1, :2], strict=True):
            count = max(2, int(np.hypot(*(b - a)) / FINE))
            ink.append(a + np.linspace(0, 1, count)[:, None] * (b - a))
            ways.append(np.full(count, np.arctan2(*(b - a)[::-1])))
        ink.append(points[end : end + 1, :2])  # a dot has no direction and counts as horizontal
        ways.append(np.zeros(1))
        start = end + 1
    places, angles = np.concatenate(ink), np.concatenate(ways)
    middle = (places.min(0) + places.max(0)) / 2
    grid = np.linspace(-REACH, REACH, GRID)
    near = np.exp(-0.5 * ((places - middle)[:, :, None] - grid) ** 2 / (REACH / GRID * 1.6) ** 2)
    share = np.maximum(0, np.cos(2 * (angles[:, None] - np.arange(4) * np.pi / 4)))
    seen = np.einsum("pc,py,px->cyx", share, near[:, 1], near[:, 0])
    return torch.from_numpy(np.tanh(seen)).float()


class Reader(nn.Module):
    """Classifies 26 letters from four images."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(4, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(32 * (GRID // 4) ** 2, len(ALPHABET) - 1),
        )  # fmt: skip

    def forward(self, pictures: Float[Tensor, "b 4 y x"]) -> Float[Tensor, "b letters"]:
        logits: Tensor = self.layers(pictures)
        return logits


def legible(points: Points) -> bool:
    """Whether a drawing is finite, and at most ten times as large as its image."""
    return bool(np.isfinite(points).all()) and float(np.ptp(points[:, :2], axis=0).max()) <= 20 * REACH


@torch.inference_mode()
def read(reader: Reader, drawn: Sequence[Points]) -> str:
    """The letters that the reader recognises."""
    if not drawn:
        return ""
    found = reader(torch.stack([picture(points) for points in drawn])).argmax(1)
    return "".join(ALPHABET[1 + index] for index in found.tolist())


@cache
def trained_reader() -> Reader:
    """The reader with the weights of `data/reader.safetensors`, which `data/make_reader.py` wrote."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):  # a new network draws weights
        reader = Reader()
        reader.load_state_dict(load_file(WEIGHTS))
    return reader.eval()


def train_reader() -> Reader:
    """Train a reader, which takes seconds. It is the same each time, and torch's global random state is unchanged."""
    generator = np.random.default_rng(SEED)
    drawn, wanted = [], []
    for letter in letters("train"):
        points = letter.points.copy()
        points[:, :2] = distorted(points[:, :2], [len(points)], generator)
        points[:, 0] += generator.normal(0, 0.12) * points[:, 1]
        points[:, :2] *= np.exp(generator.normal(0, 0.08))
        drawn.append(picture(points))
        wanted.append(ALPHABET.index(letter.character) - 1)
    pictures, answers = torch.stack(drawn), torch.tensor(wanted)
    # training also works if the caller is in inference mode
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(SEED)
        reader = Reader()
        optimizer = torch.optim.AdamW(reader.parameters(), 3e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=STEPS)
        for _ in range(STEPS):
            rows = torch.randint(len(pictures), (BATCH,))
            loss = F.cross_entropy(reader(pictures[rows]), answers[rows], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return reader.eval()


def cut_letters(
    weights: Sequence[Sequence[float]], text: str, points: Points, begins: int = 0
) -> list[tuple[str, Points | None]]:
    """Each letter of a text from `begins` on, and its strokes; None if there are fewer strokes than letters.

    Strokes are assigned to letters in order, at least one each, so that the weights of the letters while their strokes
    were drawn have the largest sum.

    Args:
        weights: the weight of each character for each point.
        text: the characters.
        points: (points, 3), with 1 where a stroke ends.
        begins: number of leading characters to skip.
    """
    if not weights:
        return []
    letters_of = [index for index, character in enumerate(text) if character != " "]
    ends = sorted({*np.flatnonzero(points[:, 2] > 0.5).tolist(), len(points) - 1})
    if len(ends) < len(letters_of):
        return [(text[index], None) for index in letters_of if index >= begins]
    shares = np.array(weights)[:, letters_of]
    shares /= np.maximum(shares.sum(1, keepdims=True), 1e-9)
    gains = np.diff(shares.cumsum(0)[ends], axis=0, prepend=np.zeros((1, len(letters_of))))
    # best[l]: the largest sum over all assignments of the strokes so far to the letters up to l
    best, moved = np.full(len(letters_of), -np.inf), []
    best[0] = 0.0
    for number, gain in enumerate(gains):
        before = np.concatenate([[-np.inf], best[:-1]]) if number else np.full_like(best, -np.inf)
        moved.append(before > best)
        best = np.maximum(best, before) + gain
    owner = len(letters_of) - 1
    owners = []
    for change in reversed(moved):
        owners.append(owner)
        owner -= int(change[owner])
    of_point = np.repeat(owners[::-1], np.diff(ends, prepend=-1))
    return [(text[index], points[of_point == number]) for number, index in enumerate(letters_of) if index >= begins]
