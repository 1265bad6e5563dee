"""Two real ImageNet networks as spiking ones: agreement of top-1 with the network itself against T, on real crops.

Usage: python benchmarks/conversion_data.py && python benchmarks/conversion.py [--network NAME] [--stream N] [--quick]
       rows are written as they come, and those that are there are left alone; --fresh measures them again

Crops on which the network's own top-1 is at least 0.5 sure, 40 a photograph at most; others are for calibration.
Forms: `integer` (T binary steps a layer, in one step of integers), and with `--stream N` on the first N crops (evenly
over the photographs) `signed` and `binary`, in which all layers fire at every step. `quantised` is the baseline: the
same network with 5-bit activations, one scale a tensor, weights in fp32. It quantises what every layer but the first
reads (`all`), or only what is never negative and so comes from an activation (`activations`); scales by least squared
error and a shift of each channel's mean, on the same calibration crops as ours. Writes results/conversion.csv and
docs/assets/conversion.svg.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import sqrt
from typing import Any

import conversion_data as data
import conversion_figure
import results
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spikedrive.training.conversion import choose_ceiling, convert, measure
from spikedrive.training.conversion.convert import Spikes

# what the bars are about comes first
WORK = ("all", 32, 128, "activations", 16, 8, 64)
STREAMING: tuple[Spikes, ...] = ("signed", "binary")
STREAMED = (8, 16, 32)
SURE, CROPS, MOST, TRIED = 0.5, 520, 40, 48
BITS = 5
LAYERS = (nn.functional.conv2d, torch.conv2d, nn.functional.linear)


class Quantised(TorchFunctionMode):
    """Post-training quantisation of what each layer reads, found on the first call and used on every other."""

    def __init__(self, *, signed: bool) -> None:
        super().__init__()
        self.signed, self.number, self.found = signed, 0, []
        self.exact: list[Tensor] = []
        self.phase = "record"

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in LAYERS:
            return func(*args, **(kwargs or {}))
        number, self.number = self.number, self.number + 1
        if self.phase == "record":
            y = func(*args, **(kwargs or {}))
            x, channels = args[0], [0, *range(2, y.dim())]
            self.found.append([self._range(x) if number else None, y.mean(channels)])
            return y
        grid, shift = self.found[number]
        x = args[0] if grid is None else (args[0] / grid[0]).round().clamp(*grid[1:]) * grid[0]
        y = func(x, *args[1:], **(kwargs or {}))
        if self.phase == "shift":
            shift = self.found[number][1] = shift - y.mean([0, *range(2, y.dim())])
        return y + shift.view(-1, *[1] * (y.dim() - 2))

    def calibrate(self, network: nn.Module, images: Tensor) -> None:
        """Scales from the network as it is, then each channel's shift behind the quantised layers in front."""
        for self.phase in ("record", "shift", "run"):
            if self.phase != "run":
                self(network, images)

    def __call__(self, network: nn.Module, images: Tensor) -> Tensor:
        self.number = 0
        with self:
            return network(images)

    def _range(self, x: Tensor) -> tuple[float, int, int] | None:
        if x.min() >= 0:
            most = 2**BITS - 1
            ceiling = choose_ceiling(x, method="qcfs", levels=most, percentile=100, top=float("inf"))
            return ceiling / most, 0, most
        if not self.signed:
            return None
        most = 2 ** (BITS - 1)
        ceiling = choose_ceiling(x, method="qcfs", levels=most, percentile=100, top=float("inf"), signed=True)
        return ceiling / most, -most, most - 1


