"""Fixtures of the command-line tests."""

from tests.conftest import Command, Done

__all__ = ["Command", "Done"]
