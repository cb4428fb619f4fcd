"""Clips: first one shape moves left, right, up or down, then another, with five captions each.

    sentence = event "and" event
    event    = "a" colour form ("moves" | "goes") ("left" | "right" | "up" | "down")

A caption names the events in either order. One frame shows the shape, only several show where it moves. A clip is a
function of the seed, the split and the number of the clip, computed for many clips at once.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from saccade.tasks.captions.grammar import COLOURS, FORMS
from saccade.tasks.captions.scenes import LIGHT, RGB, SHADES, VARIATION, cover, different
from saccade.tasks.digits.draws import Keys, uniform, whole

SIDE = 32  # rows and columns of a frame
EVENTS, CAPTIONS, DRAWS = 2, 5, 3
FEWEST, MOST, LEAST = 8, 14, 4  # frames of a clip: from, to; the fewest of an event
SIDES = (10, 14)  # of a shape: from, up to but not including
STEP = 2  # pixels that a shape moves from frame to frame
DIRECTIONS = ("left", "right", "up", "down")
MOVES = torch.tensor([[0, -1], [0, 1], [-1, 0], [1, 0]])  # rows and columns
VERBS = ("moves", "goes")
EVENT = rf"a ({'|'.join(COLOURS)}) ({'|'.join(FORMS)}) (?:{'|'.join(VERBS)}) ({'|'.join(DIRECTIONS)})"
SENTENCE = re.compile(f"{EVENT} and {EVENT}")
WORDS = 5  # of an event
NAMING = (1, 2, 4)  # the places of the words of an event that depend on it
WHAT, LENGTHS, PLACES, SHADE, SAID = range(10, 15)  # streams of random numbers


class Event(NamedTuple):
    """What happens in some frames."""

    colour: str
    form: str
    direction: str
    frames: range

    @property
    def named(self) -> tuple[str, str, str]:
        return self.colour, self.form, self.direction


class DrawnClips(NamedTuple):
    """What happens in b clips."""

    kinds: Int[Tensor, "b 2"]
    """The number of the form times the number of colours, plus that of the colour: two different ones."""
    directions: Int[Tensor, "b 2"]
    sides: Int[Tensor, "b 2"]
    starts: Int[Tensor, "b 2 2"]
    """Top and left in the first frame of the event."""
    cut: Int[Tensor, " b"]
    """The first frame of the second event."""
    frames: Int[Tensor, " b"]


def drawn(keys: Keys) -> DrawnClips:
    """What happens in the clips with these keys."""
    what = uniform(keys, 3 * EVENTS, WHAT).split(EVENTS, 1)
    lengths = uniform(keys, 2, LENGTHS)
    frames = FEWEST + whole(lengths[:, 0], MOST - FEWEST + 1)
    cut = LEAST + whole(lengths[:, 1], frames - 2 * LEAST + 1)
    sides = SIDES[0] + whole(what[2], SIDES[1] - SIDES[0])
    directions = whole(what[1], len(DIRECTIONS))
    moves = MOVES[directions]
    path = STEP * (torch.stack([cut, frames - cut], 1) - 1)[..., None] * moves
    room = SIDE - sides[..., None] - path.abs() + 1
    starts = whole(uniform(keys, 2 * EVENTS, PLACES).view(-1, EVENTS, 2), room) - path.clamp(max=0)
    return DrawnClips(different(what[0], len(COLOURS) * len(FORMS)), directions, sides, starts, cut, frames)


def events(clips: DrawnClips) -> list[tuple[Event, Event]]:
    """The two events of each clip."""
    found = []
    for kinds, directions, cut, frames in zip(
        clips.kinds.tolist(), clips.directions.tolist(), clips.cut.tolist(), clips.frames.tolist(), strict=True
    ):
        own = []
        for kind, direction, span in zip(kinds, directions, (range(cut), range(cut, frames)), strict=True):
            form, colour = divmod(kind, len(COLOURS))
            own.append(Event(COLOURS[colour], FORMS[form], DIRECTIONS[direction], span))
        found.append((own[0], own[1]))
    return found


def captions(keys: Keys, happenings: Sequence[tuple[Event, Event]]) -> list[tuple[str, ...]]:
    """Five captions of each clip."""
    draws = uniform(keys, CAPTIONS * DRAWS, SAID).view(-1, CAPTIONS, DRAWS).tolist()
    found = []
    for own, five in zip(happenings, draws, strict=True):
        said = []
        for order, *verbs in five:
            parts = [f"a {event.colour} {event.form} {VERBS[verb >= 0.5]} {event.direction}"
                     for event, verb in zip(own, verbs, strict=True)]  # fmt: skip
            said.append(" and ".join(parts if order < 0.5 else parts[::-1]))
        found.append(tuple(said))
    return found


def images(keys: Keys, clips: DrawnClips) -> UInt8[Tensor, "b f 3 y x"]:
    """The frames, black after the last one of a clip."""
    shade, colours = uniform(keys, 1 + 3 * EVENTS, SHADE).float().split([1, 3 * EVENTS], 1)
    colours = RGB[clips.kinds % len(COLOURS)] + VARIATION * (colours.view(-1, EVENTS, 3) - 0.5)
    number = torch.arange(int(clips.frames.max()))
    second = (number >= clips.cut[:, None]).long()  # (b, f), the event of each frame
    rows = torch.arange(len(second))[:, None]
    since = number - second * clips.cut[:, None]
    corner = clips.starts[rows, second] + STEP * since[..., None] * MOVES[clips.directions[rows, second]]
    half = (clips.sides[rows, second] / 2).flatten()[:, None, None]
    grid = torch.arange(SIDE) + 0.5
    y, x = (grid - (corner[..., axis].reshape(-1, 1) + half[:, 0]) for axis in (0, 1))
    covered = cover((clips.kinds[rows, second] // len(COLOURS)).flatten(), y[:, :, None], x[:, None], half)[:, None]
    ground = (LIGHT + SHADES * shade)[:, None].expand(-1, len(number), 3).flatten(0, 1)[..., None, None]
    found: Tensor = ground.expand(-1, 3, SIDE, SIDE).lerp(colours[rows, second].flatten(0, 1)[..., None, None], covered)
    valid = mask(clips.frames)[..., None, None, None]
    found = found.unflatten(0, second.shape) * valid
    return found.round().clamp(0, 255).byte()


def mask(frames: Int[Tensor, " b"]) -> Bool[Tensor, "b f"]:
    """True for the frames of each clip."""
    return torch.arange(int(frames.max())) < frames[:, None]


def parsed(caption: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Colour, form and direction of the two events that a caption tells; None if it is no sentence of the grammar."""
    found = SENTENCE.fullmatch(caption)
    return found and (found.groups()[:3], found.groups()[3:])


def right(caption: str, own: tuple[Event, Event]) -> int:
    """How many of the two events a caption tells rightly, in either order; 0 for a caption outside the grammar."""
    said, happened = parsed(caption), [event.named for event in own]
    return sum(event in (said or ()) for event in happened)


def spans(caption: str, own: tuple[Event, Event]) -> list[range | None]:
    """For each word of a caption the frames of the event that it is about: that of its colour and form. None for words
    that depend on no event, for events that are not in the clip, and for captions outside the grammar."""
    found: list[range | None] = [None] * len(caption.split())
    for number, said in enumerate(parsed(caption) or ()):
        event = next((event for event in own if (event.colour, event.form) == said[:2]), None)
        for place in NAMING:
            found[number * (WORDS + 1) + place] = event.frames if event else None
    return found
