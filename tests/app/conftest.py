"""The command line, as the tests of the door name it."""

from tests.conftest import Command, Done

__all__ = ["Command", "Done"]
