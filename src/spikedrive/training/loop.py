"""The training loop: one readable path from a recipe to a run's folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from spikedrive.blocks import SpikingModel
from spikedrive.errors import CheckpointError, DataError, ValueRangeError
from spikedrive.training import checkpoint, prepare
from spikedrive.training.distill import prepare_teacher
from spikedrive.training.distributed import batch_statistics_of_all, gather_sums, launch
from spikedrive.training.meters import FiringRate, Window
from spikedrive.training.objectives import Objective, prepare_objective
from spikedrive.training.optimizers import WeightAverage, learning_rate, make_optimizer
from spikedrive.training.progress import ProgressBar, stop_signals
from spikedrive.training.recipe import Recipe
from spikedrive.training.run_folder import Marks, Run, RunFolder, describe_environment

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LOG_EVERY = 10
"""Steps between two lines of the log, and between two waits for the device."""
LOOK_EVERY = 50
"""Steps between two looks at the firing rate."""

Callback = Callable[[dict[str, Any]], None]


def train(
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    progress: bool = True,
    callback: Callback | None = None,
) -> Run:
    """Train what the recipe says into the folder `out`, or go on where a run in it was killed.

    The checkpoint is chosen on a validation split of the training images; test images are never opened. A
    resumed run ends with the same weights, to the bit, as one that was never stopped. With `resume=False` a
    run in the folder is deleted first. `callback` gets each line of the log, on the first process.

    Ctrl-C and SIGTERM write a checkpoint and raise KeyboardInterrupt; a second Ctrl-C does not wait.

    *Raises*: ConfigError, DataError, CheckpointError for what cannot be trained; ValueRangeError where the loss
    becomes NaN or infinite; StorageError for a full disk. The last good checkpoint stays in every case.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=_cuda_devices()):
        try:
            if recipe.threads:
                torch.set_num_threads(recipe.threads)
            return _train(recipe, Path(out), resume, progress, callback)
        finally:
            torch.set_num_threads(threads)


def _train(recipe: Recipe, out: Path, resume: bool, progress: bool, callback: Callback | None) -> Run:
    fabric = launch(recipe)
    folder = RunFolder(out, writes=fabric.is_global_zero)
    begun = resume and folder.check_recipe(recipe)
    if begun and (metrics := folder.read_metrics()) is not None:
        return Run(out, recipe, metrics)
    data = prepare.prepare_data(recipe)
    plain, notes = prepare.model_for(recipe, data)
    teacher = prepare_teacher(recipe, data, fabric.device) if isinstance(data, prepare.Images) else None
    objective = prepare_objective(recipe, plain, data, teacher)
    batches = prepare.batches_of(
        recipe, data, device=fabric.device, rank=fabric.global_rank, world=fabric.world_size
    )
    fabric.barrier()
    if not begun:
        folder.clear()
        fabric.barrier()
    session = _Session(recipe, fabric, folder, data, plain, objective, batches, callback)
    marks = session.restore() if begun else Marks()
    environment = describe_environment(recipe, device=fabric.device.type, processes=fabric.world_size)
    folder.begin(recipe, environment, marks)
    bar = ProgressBar(
        steps=recipe.epochs * batches.steps,
        done=session.place.step,
        epochs=recipe.epochs,
        shown=progress and fabric.is_global_zero,
    )
    try:
        with bar:
            for note in notes if session.place.step == 0 else ():
                bar.note(note)
                folder.record({"kind": "note", "text": note})
            return session.run(bar)
    finally:
        folder.close()


