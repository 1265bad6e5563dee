"""The recipe for optical flow from events."""

from __future__ import annotations

from spikedrive.training import Recipe


def event_flow(model: str, data: str = "moving_textures") -> Recipe:
    """Any model of flow on a set of `data.events.simulated.load_flow`, with settings that are a start and no published
    figure.

    *Command*: `spikedrive train event_flow_nano --data moving_textures`; a twin with `model_args.cell=lstm`.
    *Measured*: benchmarks/results/event_flow.csv.
    *Raises*: nothing here; `train` says what is wrong with the model or the data.
    """
    return Recipe(
        model=model,
        data=data,
        task={"name": "flow"},
        epochs=20,
        batch_size=16,
        lr=1e-2,
        warmup_epochs=1.0,
        weight_decay=0.01,
        clip=1.0,
    )
