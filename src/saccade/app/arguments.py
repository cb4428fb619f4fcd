"""The argument parser of the verbs: argparse, with errors of one sentence."""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from saccade.core.errors import InvalidInput, nearest


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of printing its usage."""

    def __init__(self, verb: str, description: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"saccade {verb}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def options(self) -> list[str]:
        """The flags of the verb itself."""
        return [option for action in self._actions for option in action.option_strings]

    def own(self, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
        """The arguments of the verb itself, and the other flags, each with the values that follow it."""
        found: tuple[list[str], list[str]] = ([], [])
        known, other = {*self.options(), "--"}, False
        for argument in arguments:
            if argument.startswith("--"):
                other = argument.partition("=")[0] not in known
            found[other].append(argument)
        return found

    def error(self, message: str) -> NoReturn:
        known = self.options()
        if found := re.match(r"unrecognized arguments: (\S+)", message):
            message = f"there is no flag {found[1]}; {nearest(found[1], known)}"
        raise InvalidInput(f"{self.prog}: {message} (see {self.prog} --help)")


def run_first(verb: str, arguments: Sequence[str]) -> list[str]:
    """Parse the arguments. Raises if flags come before the run, since the flags depend on the run."""
    if arguments and arguments[0].startswith("--") and arguments[0] != "--help":
        raise InvalidInput(f"name the run first: saccade {verb} RUN {arguments[0]} ...")
    return list(arguments)
