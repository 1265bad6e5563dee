"""The `.sdx` file: whole, deterministic, and never half read."""

from __future__ import annotations

import errno
import hashlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.programs import pixels, small_program
from spikedrive.engine import pack
from spikedrive.engine.arithmetic import Linear
from spikedrive.engine.ir import Input
from spikedrive.engine.runtime import Program, load
from spikedrive.errors import FormatError, StorageError


def test_a_program_survives_the_file(tmp_path):
    program = small_program()
    program.save(tmp_path / "m.sdx")
    again = load(tmp_path / "m.sdx")
    assert again.meta == program.meta and again.values == program.values
    images = pixels(7)
    one, two = program.run(images, neurons=True), again.run(images, neurons=True)
    assert (one.logits_int == two.logits_int).all() and one.scale == two.scale
    assert (one.neurons["neuron"] == two.neurons["neuron"]).all()


def test_the_same_program_gives_the_same_bytes(tmp_path):
    small_program().save(tmp_path / "a.sdx")
    load(tmp_path / "a.sdx").save(tmp_path / "b.sdx")
    assert (tmp_path / "a.sdx").read_bytes() == (tmp_path / "b.sdx").read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    weight=st.lists(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=3, max_size=3), min_size=1, max_size=4),
    bias=st.integers(-(2**40), 2**40), names=st.lists(st.text(max_size=5), max_size=3), kind=st.sampled_from("bhil"),
)  # fmt: skip
def test_any_program_survives_the_bytes(weight, bias, names, kind):
    rows = np.array(weight).astype({"b": np.int8, "h": np.int16, "i": np.int32, "l": np.int64}[kind])
    ops = [
        Input(name="x", inputs=(), shape=(3,)),
        Linear(name="y", inputs=("x",), weight=rows, shift=np.arange(len(rows)), bias=np.full(len(rows), bias),
               exponent=-7, module="héad"),
    ]  # fmt: skip
    meta, read = pack.parse(pack.dump({"class_names": names}, ops))
    assert meta == {"class_names": names}
    assert (read[1].weight == rows).all() and read[1].weight.dtype == rows.dtype
    assert (read[1].bias == bias).all() and read[1].module == "héad" and read[1].inputs == ("x",)


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), keep=st.floats(0, 1, exclude_max=True))
def test_a_truncated_or_flipped_file_is_refused(at, bit, keep):
    data = pack.dump({}, small_program().ops)
    flipped = bytearray(data)
    flipped[int(at * len(data))] ^= 1 << bit
    for damaged in (bytes(flipped), data[: int(keep * len(data))], data + b"\0"):
        with pytest.raises(FormatError, match=r"sdx.*(version|whole|starts with).*(Compile|Copy|Write)"):
            pack.parse(damaged)


def resealed(data: bytes, change) -> bytes:
    """The file with a changed header and a digest that matches again."""
    size = struct.unpack_from("<I", data, 12)[0]
    header = json.loads(data[24 : 24 + size])
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-(24 + len(text)) % 64)
    body = data[24 + size : -32]
    whole = (
        struct.pack("<8sIIQ", pack.MAGIC, pack.VERSION, len(text), 24 + len(text) + len(body) + 32)
        + text
        + body
    )
    return whole + hashlib.sha256(whole).digest()


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["arrays"][0].update(offset=2**40),
        lambda h: h["arrays"][0].update(offset=1),
        lambda h: h["arrays"][0].update(shape=[2**31, 2**31]),
        lambda h: h["arrays"][0].update(shape=[-1]),
        lambda h: h["arrays"][0].update(dtype="<f4"),
        lambda h: h["ops"][1].update(op="Exec"),
        lambda h: h["ops"][1].update(inputs=["head"]),
        lambda h: h["ops"][1].update(surplus=1),
        lambda h: h["ops"][1].update(stride=[1]),
        lambda h: h["ops"][1].update(stride=[0, 1]),
        lambda h: h["ops"][1].update(weight={"array": 99}),
        lambda h: h["ops"][2].update(steps="2"),
        lambda h: h["ops"][2].update(repeats=2**62),
        lambda h: h["ops"][2].update(fraction=-1),
        lambda h: h["ops"][2].update(carry=False, steps=2**60),
        lambda h: h["ops"][0].update(shape=[2, 2**40, 5]),
        lambda h: h["ops"][1].update(padding=[2**40, 2**40]),
        lambda h: h["values"][1].update(high=1),
        lambda h: h.pop("ops"),
        lambda h: h.update(meta=[]),
        lambda h: h.update(ops=5),
    ],
)
def test_a_forged_header_is_refused(change):
    with pytest.raises(FormatError, match="header does not hold together"):
        pack.parse(resealed(pack.dump({}, small_program().ops), change))


@pytest.mark.parametrize("meta", [{"surplus": 1}, {}])
def test_meta_of_another_kind_is_refused(tmp_path, meta):
    ops = small_program().ops if meta else small_program().ops[:2]
    pack.write(tmp_path / "m.sdx", meta, ops)
    with pytest.raises(FormatError, match=r"cannot run .* it takes one input, one answer .* Compile"):
        load(tmp_path / "m.sdx")


def test_other_files_and_versions_are_refused(tmp_path):
    path = tmp_path / "m.sdx"
    for data, match in (
        (b"", r"it is empty \(0 bytes\).*Write one"),
        (b"PK\3\4" + bytes(100), "it does not start like one"),
        (
            pack.MAGIC + struct.pack("<I", 3) + bytes(200),
            "version 3; this spikedrive reads version 2. Compile",
        ),
    ):
        path.write_bytes(data)
        with pytest.raises(FormatError, match=match):
            load(path)


def test_a_full_disk_leaves_the_last_file(tmp_path, monkeypatch):
    path = tmp_path / "m.sdx"
    small_program(0).save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"No space left.*untouched.*Free space"):
        small_program(1).save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_floating_point_is_no_part_of_a_program():
    ops = [Input(name="x", inputs=(), shape=(3,)),
           Linear(name="y", inputs=("x",), weight=np.ones((2, 3)), shift=np.zeros(2, int), bias=np.zeros(2, int),
                  exponent=0)]  # fmt: skip
    with pytest.raises(FormatError, match="holds float64 in weight; a program holds signed integers"):
        Program(ops).save("never.sdx")
