"""Whether the engine's choice between lists and dense tiles is the quicker one: layer by layer, at many densities.

Usage: python benchmarks/engine_choice.py [--rounds N] [--quick]

The layers have shapes of meta_spikeformer_spiking_15m at 224, with binary spikes at T = 4 and integers 0..4 at T = 1.
Each runs by lists, by dense tiles and as the costs in use choose, turn by turn in one engine. `loss` is the time of the
way that is taken over that of the quicker one in the same turn, the median of the turns; `ratio` is the same for the
choice's own run, which does what that way does, so that the two differ by the machine's noise. `--quick` takes three
rounds and writes nothing. The exit code is 1 where a loss passes the bar.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import results

from spikedrive import native
from spikedrive.engine.measure import costs
from spikedrive.engine.measure.choice import DENSE, LISTS, Layer, always, time_layers
from spikedrive.engine.measure.race import pinned

BAR = 1.10
DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.6)
# channels, outputs, size of the map, taps along an axis, stride
SHAPES = (
    (32, 64, 112, 1, 1), (32, 128, 112, 3, 1), (128, 32, 112, 3, 1), (64, 128, 56, 1, 1), (64, 256, 56, 3, 1),
    (256, 64, 56, 3, 1), (64, 128, 56, 3, 2), (128, 256, 28, 1, 1), (128, 512, 28, 3, 1), (512, 128, 28, 3, 1),
    (128, 256, 28, 3, 2), (256, 256, 14, 3, 1), (256, 1024, 14, 1, 1), (1024, 256, 14, 1, 1), (360, 1440, 14, 1, 1),
)  # fmt: skip
KINDS = {"binary": {"steps": 4, "most": 1}, "integer": {"steps": 1, "most": 4}}


def main() -> int:
    """Measure, print and write; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds; writes nothing")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    if not options.quick:
        results.refuse_while_red()
    rows = measure(3 if options.quick else options.rounds)
    for row in rows:
        print(f"{row['layer']} {row['kind']}, density {row['density']}: lists {row['lists_ms']} ms, dense "
              f"{row['dense_ms']} ms, takes {row['taken']}, loss {row['loss']}, ratio {row['ratio']}")  # fmt: skip
    for name in ("loss", "ratio"):
        values = [float(row[name]) for row in rows]
        print(f"{len(rows)} layers and densities, {rows[0]['isa']}, costs {rows[0]['costs']}: {name} at most "
              f"{max(values):.3f}, {sum(value > BAR for value in values)} above {BAR}")  # fmt: skip
    over = sum(float(row["loss"]) > BAR for row in rows)
    if not options.quick:
        old = [row for row in results.read("engine_choice") if row["isa"] != rows[0]["isa"]]
        results.write("engine_choice", [*old, *rows])
    return int(over > 0)


def measure(rounds: int) -> list[dict[str, str]]:
    """One row a layer, kind and density; milliseconds."""
    isa = native.engine_level()
    here = costs.in_use(isa)
    source = "builtin" if here == native.run.costs(isa) else "measured"
    points = [
        (Layer(channels, outputs, size, taps, stride, **kind), density)
        for kind in KINDS.values()
        for channels, outputs, size, taps, stride in SHAPES
        for density in DENSITIES
    ]
    engines = {LISTS: always(LISTS), DENSE: always(DENSE), "chosen": here}
    with pinned(1):
        found = time_layers(points, isa, engines, rounds)
    rows = []
    for timed in found:
        layer = timed.layer
        lists, dense, chosen = (np.array(timed.seconds[name]) for name in engines)
        sums = {way: timed.amounts[way] @ list(here.values()) for way in (LISTS, DENSE)}
        taken = LISTS if sums[LISTS] < sums[DENSE] else DENSE
        best = np.minimum(lists, dense)
        loss, ratio = (np.median(each / best) for each in (timed.seconds[taken], chosen))
        name = f"{layer.channels} to {layer.outputs}, {layer.kernel} x {layer.kernel}, map {layer.size}"
        rows.append(
            {
                "isa": isa, "costs": source, "rounds": str(rounds),
                "layer": name + (f", stride {layer.stride}" if layer.stride > 1 else ""),
                "kind": "binary" if layer.most == 1 else "integer", "density": f"{timed.density:g}",
                "lists_ms": f"{1e3 * np.median(lists):.4g}", "dense_ms": f"{1e3 * np.median(dense):.4g}",
                "chosen_ms": f"{1e3 * np.median(chosen):.4g}", "taken": taken, "loss": f"{loss:.3f}",
                "ratio": f"{ratio:.3f}",
            }
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    sys.exit(main())
