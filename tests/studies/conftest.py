"""The command line and the tiny runs, as the tests of the door have them."""

from pathlib import Path

import pytest

from tests.app.conftest import run, saccade, tiny_runs

__all__ = ["run", "saccade", "tiny_runs"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs are evaluated without the hook: the tests of the rooms execute shapes, and here time counts."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("unhooked")
