"""The runtime type checker of the tests: beartype, with int accepted where float is declared (PEP 484)."""

from beartype import BeartypeConf, beartype

checker = beartype(conf=BeartypeConf(is_pep484_tower=True))
