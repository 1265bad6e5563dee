"""Random numbers as an operation: reproducible, the same in chunks, and exportable."""

from __future__ import annotations

import pytest
import torch
from torch.library import opcheck

from spikedrive.errors import ConfigError
from spikedrive.ops.noise import first_state, noise


def state(seed: int, step: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(seed), torch.tensor(step)


@pytest.mark.parametrize("deviation", [0.0, 0.5])
def test_torch_accepts_the_registration(deviation) -> None:
    result = opcheck(torch.ops.spikedrive.noise.default, (torch.zeros(2, 3), *state(4), 3, deviation))
    assert set(result.values()) == {"SUCCESS"}


def test_a_step_depends_on_the_seed_and_its_number_alone() -> None:
    x = torch.zeros(2, 5)
    whole, after = noise(x, *state(9), 6)
    assert after == 6
    torch.testing.assert_close(noise(x, *state(9, 4), 2)[0], whole[4:], rtol=0, atol=0)
    assert not torch.equal(noise(x, *state(10), 6)[0], whole)
    # no two steps of neighbouring seeds share their numbers
    rows = torch.cat([noise(x, *state(seed), 20)[0].flatten(1) for seed in range(20)])
    assert rows.unique(dim=0).shape == rows.shape


def test_the_largest_seed_is_a_seed() -> None:
    assert noise(torch.zeros(1, 2), *state(2**62), 2)[0].isfinite().all()
    seed, step = first_state(None)
    assert 0 <= int(seed) < 2**62 and step == 0


def test_lower_precision_is_drawn_in_fp32() -> None:
    drawn, _ = noise(torch.zeros(1, 4000, dtype=torch.bfloat16), *state(1), 1)
    assert drawn.dtype == torch.float32 and drawn.unique().numel() > 3900
    assert noise(torch.zeros(1, 4, dtype=torch.float64), *state(1), 1)[0].dtype == torch.float64


def test_vmap_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"noise got a tensor mapped by torch.vmap; .* Put the mapped axis into B"
    ):
        torch.vmap(lambda x: noise(x, *state(1), 2)[0])(torch.zeros(3, 2))
