"""A picture is a small value that can be drawn, written in a terminal, shown in a browser, described and kept.

The same value serves the terminal, the PNG, the page, the docs and the evidence. Kinds stand in `explain/pictures/`,
one a file, with the script of their page form beside it (`alignment.py`, `alignment.js`); a system may bring a kind of
its own in its folder (`systems/NAME/dial.py`, `dial.js`).
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Picture(Protocol):
    """One thing worth seeing."""

    @property
    def name(self) -> str:
        """What its file is called, such as "alignment"; unlike that of other pictures of the same answer."""

    def figure(self) -> Any:
        """A matplotlib figure."""

    def text(self, width: int) -> str:
        """Lines for a terminal of so many columns."""

    def page(self) -> Mapping[str, Any]:
        """What the script of its kind draws in a browser: JSON values."""

    def plain(self) -> Mapping[str, Any]:
        """What evidence keeps: JSON values of which `from_plain` makes the picture again, rounded and small."""

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Picture":
        """The picture that `plain` kept."""

    def description(self) -> str:
        """What is seen, in a sentence, for who cannot see it."""


def kind_of(picture: Picture | type[Any]) -> str:
    """The kind of a picture: "alignment" for one of ours, "NAME.dial" for one of the system NAME."""
    kind = picture if isinstance(picture, type) else type(picture)
    *_, room, folder, module = ["", "", *kind.__module__.split(".")]
    return module if (room, folder) == ("explain", "pictures") else f"{folder}.{module}"
