"""A table of one's own from a TOML file."""

from __future__ import annotations

import os
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikedrive.auditing.energy.table import TABLES, EnergyTable, Memory
from spikedrive.errors import ConfigError, UnknownNameError

PICO = 1e-12
# strictly: a boolean is no price
Price = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Bits = Annotated[int, Field(ge=1, le=64, strict=True)]
Bytes = Annotated[float, Field(gt=0, strict=True)]
Words = Annotated[str, Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Operations(_Part):
    """Picojoules of one operation; what is left out is not charged, a function costs a mac."""

    mac: Price
    addition: Price
    function: Price | None = None
    sum: Price = 0.0
    compare: Price = 0.0
    shift: Price = 0.0
    gate: Price = 0.0
    lookup: Price = 0.0
    membrane_update: Price = 0.0
    address: Price = 0.0
    location: Price = 0.0


class Level(_Part):
    """One memory: bytes and picojoules a byte."""

    name: Words
    capacity: Bytes | None = None
    picojoules_per_byte: Price = 0.0


class TableFile(_Part):
    """What the file holds."""

    name: Words
    process: Words
    precision: Words
    source: Words
    scope: Words
    weight_bits: Bits = 32
    activation_bits: Bits = 32
    membrane_bits: Bits = 32
    derived: tuple[str, ...] = ()
    operations: Operations
    memories: tuple[Level, ...] = ()

    @model_validator(mode="after")
    def _memories_grow(self) -> TableFile:
        sizes = [level.capacity for level in self.memories]
        if None in sizes[:-1] or (sizes and sizes[-1] is not None):
            raise ValueError(
                "memories: the last one, and no other, is without a capacity, and holds the rest"
            )
        finite = [size for size in sizes if size is not None]
        if any(a >= b for a, b in pairwise(finite)):
            raise ValueError("memories: capacities grow from one to the next")
        if len({level.name for level in self.memories}) < len(sizes):
            raise ValueError("memories: names are unique")
        return self


def read_table(path: str | os.PathLike[str]) -> EnergyTable:
    """The table in a TOML file, prices in picojoules.

    Raises: ConfigError for a file that cannot be read, has an unknown or missing key, a negative price, or the name
    of a table that is registered.
    """
    try:
        found = TableFile(**tomllib.loads(Path(path).read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the table"
        raise _refused(path, f"{where}: {first['msg']}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _refused(path, f"{type(error).__name__}: {error}") from error
    if found.name in TABLES:
        raise _refused(path, f"name: {found.name!r} is the name of a registered table")
    prices = {key: PICO * price for key, price in found.operations.model_dump(exclude_none=True).items()}
    memories = tuple(Memory(m.name, m.capacity, PICO * m.picojoules_per_byte) for m in found.memories)
    described = found.model_dump(exclude={"operations", "memories"})
    return EnergyTable(**described, **{"function": prices["mac"], **prices}, memories=memories)


def table_of(given: str | os.PathLike[str] | EnergyTable) -> EnergyTable:
    """The table of that name, the one in that TOML file, or the one given.

    Raises: UnknownNameError for a name that is not registered; ConfigError for an unfit file, or a table of one's own
    under a registered name.
    """
    if isinstance(given, EnergyTable):
        if given.name in TABLES and TABLES[given.name] != given:
            raise ConfigError(
                f"The energy table {given.name!r} differs from the registered one of that name; a name stands for one "
                "table. Give yours another."
            )
        return given
    name = os.fspath(given)
    if name.endswith(".toml"):
        return read_table(name)
    if name not in TABLES:
        raise UnknownNameError(
            f"There is no energy table named {name!r}; the tables are {', '.join(TABLES)}, and any TOML file. "
            "Give one of these names, the path of a .toml file, or an EnergyTable."
        )
    return TABLES[name]


def _refused(path: str | os.PathLike[str], came: str) -> ConfigError:
    return ConfigError(
        f"{os.fspath(path)} is no energy table ({came}); it takes a TOML file with name, process, precision, source, "
        "scope and the picojoules of operations. Correct it after the example in the page on energy."
    )
