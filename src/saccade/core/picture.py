"""A picture is a small value that can be drawn, printed in a terminal, shown in a browser, described and stored.

The terminal, the PNG, the page, the docs and the evidence all use the same value. Each kind is a file in
`explain/pictures/`, with the script of its page form beside it (`alignment.py`, `alignment.js`); a system may define
its own kind in its folder (`systems/NAME/dial.py`, `dial.js`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Picture(Protocol):
    """One picture of a model or of its answer."""

    @property
    def name(self) -> str:
        """The name of its file, such as "alignment"; unique among the pictures of one answer."""

    def figure(self) -> Any:
        """A matplotlib figure."""

    def text(self, width: int) -> str:
        """The picture as text, at most `width` columns wide."""

    def page(self) -> Mapping[str, Any]:
        """The JSON values that the script of its kind draws in a browser."""

    def plain(self) -> Mapping[str, Any]:
        """The JSON values that evidence stores, rounded and small; `from_plain` restores the picture from them."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Picture":
        """Restore the picture from `plain`."""

    def description(self) -> str:
        """A sentence that describes the picture to readers who cannot see it."""


@runtime_checkable
class Moving(Picture, Protocol):
    """A picture that may also be written as an animation."""

    @property
    def seconds(self) -> float:
        """The time of each figure; 0 if there is no animation."""

    def frames(self) -> Sequence[Any]:
        """Its matplotlib figures."""


@runtime_checkable
class Accompanied(Picture, Protocol):
    """A picture that is also written in other formats, such as music as sound."""

    def files(self) -> Mapping[str, bytes]:
        """The content of each file by the ending of its name, such as "wav"; empty if there is none."""


def kind_of(picture: Picture | type[Any]) -> str:
    """The kind of a picture: "alignment" for a kind of the library, "NAME.dial" for one that the system NAME
    defines."""
    kind = picture if isinstance(picture, type) else type(picture)
    *_, room, folder, module = ["", "", *kind.__module__.split(".")]
    return module if (room, folder) == ("explain", "pictures") else f"{folder}.{module}"
