"""The `.sdx` file: an integer program as one file, readable with numpy alone.

Layout, little-endian:

    0    8 bytes   magic  89 53 44 58 0D 0A 1A 0A
    8    u32       version (2)
    12   u32       length of the header in bytes
    16   u64       length of the whole file in bytes
    24   header    UTF-8 JSON: meta, ops, values (bounds, in the order of ops), arrays (dtype, shape, offset)
    ...  arrays    each at a multiple of 64, zero bytes between them
    -32  32 bytes  SHA-256 of everything before

The same program gives the same bytes. Reading checks the length, the digest, every field, every offset,
and recomputes every shape and bound.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import mmap
import os
import stat
import struct
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

import numpy as np

# these fill the registry of operations
import spikedrive.engine.arithmetic
import spikedrive.engine.layout  # noqa: F401
from spikedrive.engine.ir import INT64, MOST_AXES, OPS, Op, check
from spikedrive.errors import FormatError
from spikedrive.files import atomic_write

MAGIC = b"\x89SDX\r\n\x1a\n"
VERSION = 2
_HEAD = struct.Struct("<8sIIQ")
_DIGEST = 32
_ALIGN = 64
_DEEPEST, _LONGEST_NUMBER = 64, 64
_DTYPES = ("|i1", "<i2", "<i4", "<i8")


def write(path: str | os.PathLike[str], meta: Mapping[str, Any], ops: Sequence[Op]) -> None:
    """Write the program; the file is whole or untouched. Raises: StorageError."""
    data = dump(meta, ops)
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def mapped(path: str | os.PathLike[str]) -> bytes | mmap.mmap:
    """The bytes of a file, of which only those that are being read take memory. Raises: FileNotFoundError.

    To put another program in its place, rename one over it, as `write` does.
    """
    with Path(path).open("rb") as file:
        found = os.fstat(file.fileno())
        # neither a pipe nor an empty file can be mapped
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def release(data: bytes | mmap.mmap) -> None:
    """Let go of the memory of a mapped file; it is read again where somebody asks for it."""
    if isinstance(data, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        data.madvise(mmap.MADV_DONTNEED)


def dump(meta: Mapping[str, Any], ops: Sequence[Op]) -> bytes:
    """The bytes of the file."""
    arrays: list[np.ndarray] = []
    header = {
        "meta": dict(meta),
        "ops": [_op_fields(op, arrays) for op in ops],
        "values": [dataclasses.asdict(value) for value in check(ops).values()],
        "arrays": [{"dtype": a.dtype.str, "shape": a.shape} for a in arrays],
    }
    # offsets are relative to the end of the header, so that they do not depend on its length
    end = 0
    for described, array in zip(header["arrays"], arrays, strict=True):
        described["offset"] = end
        end += -(-array.nbytes // _ALIGN) * _ALIGN
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(_HEAD.size + len(text)) % _ALIGN)
    head = _HEAD.pack(MAGIC, VERSION, len(text), _HEAD.size + len(text) + end + _DIGEST)
    parts: list[bytes | memoryview] = [head, text]
    for array in arrays:
        parts += [array.reshape(-1).data, bytes(-array.nbytes % _ALIGN)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def parse(data: bytes | mmap.mmap, source: str = "the bytes") -> tuple[dict[str, Any], list[Op]]:
    """Meta and operations from the bytes of a file, into which arrays point; `source` stands in messages.

    Raises: FormatError.
    """
    header_size = _check_frame(data, source)
    try:
        header = strict_json(data[_HEAD.size : _HEAD.size + header_size])
        body = memoryview(data)[_HEAD.size + header_size : -_DIGEST]
        arrays = [_array(described, body) for described in _listed(header["arrays"])]
        ops = [_op(fields, arrays) for fields in _listed(header["ops"])]
        values = [dataclasses.asdict(value) for value in check(ops).values()]
        # as text, in which 1, 1.0 and true are three things
        if _text(values) != _text(header["values"]):
            raise ValueError("its bounds are not those of its operations")
        if not isinstance(header["meta"], dict):
            raise TypeError("its meta is no mapping")
        _only(header, {"arrays", "meta", "ops", "values"})
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as error:
        raise _damaged(
            source, f"whose header does not hold together ({type(error).__name__}: {error})"
        ) from error
    return header["meta"], ops


def strict_json(data: bytes) -> Any:
    """What a text of JSON (RFC 8259) in UTF-8 holds, with at most 64 levels and numbers of at most 64 characters.

    *Raises*: ValueError for a member that is there twice, for NaN and infinities, for half a surrogate pair.

    >>> strict_json(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    # json.loads would take UTF-16 from bytes
    value = json.loads(
        data.decode("utf-8"),
        object_pairs_hook=_unique,
        parse_constant=_no_number,
        parse_int=_whole,
        parse_float=_real,
    )
    _check_tree(value, 0)
    return value


def _check_frame(data: bytes | mmap.mmap, source: str) -> int:
    if len(data) < _HEAD.size + _DIGEST or data[: len(MAGIC)] != MAGIC:
        what = "is empty" if not data else "does not start like one"
        raise FormatError(
            f"{source} is no .sdx program: it {what} ({len(data)} bytes). An .sdx file starts with {MAGIC.hex(' ')}. "
            "Write one with program.save(path) or `spikedrive compile`."
        )
    _, version, header_size, size = _HEAD.unpack_from(data)
    if version != VERSION:
        raise FormatError(
            f"{source} is an .sdx program of version {version}; this spikedrive reads version {VERSION}. "
            "Compile the model again with this version."
        )
    if size != len(data):
        raise _damaged(source, f"of {len(data)} bytes that says it has {size}")
    if hashlib.sha256(memoryview(data)[:-_DIGEST]).digest() != data[-_DIGEST:]:
        raise _damaged(source, "whose SHA-256 does not match")
    if header_size > size - _HEAD.size - _DIGEST:
        raise _damaged(source, "whose header is longer than the file")
    if (_HEAD.size + header_size) % _ALIGN:
        raise _damaged(source, "whose arrays do not begin at a multiple of 64")
    return header_size


def _damaged(source: str, what: str) -> FormatError:
    return FormatError(
        f"{source} is an .sdx program {what}; a whole, unchanged file is needed. "
        "Copy it again, or compile the model again."
    )


def _op_fields(op: Op, arrays: list[np.ndarray]) -> dict[str, Any]:
    fields: dict[str, Any] = {"op": type(op).__name__}
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        if _omitted(field) and value == field.default:
            continue
        if isinstance(value, np.ndarray):
            little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
            if little.dtype.str not in _DTYPES:
                raise FormatError(f"Operation {op.name!r} holds {value.dtype} in {field.name}; a program holds signed "
                                  "integers of 8 to 64 bits. Quantise it first.")  # fmt: skip
            value = {"array": len(arrays)}
            arrays.append(little)
        fields[field.name] = value
    return fields


def _op(fields: dict[str, Any], arrays: list[np.ndarray]) -> Op:
    kind = OPS[fields["op"]]
    hints = get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    optional = {field.name for field in dataclasses.fields(kind) if _omitted(field)}
    if not names - optional <= set(fields) - {"op"} <= names:
        raise KeyError(f"{fields['op']} has the fields {sorted(fields)}")
    return kind(**{name: _field(fields[name], hints[name], arrays) for name in names.intersection(fields)})


def _omitted(field: dataclasses.Field[Any]) -> bool:
    """Whether a file leaves the field out where it has its default."""
    return field.metadata.get("omitted", False)


def _field(value: Any, hint: Any, arrays: list[np.ndarray]) -> Any:
    """`value` from JSON as what `hint` asks for; TypeError where it is something else."""
    if isinstance(hint, types.GenericAlias) and get_origin(hint) is tuple and isinstance(value, list):
        kinds = get_args(hint)
        kinds = (kinds[0],) * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_field(v, k, arrays) for v, k in zip(value, kinds, strict=True))
    if hint is np.ndarray and isinstance(value, dict):
        _only(value, {"array"})
        return arrays[_integer(value["array"], least=0)]
    if hint is int:
        return _integer(value)
    if type(value) is hint:
        return value
    raise TypeError(f"{value!r:.80} stands where {hint} should")


