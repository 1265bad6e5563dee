"""The C++ loader of `.sdx` files against the Python reader: the same programs accepted, with the same values."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.random_programs import random_program
from engine.seeds import seeds
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Linear
from spikedrive.engine.ir import OPS, Input, check
from spikedrive.errors import FormatError, ShapeError

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "src" / "spikedrive" / "engine" / "native"
SEEDS = seeds()

# one line of JSON for each operation, or the error
Answer = list[dict[str, Any]] | str
Loader = Callable[[Sequence[bytes]], list[Answer]]


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory, require) -> Loader:
    """What the C++ loader says of files."""
    require(shutil.which("c++") is not None, "a C++ compiler (on Debian: apt-get install g++)")
    folder = tmp_path_factory.mktemp("loader")
    program = folder / "load_sdx"
    sources = [str(ROOT / "tests" / "native" / "load_sdx.cpp"), str(NATIVE / "file" / "sdx.cpp")]
    options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{NATIVE}"]
    subprocess.run(["c++", *options, *sources, "-o", str(program)], check=True)

    def load(files: Sequence[bytes]) -> list[Answer]:
        paths = [folder / f"{i}.sdx" for i in range(len(files))]
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        # relative names, so that messages are the same everywhere
        done = subprocess.run([str(program), *(path.name for path in paths)], cwd=folder, capture_output=True)
        answers: list[Answer] = []
        rows: Answer = []
        # not splitlines: a message may hold other ends of lines
        for line in done.stdout.decode().split("\n")[:-1]:
            if not line:
                answers.append(rows)
                rows = []
            elif isinstance(rows, list) and not line.startswith("refused: "):
                rows.append(json.loads(line))
            else:
                rows = line.removeprefix("refused: ")
        assert done.returncode == any(isinstance(answer, str) for answer in answers), done.stderr
        assert len(answers) == len(files)
        return answers

    return load


def header_of(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the arrays of a file."""
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[24 : 24 + size]), data[24 + size : -32]


def framed(text: bytes, body: bytes) -> bytes:
    """A file of any header and arrays."""
    text += b" " * (-(24 + len(text)) % 64)
    return sealed(struct.pack("<8sIIQ", pack.MAGIC, pack.VERSION, len(text), 0) + text + body + bytes(32))


def sealed(data: bytes) -> bytes:
    """The file with the length and the digest that it should have."""
    whole = data[:16] + struct.pack("<Q", len(data)) + data[24:-32]
    return whole + hashlib.sha256(whole).digest()


def expected(data: bytes) -> list[dict[str, Any]]:
    """What the C++ program prints of a file that Python reads; FormatError where it does not."""
    _, ops = pack.parse(data)
    values = check(ops)
    places = {op.name: i for i, op in enumerate(ops)}

    def shown(field: Any) -> Any:
        if not isinstance(field, np.ndarray):
            return field
        total = int(field.astype(np.uint64).sum())
        return {"bits": field.itemsize * 8, "sum": total, "shape": field.shape}

    rows = [
        {
            "name": op.name, "op": type(op).__name__, "module": op.module, "inputs": [places[n] for n in op.inputs],
            "value": dataclasses.asdict(values[op.name]),
            "fields": {f.name: shown(getattr(op, f.name)) for f in dataclasses.fields(op)
                       if f.name not in ("name", "module", "inputs")},
        }
        for op in ops
    ]  # fmt: skip
    return json.loads(json.dumps(rows))


def test_every_operation_is_read_with_its_fields_and_values(native):
    kinds: set[str] = set()
    for data, rows in zip(SEEDS.values(), native([*SEEDS.values()]), strict=True):
        assert rows == expected(data)
        kinds |= {row["op"] for row in rows}
    assert kinds == set(OPS)


BOUNDS = "its bounds are not those of its operations"


def compare(native: Loader, files: Sequence[bytes]) -> tuple[int, int]:
    """Both readers on every file: how many both accept, and how many both refuse."""
    accepted = refused = 0
    for data, answer in zip(files, native(files), strict=True):
        try:
            rows, reason = expected(data), ""
        except FormatError as error:
            rows, reason = None, str(error)
        if rows is None:
            assert isinstance(answer, str), f"only Python refuses: {reason}"
            assert (BOUNDS in answer) <= (BOUNDS in reason), f"{answer}\n{reason}"
            refused += 1
        else:
            assert answer == rows, f"only C++ refuses: {answer}"
            accepted += 1
    return accepted, refused


