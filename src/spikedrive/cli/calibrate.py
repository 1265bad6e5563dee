"""`spikedrive bench --calibrate`: what the engine's kernels cost on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spikedrive import native
from spikedrive.cli.output import emit, table
from spikedrive.errors import ConfigError

if TYPE_CHECKING:
    from spikedrive.engine.measure import Progress


def calibrate(as_json: bool, progress: Progress) -> None:
    """Measure, keep and print them. Raises: ConfigError where the engine is missing; StorageError."""
    from spikedrive.engine.measure import calibration, costs

    if native.run is None:
        raise ConfigError(
            f"bench got --calibrate; it takes a compiled engine, which is missing: {native.run_missing}."
        )
    isa = native.engine_level()
    found = calibration.calibrate(isa, progress=progress)
    path, builtin = costs.write(found.costs, isa), native.run.costs(isa)
    answer = {
        "cpu": costs.processor(), "isa": isa, "file": str(path), "error": found.error, "worst": found.worst,
        "costs": found.costs, "builtin": builtin,
    }  # fmt: skip
    rows = [[name, cost, builtin[name]] for name, cost in found.costs.items()]
    facts = [
        f"instruction set {isa}; {costs.processor()}; one thread",
        f"foretold times are {100 * found.error:.0f} % off (median); what is chosen by them takes at most "
        f"{found.worst:.2f} times as long as the quicker of lists and dense tiles",
        f"kept in {path}; SPIKEDRIVE_COSTS=builtin ignores it",
    ]
    emit(answer, "\n".join([table(["cost", "here, ns", "built in, ns"], rows), "", *facts]), as_json)
