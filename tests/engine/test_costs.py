"""What kernels cost decides how a layer runs, never what it gives; measured costs are kept in a file."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from engine.kernel_programs import images_for, random_program
from engine.programs import pixels, small_program
from spikedrive import native
from spikedrive.engine import pack
from spikedrive.engine.measure import calibration, choice, costs
from spikedrive.engine.measure.choice import DENSE, LISTS, Layer, always, time_layers
from spikedrive.errors import FormatError, UnknownNameError

if native.run is None and os.environ.get("SPIKEDRIVE_STRICT") != "1":
    pytest.skip(f"the engine is missing: {native.run_missing}", allow_module_level=True)

LEVELS = native.run.levels()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPIKEDRIVE_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("level", LEVELS)
def test_no_cost_changes_an_integer(level: str) -> None:
    rng = np.random.default_rng(0)
    drawn = {name: float(rng.exponential()) for name in native.run.costs(level)}
    for seed in (3, 4):
        ops = random_program(seed)
        images, places, file = images_for(ops, seed), list(range(len(ops))), pack.dump({}, ops)
        found = [
            native.run.Engine(file, level, costs=each).run(images, images.shape[1], places, 1 + seed % 2)
            for each in (always(LISTS), always(DENSE), drawn)
        ]
        for other in found[1:]:
            assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True)), f"seed {seed}"


@pytest.mark.parametrize(("weight_bits", "most"), [(7, 1), (8, 4)])
def test_both_ways_give_a_layer_the_same_integers(weight_bits: int, most: int) -> None:
    layer = Layer(40, 70, 9, kernel=3, stride=2, steps=2, most=most, weight_bits=weight_bits)
    spikes, file = layer.spikes(0.3, batch=2), pack.dump({}, layer.ops())
    by_lists, by_dense = (
        native.run.Engine(file, LEVELS[-1], costs=always(way)).run(spikes, 2, [2, 4], 1)
        for way in (LISTS, DENSE)
    )
    assert np.array_equal(by_lists[0], spikes)
    assert by_lists[1].any() and np.array_equal(by_lists[1], by_dense[1])


def test_the_cheaper_way_is_taken() -> None:
    # dense tiles of this layer are ten times as quick, or slow: the machine's noise is not
    layer = Layer(256, 256, 12, kernel=3, steps=1)
    for density, quicker in ((0.01, LISTS), (1.0, DENSE)):
        (timed,) = time_layers([(layer, density)], LEVELS[-1], {"chosen": {}, **ways()}, 4)
        assert timed.density == density
        slower = LISTS if quicker == DENSE else DENSE
        best = {way: min(seconds) for way, seconds in timed.seconds.items()}
        assert abs(best["chosen"] - best[quicker]) < abs(best["chosen"] - best[slower])


def ways() -> dict[str, dict[str, float]]:
    return {way: always(way) for way in (LISTS, DENSE)}


def test_amounts_are_counted_by_hand() -> None:
    layer = Layer(32, 64, 4, kernel=3, steps=2)
    spikes = layer.spikes(0.5)
    engine = native.run.Engine(pack.dump({}, layer.ops()), LEVELS[-1])
    names = native.run.costs(LEVELS[-1])
    lists, dense = (dict(zip(names, each, strict=True)) for each in engine.amounts(spikes, 1)[choice.PLACE])
    # of 4 x 3 pairs of a row and a tap along an axis, 10 lie within the map
    places = spikes.sum() * (10 / 4) ** 2
    assert dense["dense_product"] == 2 * 16 * 64 * 9 * 32
    assert dense["dense_sums"] == lists["sums"] == 2 * 16
    # 3 x 32 bytes of a row of the window: two rows at once, then one
    assert dense["dense_block_sums"] == 2 * 16 * 2
    assert dense["dense_value"] == lists["listed_value"] == spikes.size
    assert lists["paired_row_64"] == lists["fed_place"] == pytest.approx(places)
    assert lists["fed_segment"] == 2 * 16 * 3 and lists["block_sums"] == 2 * 16
    assert dense["position"] == lists["position"] == 16
    assert sum(dense.values()) + sum(lists.values()) == pytest.approx(
        2 * 16 * (64 * 9 * 32 + 8) + 2 * (spikes.size + places + 16)
    )
    assert np.array_equal(engine.amounts(spikes, 1)[0], np.zeros((2, len(names))))


@pytest.mark.parametrize(
    ("name", "cost"), [("row_64", -1.0), ("row_64", math.nan), ("row_64", math.inf), ("rwo", 1.0)]
)
def test_costs_that_are_none_are_refused(name: str, cost: float) -> None:
    file = pack.dump({}, small_program().ops)
    with pytest.raises(
        ValueError, match=r"got the cost \w+ = .*; it takes nanoseconds, 0 or more.*--calibrate"
    ):
        native.run.Engine(file, LEVELS[0], costs={name: cost})


def test_a_fit_finds_the_costs_that_times_were_made_of() -> None:
    rng = np.random.default_rng(0)
    wanted = np.array([0.5, 3.0, 0.0, 20.0])
    counts = rng.exponential(size=(40, 2, 4)) * [100, 10, 10, 1]
    assert calibration.fit(counts, counts @ wanted) == pytest.approx(wanted, abs=1e-6)
    # what would be negative is 0, and what never occurs costs nothing
    counts[..., 2] = 0
    assert (calibration.fit(counts, counts @ [0.5, 3.0, 0.0, -0.01]) >= 0).all()
    assert calibration.fit(counts, counts @ wanted)[2] == 0


def test_a_calibration_has_every_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = (Layer(16, 64, 8), Layer(64, 16, 8, kernel=3, steps=1, most=2))
    monkeypatch.setattr(calibration, "LAYERS", layers)
    told: list[tuple[str, int, int]] = []
    found = calibration.calibrate(LEVELS[-1], rounds=2, progress=lambda *words: told.append(words))
    assert list(found.costs) == list(native.run.costs(LEVELS[-1]))
    assert all(math.isfinite(cost) and cost >= 0 for cost in found.costs.values()) and any(
        found.costs.values()
    )
    assert found.worst >= 1 and found.error >= 0 and found.isa == LEVELS[-1]
    assert told == [("timing layers", done, 2) for done in range(3)]


def test_rounds_end_in_time() -> None:
    (timed,) = time_layers([(Layer(16, 16, 4), 0.1)], LEVELS[-1], {"chosen": {}}, 10, longest=0)
    assert len(timed.seconds["chosen"]) == choice.LEAST_ROUNDS


def test_measured_costs_are_used_until_they_are_ignored(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    isa = native.engine_level()
    builtin = native.run.costs(isa)
    assert costs.in_use(isa) == builtin
    measured = {name: 2 * cost + 1 for name, cost in builtin.items()}
    path = costs.write(measured, isa)
    assert path.parent == cache and path == costs.file_of(isa) and list(cache.iterdir()) == [path]
    assert costs.in_use(isa) == measured
    # of another instruction set nothing is known
    assert costs.in_use("scalar") == native.run.costs("scalar") or isa == "scalar"
    given: list[dict[str, float]] = []
    made = native.run.Engine
    monkeypatch.setattr(
        native.run, "Engine", lambda *a, costs, **rest: given.append(costs) or made(*a, costs=costs, **rest)
    )
    small_program().run(pixels(1), runtime="native")
    small_program().stream(runtime="native")
    assert given == [measured, measured]
    monkeypatch.setenv("SPIKEDRIVE_COSTS", "builtin")
    assert costs.in_use(isa) == builtin
    monkeypatch.setenv("SPIKEDRIVE_COSTS", "guessed")
    with pytest.raises(UnknownNameError, match=r"SPIKEDRIVE_COSTS named 'guessed'.*builtin"):
        small_program().run(pixels(1), runtime="native")


def test_the_file_lies_where_caches_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPIKEDRIVE_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert costs.file_of("avx2").parent == tmp_path / "spikedrive"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert costs.file_of("avx2").parent == tmp_path / ".cache" / "spikedrive"
    assert costs.file_of("avx2") != costs.file_of("scalar")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"costs": None}, "it is another document"),
        ({"cpu": "another"}, "its cpu is 'another', here"),
        ({"spikedrive": "0.0.1"}, r"its spikedrive is '0\.0\.1'"),
        ({"costs": {"row_64": 1.0}}, r"cost '\w+' is missing or unknown"),
        ({"row_64": -1}, "cost 'row_64' is -1"),
        ({"row_64": True}, "cost 'row_64' is True"),
        ({"row_64": float("nan")}, "cost 'row_64' is nan"),
        (None, "Expecting value"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named(cache: Path, change: dict[str, object] | None, why: str) -> None:
    isa = native.engine_level()
    path = costs.write(native.run.costs(isa), isa)
    document = json.loads(path.read_text())
    if change is None:
        path.write_text("")
    elif "row_64" in change:
        document["costs"].update(change)
        path.write_text(json.dumps(document))
    else:
        path.write_text(json.dumps({**document, **change}))
    with pytest.raises(
        FormatError, match=rf"costs-.*\.json holds no costs .*{why}.*; what .*--calibrate.*delete the file"
    ):
        small_program().run(pixels(1), runtime="native")