def test_truncated_files_are_refused_at_every_boundary(native):
    cut, closed = [], []
    for data in SEEDS.values():
        header, body = header_of(data)
        first = len(data) - len(body) - 32
        ends = [first + array["offset"] for array in header["arrays"]]
        for end in {
            0,
            1,
            7,
            8,
            12,
            16,
            23,
            24,
            25,
            55,
            56,
            57,
            first - 1,
            *ends,
            len(data) - 32,
            len(data) - 1,
        }:
            cut += [data[:end]]
            closed += [sealed(data[:end] + bytes(32))] if 24 <= end < len(data) - 32 else []
        cut += [data + b"\0"]
    assert compare(native, cut) == (0, len(cut))
    assert compare(native, closed) == (0, len(closed))


def test_flipped_bits_are_refused_or_read_alike(native):
    chance = random.Random(0)
    files = []
    for data in SEEDS.values():
        for _ in range(150):
            flipped = bytearray(data)
            # a header is short beside its arrays in real files, and long in these
            flipped[chance.randrange(len(data) - 32)] ^= 1 << chance.randrange(8)
            files += [sealed(bytes(flipped))]
        files += [bytes(flipped)]
    accepted, refused = compare(native, files)
    assert accepted > 20 and refused > 100


VALUES = (0, 1, -1, 2, 3, 63, 64, 2**16, 2**16 + 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), 2**63, 2**70, True, None,
          1.0, "x", "", [], [0], [1, 1], [0, 0], [2, 3, 4, 5], [[0, 0]], {}, {"array": 0}, {"array": 99})  # fmt: skip


def edit(header: dict[str, Any], chance: random.Random) -> None:
    """Change one thing somewhere in the header."""
    op = chance.choice(header["ops"])
    name = chance.choice([*op])
    kind = chance.randrange(16)
    if kind == 0:
        chance.choice(header["arrays"])[chance.choice(("offset", "shape", "dtype"))] = chance.choice(VALUES)
    elif kind == 1:
        del op[name]
    elif kind == 2:
        header["ops"].insert(chance.randrange(len(header["ops"])), header["ops"].pop())
    elif kind == 3:
        op["inputs"] = chance.choices([o["name"] for o in header["ops"]], k=chance.randrange(4))
    elif isinstance(op[name], list) and op[name]:
        op[name][chance.randrange(len(op[name]))] = chance.choice(VALUES)
    elif type(op[name]) is int:
        # most of what is near is accepted
        op[name] = chance.choice((op[name] + chance.choice((-2, -1, 1, 2)), chance.choice(VALUES[:16])))
    else:
        op[name] = not op[name] if type(op[name]) is bool else chance.choice(VALUES)


