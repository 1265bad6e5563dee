"""Two gloo processes give what one process gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from spikedrive.errors import ConfigError
from spikedrive.training import Recipe, checkpoint, train

WORKER = Path(__file__).with_name("train_worker.py")


def test_two_processes_interrupted_and_resumed_give_the_weights_of_one(
    tiny: Callable[..., Recipe], tmp_path: Path
) -> None:
    # fp64 where the strategy has it, so that only a difference in what is computed could show; a bias in front of
    # a BatchNorm has no gradient but noise, which a small eps would blow up in fp32
    recipe = tiny(
        precision="64-true", shards=4, mix={"Mixup": {}}, clip=1.0, optimizer="lamb", optimizer_args={"eps": 1e-3},
        label_smoothing=0.1, lr=1e-3,
    )  # fmt: skip
    train(recipe, tmp_path / "one_ddp", progress=False)
    train(recipe.replace(precision="32-true"), tmp_path / "one_fsdp", progress=False)
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe.to_dict()))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(WORKER), str(file), str(tmp_path), "ddp", "fsdp"],
        timeout=300, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for strategy, tolerance in (("ddp", 1e-9), ("fsdp", 1e-5)):
        one, two = tmp_path / f"one_{strategy}", tmp_path / strategy
        for name in ("best", "last"):
            weights = [load_file(run / "checkpoints" / f"{name}.safetensors") for run in (one, two)]
            assert_close(weights[0], weights[1], tolerance)
        states = [checkpoint.load_state(run / "checkpoints" / "state.pt") for run in (one, two)]
        assert_close(states[0]["model"], states[1]["model"], tolerance)
        places = [state["place"] for state in states]
        assert places[0]["best_accuracy"] == places[1]["best_accuracy"]
        assert places[0]["firing_rate"] == pytest.approx(places[1]["firing_rate"])


def assert_close(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor], tolerance: float) -> None:
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(tensor.double(), two[name].double(), rtol=0, atol=tolerance), name


def test_a_strategy_without_torchrun_says_how_to_start(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"strategy='ddp' got one process; it takes several.*torchrun"):
        train(tiny(strategy="ddp"), tmp_path / "run", progress=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none_is_named(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"device='cuda' got a machine .* without CUDA; here it takes 'cpu' or 'auto'"
    ):
        train(tiny(device="cuda"), tmp_path / "run", progress=False)
