"""The suite. `typed` checks the types in annotations while the tests run (`python -m tests`)."""

from beartype import BeartypeConf, beartype

typed = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int where a float is expected, as for mypy