def with_its_values(header: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The header with the values that its operations have, where these fit each other."""
    try:
        arrays = [pack._array(described, memoryview(body)) for described in header["arrays"]]
        values = check([pack._op(fields, arrays) for fields in header["ops"]]).values()
        return {**header, "values": [dataclasses.asdict(value) for value in values]}
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, ShapeError):
        return header


def test_edited_headers_are_refused_or_read_alike(native):
    chance = random.Random(1)
    files = []
    for _ in range(700):
        header, body = header_of(chance.choice([*SEEDS.values()]))
        for _ in range(chance.choice((1, 1, 2))):
            edit(header, chance)
        files += [framed(json.dumps(with_its_values(header, body)).encode(), body)]
    accepted, refused = compare(native, files)
    assert accepted > 60 and refused > 300


def test_random_programs_have_the_same_values(native):
    """Most of their bounds are far beyond those of trained networks."""
    chance = random.Random(2)
    programs = [random_program(chance, 12, chance.choice((255, 255, 3, 300, 2**31 - 1))) for _ in range(150)]
    assert compare(native, [pack.dump({}, ops) for ops in programs]) == (150, 0)
    peaks = [value.peak for ops in programs for value in check(ops).values()]
    assert max(peaks) > 2**61 and {type(op).__name__ for ops in programs for op in ops} == set(OPS)


def rebuilt(seed: str, change: Callable[[dict[str, Any]], Any]) -> bytes:
    header, body = header_of(SEEDS[seed])
    change(header)
    return framed(json.dumps(with_its_values(header, body)).encode(), body)


def op(header: dict[str, Any], name: str) -> dict[str, Any]:
    return next(fields for fields in header["ops"] if fields["name"] == name)


HOSTILE = {
    "empty tensor": ("vision", lambda h: op(h, "x").update(shape=[2, 0, 6]), "axes of at least 1"),
    "negative size": ("vision", lambda h: op(h, "x").update(shape=[2, -6, -6]), "axes of at least 1"),
    "no groups": ("vision", lambda h: op(h, "conv").update(groups=0), "for 0 groups"),
    "kernel of 0": ("vision", lambda h: op(h, "pool").update(kernel=[0, 3], padding=[0, 1]), "kernels of at least 1"),
    "negative padding": ("vision", lambda h: op(h, "conv").update(padding=[-1, 1]), "strides, dilations and kernels"),
    "huge padding": ("vision", lambda h: op(h, "conv").update(padding=[2**40, 1], stride=[2**41, 1]),
                     "a padding of at most 4294967296 values"),
    "padding alone": ("vision", lambda h: op(h, "pool").update(kernel=[2, 2], padding=[1, 1], dilation=[7, 6]),
                      "a padding of at most half the kernel"),
    "shift of 64": ("vision", lambda h: op(h, "shift").update(left=64), "a shift of 0 to 63"),
    "axis twice": ("vision", lambda h: op(h, "mean").update(axes=[1, 1]), "axes that it has, each once"),
    "no steps": ("vision", lambda h: op(h, "steps").update(steps=0), "1 or 0 steps"),
    "exponent": ("vision", lambda h: op(h, "scale").update(power=-(2**63)), "integers have 64 bits"),
    "more than 64 bits": ("vision", lambda h: op(h, "scale").update(power=2**63), "9223372036854775808 passes 64 bits"),
    "repeats": ("vision", lambda h: op(h, "fire").update(repeats=2**62), "can reach"),
    "own result": ("vision", lambda h: op(h, "shift").update(inputs=["shift"]), "which no earlier one gives"),
    "later result": ("vision", lambda h: op(h, "shift").update(inputs=["head"]), "'head', which no earlier one gives"),
    "same name": ("vision", lambda h: op(h, "shift").update(name="fire"), "'fire' is there twice"),
    "other kind": ("vision", lambda h: op(h, "shift").update(op="Exec"), "unknown kind 'Exec'"),
    "surplus": ("vision", lambda h: op(h, "shift").update(surplus=1), "unknown field 'surplus'"),
    "surplus at the top": ("vision", lambda h: h.update(surplus=1), "unknown field 'surplus'"),
    "missing": ("vision", lambda h: op(h, "shift").pop("left"), "Shift lacks 'left'"),
    "bool for int": ("vision", lambda h: op(h, "shift").update(left=True), "no number where one should be"),
    "int for bool": ("vision", lambda h: op(h, "mean").update(mean=1), "no true or false"),
    "float for int": ("vision", lambda h: op(h, "shift").update(left=2.0), "2.0 stands where an integer should"),
    "three of two": ("vision", lambda h: op(h, "conv").update(stride=[1, 1, 1]), "3 numbers stand where two should"),
    "array -1": ("vision", lambda h: op(h, "conv").update(weight={"array": -1}), "array -1 of 6"),
    "array 99": ("vision", lambda h: op(h, "conv").update(weight={"array": 99}), "array 99 of 6"),
    "array outside": ("vision", lambda h: h["arrays"][0].update(offset=2**62), "empty or ends outside the file"),
    "array of 2**62": ("vision", lambda h: h["arrays"][0].update(shape=[2**31, 2**31]), "ends outside the file"),
    "empty array": ("vision", lambda h: h["arrays"][0].update(shape=[0, 2**62]), "is empty or ends"),
    "array of floats": ("vision", lambda h: h["arrays"][0].update(dtype="<f4"), "an array of '<f4'"),
    "large program": ("vision", lambda h: op(h, "x").update(shape=[2, 2**31, 6]), "values per sample"),
    "many axes": ("attention", lambda h: op(h, "flat").update(shape=[12] + [1] * 40), "at most 30 axes"),
    "ids beyond a table": ("language", lambda h: op(h, "ids").update(high=300), r"integers 0\.\.299 and 4 shifts"),
    "no ids": ("language", lambda h: op(h, "ids").update(high=0), "integers up to 0"),
    "ids of 32 bits": ("language", lambda h: op(h, "ids").update(high=2**31), "integers up to 2147483648"),
    "meta": ("vision", lambda h: h.update(meta=[]), "its meta is no mapping"),
    "NaN": ("vision", lambda h: h["meta"].update(mean=float("nan")), "no number|true or false"),
    "half a pair": ("vision", lambda h: op(h, "shift").update(module="\ud800"), "half a surrogate pair"),
    "depth": ("vision", lambda h: h["meta"].update(deep=json.loads("[" * 70 + "]" * 70)), "too many levels"),
}  # fmt: skip


def test_hostile_headers_are_refused_with_the_reason(native):
    files = [rebuilt(seed, change) for seed, change, _ in HOSTILE.values()]
    assert compare(native, files) == (0, len(files))
    for (_, _, words), answer in zip(HOSTILE.values(), native(files), strict=True):
        assert isinstance(answer, str)
        assert re.search(rf"does not hold together \(.*({words}).*; a whole, .* Copy it again", answer), (
            answer
        )


@pytest.mark.parametrize("change", [{"low": 1}, {"peak": 0}, {"exponent": 3}, {"shape": [1]}, None])
def test_bounds_of_another_program_are_refused(native, change):
    header, body = header_of(SEEDS["vision"])
    last = [{**header["values"][-1], **change}] if change else []
    header["values"][-1:] = last
    (answer,) = native([framed(json.dumps(header).encode(), body)])
    assert isinstance(answer, str) and BOUNDS in answer


def test_sums_that_pass_64_bits_are_refused(native):
    """Where NumPy's own sums would wrap."""
    weight, zero = np.full((1, 4), 2**62), np.zeros(1, int)
    x = Input(name="x", inputs=(), shape=(4,))
    y = Linear(name="y", inputs=("x",), weight=weight // 2**62, shift=zero, bias=zero, exponent=0)
    header, body = header_of(pack.dump({}, [x, y]))
    body = weight.tobytes() + body[32:]
    file = framed(json.dumps(header).encode(), body)
    (answer,) = native([file])
    assert isinstance(answer, str) and "can reach 4.7e+21; integers have 64 bits" in answer
    with pytest.raises(FormatError, match=r"can reach 4\.7e\+21; integers have 64 bits"):
        pack.parse(file)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b'{"a":1,"a":2}', "'a' is there twice in an object"),
        (b"{} {}", "more after the value at byte 3"),
        (b"{", 'no " where one should be'),
        (b'{"a":01}', "no number where one should be"),
        (b'{"a":1.}', "no digit after the point"),
        (b'{"a":1e}', "no digit in the exponent"),
        (b'{"a":-}', "no number where one should be"),
        (b'{"a":' + b"1" * 65 + b"}", "too many digits"),
        (b'{"a":tru}', "no true or false"),
        (b'{"a":"\n"}', "a control character in a string"),
        (b'{"a":"\\x"}', "an unknown escape"),
        (b'{"a":"\\u12g4"}', "no hexadecimal digit"),
        (b'{"a":"\xc0\x80"}', "no UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "no UTF-8"),
        (b'{"a":"\xf5\x80\x80\x80"}', "no UTF-8"),
        (b'{"a":"\x80"}', "no UTF-8"),
        (b'{"a":"\xe2\x82"}', "no UTF-8"),
        (b"\xef\xbb\xbf{}", "no { where one should be"),
        (b'{"meta":"', "a string without an end"),
        (b"{}", "the header lacks 'arrays'"),
        (b"", "no { where one should be"),
    ],
)
def test_what_is_no_json_is_refused(native, text, match):
    assert compare(native, [framed(text, b"")]) == (0, 1)
    (answer,) = native([framed(text, b"")])
    assert isinstance(answer, str) and match in answer