@torch.no_grad()
def sure_crops(name: str, network: nn.Module, quick: bool) -> tuple[Tensor, int]:
    """Crops of which the network is sure, one of each photograph in turn, and how many photographs they are from."""
    found: list[list[Tensor]] = []
    for number, photograph in enumerate(data.MEASURED[:4] if quick else data.MEASURED):
        source, own = data.crops(photograph, name, seed=number), []
        for _ in range(1 if quick else TRIED // 12):
            part = _stack(next(source) for _ in range(12))
            own += list(part[network(part).softmax(-1).amax(-1) >= SURE])
            # of some photographs no crop is anything that ImageNet has a name for
            if len(own) >= MOST or not own:
                break
        found.append(own[:MOST])
        print(f"{photograph}: {len(found[-1])} crops", flush=True)
    turns = [own[i] for i in range(MOST) for own in found if i < len(own)]
    return _stack(turns[:CROPS]), sum(bool(own) for own in found)


def _stack(crops: Iterable[Tensor]) -> Tensor:
    # depthwise convolutions are quicker with channels last
    return torch.stack(list(crops)).to(memory_format=torch.channels_last)


@torch.no_grad()
def rows(name: str, stream: int, quick: bool, done: set[tuple[str, str]]) -> Iterator[dict[str, object]]:
    """One row a form and T, but for those that are done."""
    work = [w for w in WORK if not {(f"quantised {w}", f"{BITS} bits"), ("integer", str(w))} & done]
    forms: list[Spikes] = [form for form in STREAMING if stream and (form, "32") not in done]
    if not work and not forms:
        return
    network: nn.Module = data.network(name)
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    images, photographs = sure_crops(name, network, quick)
    calibration = _stack(
        crop for number, photograph in enumerate(data.CALIBRATION[:4] if quick else data.CALIBRATION)
        for crop, _ in zip(data.crops(photograph, name, seed=1000 + number), range(2), strict=False)
    )  # fmt: skip
    truth = _in_parts(network, images).argmax(-1)
    print(
        f"{name}: {len(images)} crops of {photographs} photographs, {len(calibration)} to calibrate",
        flush=True,
    )

    def row(form: str, steps: int | str, answers: Tensor, **more: object) -> dict[str, object]:
        same = int((answers.argmax(-1) == truth[: len(answers)]).sum())
        low, high = _interval(same, len(answers))
        figures = {"agreement": f"{same / len(answers):.4f}", "low": f"{low:.4f}", "high": f"{high:.4f}"}
        return {"network": name, "form": form, "T": steps, "crops": len(answers), "photographs": photographs, **figures,
                "predicted": "", **more}  # fmt: skip

    for step in work:
        if isinstance(step, str):
            quantised = Quantised(signed=step == "all")
            quantised.calibrate(network, calibration)
            answers = _in_parts(lambda x, q=quantised: q(network, x), images)
            yield row(f"quantised {step}", f"{BITS} bits", answers)
        else:
            found = convert(network, calibration, steps=step)
            predicted = f"{found.predicted[0].agreement:.4f}"
            yield row("integer", step, _in_parts(found.model, images), predicted=predicted)
    few = images[:stream]
    for form in forms:
        found = convert(network, calibration, steps=32, spikes=form)
        for cost in measure(network, found.model, few, steps=STREAMED, batch=8):
            low, high = _interval(round(cost.agreement * len(few)), len(few))
            yield {"network": name, "form": form, "T": cost.steps, "crops": len(few),
                   "photographs": min(photographs, stream), "agreement": f"{cost.agreement:.4f}",
                   "low": f"{low:.4f}", "high": f"{high:.4f}",
                   "predicted": ""}  # fmt: skip


def _in_parts(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return torch.cat([model(part) for part in images.split(16)])


def _interval(same: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    p, z = same / count, 1.96
    middle, half = p + z * z / (2 * count), z * sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def _place(row: Mapping[str, object]) -> tuple[object, ...]:
    """Networks, then forms in the order of the table, then T."""
    forms = ("quantised all", "quantised activations", "integer", "signed", "binary")
    steps = str(row["T"])
    return data.NETWORKS.index(str(row["network"])), forms.index(str(row["form"])), int(steps.split()[0])


def main() -> int:
    """Measure, print, write; the exit code is 1 where a bar of EfficientNet-lite0 is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=data.NETWORKS, action="append")
    parser.add_argument(
        "--stream", type=int, default=0, help="crops of the forms in which all layers fire at once"
    )
    parser.add_argument("--fresh", action="store_true", help="measure again what is in the table")
    parser.add_argument("--quick", action="store_true", help="four photographs; writes nothing")
    options = parser.parse_args()
    data.fetch()
    before = [] if options.fresh or options.quick else results.read("conversion")
    missed = []
    for name in options.network or data.NETWORKS:
        found: list[Mapping[str, object]] = [row for row in before if row["network"] == name]
        done = {(str(row["form"]), str(row["T"])) for row in found}
        for one in rows(name, options.stream, options.quick, done):
            print(", ".join(f"{key} {value}" for key, value in one.items() if value != ""), flush=True)
            found.append({**results.provenance(), **one})
            if not options.quick:
                kept = [row for row in results.read("conversion") if row["network"] != name]
                results.write("conversion", sorted([*kept, *found], key=_place))
        shares = {(str(row["form"]), str(row["T"])): float(str(row["agreement"])) for row in found}
        if name == "efficientnet_lite0":
            baseline = max(share for (form, _), share in shares.items() if form.startswith("quantised"))
            missed += ["T = 32"] * (shares["integer", "32"] < baseline - 0.02)
            missed += ["T = 128"] * (shares["integer", "128"] < 0.95)
    if not options.quick:
        conversion_figure.draw()
    print(f"bars missed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