class _Session:
    """Everything that one process holds while it trains."""

    def __init__(
        self, recipe: Recipe, fabric: Fabric, folder: RunFolder, data: prepare.Data, product: SpikingModel,
        objective: Objective, batches: prepare.AnyBatches, callback: Callback | None,
    ) -> None:  # fmt: skip
        self.recipe, self.fabric, self.folder, self.data = recipe, fabric, folder, data
        self.product, self.objective, self.batches, self.callback = product, objective, batches, callback
        self.parameters = sum(p.numel() for p in product.parameters())
        # `plain` holds the weights, `model` is called; likewise `inner` and `optimizer`. `product` is what the run is
        # for: `plain` itself, or a part of it
        self.plain = objective.module
        self.model = fabric.setup_module(self.plain)
        self.inner = make_optimizer(self.plain, recipe)
        self.shares = [group["lr"] / recipe.lr for group in self.inner.param_groups]
        self.optimizer: Any = fabric.setup_optimizers(self.inner)
        self.average = WeightAverage(self.plain, recipe.ema) if recipe.ema else None
        self.firing = FiringRate()
        self.place = checkpoint.Place()
        self.warmup = round(recipe.warmup_epochs * batches.steps)
        self.log_every = max(1, min(LOG_EVERY, batches.steps // 4))

    def run(self, bar: ProgressBar) -> Run:
        """All epochs that are left."""
        place, recipe = self.place, self.recipe
        with stop_signals() as stop:
            while place.epoch < recipe.epochs:
                self._train_epoch(bar, stop)
                self._finish_epoch(bar)
        metrics = self._metrics()
        self._emit({"kind": "final", "epoch": place.epoch, "step": place.step, **metrics}, bar)
        self.folder.flush()
        self.folder.write_json("metrics.json", metrics)
        self.fabric.barrier()
        if stop():
            raise KeyboardInterrupt("Stopped at the end of the last epoch; the run is finished.")
        return Run(self.folder.path, recipe, metrics)

    def _train_epoch(self, bar: ProgressBar, stop: Callable[[], bool]) -> None:
        place, window = self.place, Window()
        saved = started = time.perf_counter()
        self.model.train()
        for parts in self.batches.epoch(place.epoch, place.step_in_epoch):
            look = place.step % LOOK_EVERY == 0 or place.step_in_epoch == 0
            with self.firing.watching(self.plain) if look else nullcontext():
                rate = self._step(parts, window)
            place.step += 1
            place.step_in_epoch += 1
            bar.advance()
            last = place.step_in_epoch == self.batches.steps
            # several processes agree on stopping when they log, one stops at once
            stopping = self.fabric.world_size == 1 and stop()
            if not (last or stopping or place.step_in_epoch % self.log_every == 0):
                continue
            now = time.perf_counter()
            loss, accuracy, asked, late = self._close_window(
                window, now - started, asked=stop(), late=self._late(now - saved)
            )
            started = now
            line = {"kind": "step", "loss": loss, **self._judged({"accuracy": accuracy}), "lr": rate}
            self._emit(self._line(line, window.images * self.fabric.world_size / window.seconds), bar)
            window = Window()
            if not last and (asked or late):
                self.save()
                saved = started = time.perf_counter()
            if asked:
                if last:
                    self._finish_epoch(bar)
                raise KeyboardInterrupt(
                    f"Stopped in epoch {place.epoch + 1} after step {place.step_in_epoch}; the same command goes on."
                )

    def _step(self, parts: list[prepare.Part], window: Window) -> float:
        """One optimizer step; returns its learning rate."""
        recipe, place = self.recipe, self.place
        rate = learning_rate(
            place.step,
            steps=recipe.epochs * self.batches.steps,
            warmup=self.warmup,
            peak=recipe.lr,
            end=recipe.lr_end,
        )
        for group, share in zip(self.inner.param_groups, self.shares, strict=True):
            group["lr"] = rate * share
        for k, part in enumerate(parts):
            # the model's own draws (drop-path) depend on the place alone, so a resumed run repeats them
            self._seed(part.seed)
            with (
                self.fabric.no_backward_sync(self.model, enabled=k + 1 < len(parts)),
                batch_statistics_of_all(self.fabric),
            ):
                loss, right = self.objective.loss(self.model, part)
                self.fabric.backward(loss / len(parts) if len(parts) > 1 else loss)
            window.add(loss.detach(), right, part.samples)
        if recipe.clip:
            nn.utils.clip_grad_norm_(self.plain.parameters(), recipe.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update(place.step + 1)
        return rate

    def _seed(self, seed: int) -> None:
        # torch.manual_seed would also queue a call, with its stack, for every device that was never used
        torch.default_generator.manual_seed(seed)
        if self.fabric.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _close_window(
        self, window: Window, seconds: float, *, asked: bool, late: bool
    ) -> tuple[float, float, bool, bool]:
        """Wait for the device; loss and accuracy of the window, and what the processes agree to do."""
        place, window.seconds = self.place, seconds
        losses = torch.stack(window.losses).double().cpu()
        spikes, neurons = self.firing.totals()
        right = float(torch.stack(window.right).sum())
        broken = float(not losses.isfinite().all())
        mine = [float(losses.mean()), right, window.images, asked, late, spikes, neurons, broken]
        sums = gather_sums(self.fabric, mine)
        if sums[7]:
            self._report_not_finite(losses)
        loss = sums[0] / self.fabric.world_size
        place.firing_rate = sums[5] / sums[6] if sums[6] else place.firing_rate
        place.seconds += seconds
        epoch = [loss * sums[2], sums[1], sums[2], seconds]
        place.sums = [a + b for a, b in zip(place.sums, epoch, strict=True)]
        return loss, sums[1] / sums[2], bool(sums[3]), bool(sums[4])

    def _late(self, seconds: float) -> bool:
        return 0 < 60 * self.recipe.save_minutes < seconds

    def _finish_epoch(self, bar: ProgressBar) -> None:
        place, started = self.place, time.perf_counter()
        place.epoch += 1
        place.step_in_epoch = 0
        with self.average.swapped() if self.average else nullcontext():
            weights = checkpoint.model_state(self.plain)
            val_loss, val_accuracy = self._validate()
        better = (val_accuracy, -val_loss) > (place.best_accuracy, -place.best_loss)
        figures = self.objective.figures(val_loss)
        if better:
            place.best_figures = figures
            place.best_accuracy, place.best_loss, place.best_epoch = val_accuracy, val_loss, place.epoch
        if self.fabric.is_global_zero:
            metadata = self._metadata(val_loss, val_accuracy, figures)
            paths = [self.folder.last, self.folder.best] if better else [self.folder.last]
            checkpoint.save_weights(self.product, self.objective.weights(weights), paths, metadata)
        loss, right, count, seconds = place.sums
        place.sums = checkpoint.Place().sums
        place.seconds += time.perf_counter() - started
        line = {
            "kind": "epoch",
            "loss": loss / count,
            **self._judged({"accuracy": right / count}),
            "val_loss": val_loss,
            **self._judged({"val_accuracy": val_accuracy}),
            **figures,
            "lr": self.inner.param_groups[0]["lr"],
        }
        self._emit(self._line(line, count / seconds), bar)
        self.save(average=weights)

    def _validate(self) -> tuple[float, float]:
        """Loss and accuracy of the weights in the model, over the validation images of all processes."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        batch_size = max(1, min(512, self.recipe.batch_size // world))
        loss, accuracy, count = self.objective.validate(
            self.model, self.data, batch_size=batch_size, rank=rank, world=world
        )
        loss, right, count = gather_sums(self.fabric, [loss * count, accuracy * count, count])
        return loss / count, right / count

    def save(self, average: dict[str, Tensor] | None = None) -> None:
        """Write the checkpoint that a killed run goes on from; `average` where it was gathered already."""
        if self.average is not None and average is None:
            with self.average.swapped():
                average = checkpoint.model_state(self.plain)
        state = {
            "model": checkpoint.model_state(self.plain),
            "optimizer": checkpoint.optimizer_state(self.plain, self.inner),
            "average": average if self.average is not None else None,
            "place": asdict(self.place),
            "images": self.data.facts,
            "marks": asdict(self.folder.flush()),
            "threads": torch.get_num_threads(),
        }
        if self.fabric.is_global_zero:
            checkpoint.save_state(self.folder.state, state)
        self.fabric.barrier()

    def restore(self) -> Marks:
        """Go on from the folder's checkpoint, if one was written; how far its logs count.

        *Raises*: CheckpointError for a damaged file; DataError where the images are others now.
        """
        if not self.folder.state.is_file():
            return Marks()
        state = checkpoint.load_state(self.folder.state)
        if state["images"] != self.data.facts:
            raise DataError(
                f"{self.recipe.data} gives {self.data.facts}, and the run in {self.folder.path} began with "
                f"{state['images']}; a run goes on with what it began with. Restore it, or take another folder."
            )
        try:
            if self.average is not None:
                checkpoint.load_model_state(self.plain, state["average"])
                self.average.restart()
            checkpoint.load_model_state(self.plain, state["model"])
            checkpoint.load_optimizer_state(self.plain, self.inner, state["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{self.folder.state} does not fit {self.recipe.model} ({str(error).splitlines()[0]}); it takes the "
                "state of this very model. Start over with resume=False, or from the weights beside it."
            ) from error
        self.place = checkpoint.Place(**state["place"])
        return Marks(**state["marks"])

    def _metadata(self, val_loss: float, val_accuracy: float, figures: dict[str, float]) -> dict[str, Any]:
        return {
            **self.data.metadata,
            "data": self.recipe.data,
            "epoch": self.place.epoch,
            "val_loss": val_loss,
            **self._judged({"val_accuracy": val_accuracy}),
            **figures,
            **({} if self.objective.has_accuracy else {"task": self.recipe.task["name"]}),
        }

    def _metrics(self) -> dict[str, Any]:
        place = self.place
        return {
            **self._judged({"val_accuracy": place.best_accuracy}),
            "val_loss": place.best_loss,
            **place.best_figures,
            "best_epoch": place.best_epoch,
            "epochs": place.epoch,
            "steps": place.step,
            "firing_rate": place.firing_rate,
            "parameters": self.parameters,
            **self.data.counts,
            "seconds": round(place.seconds, 3),
            "samples_per_s": round(place.step * self.recipe.batch_size / max(place.seconds, 1e-9), 1),
        }

    def _judged(self, figures: dict[str, float]) -> dict[str, float]:
        """These accuracies; none for a task that has no right answers."""
        return figures if self.objective.has_accuracy else {}

    def _line(self, line: dict[str, Any], samples_per_s: float) -> dict[str, Any]:
        place = self.place
        epoch = place.epoch + (line["kind"] == "step")
        where = {"epoch": epoch, "step": place.step}
        rates = {"firing_rate": place.firing_rate, "samples_per_s": round(samples_per_s, 1)}
        return {"kind": line.pop("kind"), **where, **line, **rates, "seconds": round(place.seconds, 3)}

    def _emit(self, line: dict[str, Any], bar: ProgressBar) -> None:
        if self.fabric.is_global_zero:
            self.folder.record(line)
            bar.show(line)
            if self.callback is not None:
                self.callback(line)

    def _report_not_finite(self, losses: Tensor) -> None:
        place, recipe = self.place, self.recipe
        wrong = torch.nonzero(~losses.isfinite()).flatten()
        back = (len(losses) - int(wrong[0]) - 1) // recipe.accumulate if len(wrong) else 0
        step = place.step_in_epoch - 1 - back
        where = f"in epoch {place.epoch + 1}, step {step + 1} of {self.batches.steps}"
        # a batch is a function of its place, so it can be looked at again
        parts = next(self.batches.epoch(place.epoch, step))
        if not all(bool(part.x.isfinite().all()) for part in parts):
            raise DataError(
                f"The images {where} hold NaN or infinity; finite pixels are accepted. Look at {recipe.data} and at "
                "augment; the last good checkpoint stays."
            )
        raise ValueRangeError(
            f"The loss became {float(losses[wrong[0]]) if len(wrong) else 'NaN'} {where}; only finite losses train. "
            f"Lower lr={recipe.lr:g} or set clip=1.0, in another folder; the last good checkpoint in "
            f"{self.folder.path} stays."
        )


def _cuda_devices() -> list[int]:
    return list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