def test_messages_of_broken_frames_are_those_of_python(native):
    data = SEEDS["small"]
    flipped = bytearray(data)
    flipped[100] ^= 1
    long = sealed(data[:12] + struct.pack("<I", 2**31) + data[16:])
    files = [
        b"",
        b"PK\3\4" + bytes(100),
        pack.MAGIC + struct.pack("<I", pack.VERSION + 1) + bytes(200),
        data[:-1],
        bytes(flipped),
        long,
    ]
    for i, (broken, answer) in enumerate(zip(files, native(files), strict=True)):
        with pytest.raises(FormatError) as error:
            pack.parse(broken, f"{i}.sdx")
        assert answer == str(error.value)


def test_a_header_may_use_all_of_json(native):
    """Escapes, spaces and the order of members are the writer's choice."""
    header, body = header_of(SEEDS["attention"])
    op(header, "gated")["module"] = 'é"\\/\b\f\n\r\t\u20ac\U0001f600\0'
    text = json.dumps(dict(reversed(header.items())), indent=2).replace("\\/", "/").encode()
    (rows,) = native([framed(text.replace(b"\n", b"\r\n\t"), body)])
    assert rows == expected(framed(text, body))


def test_no_program_at_all_is_no_operations(native):
    assert native([pack.dump({}, [])]) == [[]]
