"""The docs build, which is not part of the package, on the path; the command line and the tiny runs of tests/app."""

import sys
from pathlib import Path

import pytest

from tests.app.conftest import run, saccade, tiny_runs

__all__ = ["run", "saccade", "tiny_runs"]

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "build"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Documents train whole systems, which the jaxtyping hook would slow down."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("unhooked")