def _array(described: dict[str, Any], body: memoryview) -> np.ndarray:
    _only(described, {"dtype", "shape", "offset"})
    dtype, offset = described["dtype"], _integer(described["offset"], least=0)
    shape = tuple(_integer(n, least=1) for n in _listed(described["shape"]))
    if dtype not in _DTYPES or len(shape) > MOST_AXES or offset % _ALIGN:
        raise ValueError(f"an array of {dtype} with {len(shape)} axes at offset {offset}")
    count = math.prod(shape)
    if offset + count * np.dtype(dtype).itemsize > len(body):
        raise ValueError(f"an array that ends outside the file, at {offset}")
    return np.frombuffer(body, dtype, count, offset).reshape(shape)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} stands where a list should")
    return value


def _integer(value: Any, *, least: int = -INT64) -> int:
    # not isinstance: True is an int
    if type(value) is not int or not least <= value < INT64:
        raise TypeError(f"{value!r:.80} stands where an integer of at least {least} and of 64 bits should")
    return value


def _only(fields: dict[str, Any], known: set[str]) -> None:
    if surplus := set(fields) - known:
        raise KeyError(f"the unknown field {min(surplus)!r}")


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.80} is there twice in an object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _whole(text: str) -> int:
    return int(_short(text))


def _real(text: str) -> float:
    return float(_short(text))


def _short(text: str) -> str:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number of too many digits")
    return text


def _check_tree(value: Any, depth: int) -> None:
    if isinstance(value, str):
        # half a surrogate pair cannot be encoded
        value.encode()
    elif isinstance(value, (list, dict)):
        if depth == _DEEPEST:
            raise ValueError("too many levels")
        for item in value:
            _check_tree(item, depth + 1)
        for item in value.values() if isinstance(value, dict) else ():
            _check_tree(item, depth + 1)
