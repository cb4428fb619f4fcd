"""saccade: attention and memory in PyTorch. Mechanisms, systems that run, pictures of where a model looks."""

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from saccade.runs.run import open_run as load


def __getattr__(name: str) -> Any:
    # lazily, so that `import saccade` and `saccade --help` wait for nothing
    if name == "load":
        from saccade.runs.run import open_run

        return open_run
    raise AttributeError(f"module 'saccade' has no attribute {name!r}")
