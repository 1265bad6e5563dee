"""State that a forward keeps on its module is refused: the second call may multiply what the first one left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import spikedrive as sd
from spikedrive.errors import AuditError
from spikedrive.ops.domain import Binary


class Keeps(nn.Module):
    """Multiplies by what the last call left, of which the first call shows nothing."""

    def __init__(self, kept: object) -> None:
        super().__init__()
        self.kept, self.fc = kept, nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        last = self.kept[-1] if isinstance(self.kept, list) and self.kept else self.kept
        if isinstance(last, Tensor):
            y = y * last
        if isinstance(self.kept, list):
            self.kept.append(y)
        else:
            self.kept = y
        return y


@pytest.mark.parametrize("kept", [None, [], torch.ones(1, 6)], ids=["none", "list", "tensor"])
def test_what_a_forward_keeps_on_its_module_is_refused(kept: object) -> None:
    with pytest.raises(AuditError, match=r"keeps self\.kept.* from call to call.*all steps in one forward"):
        sd.audit(Keeps(kept), torch.zeros(1, 6), inputs=(Binary(),))


class Beside(Keeps):
    """The same beside a recurrent layer, which lists its weights anew at every call."""

    def __init__(self) -> None:
        super().__init__(None)
        self.gru = nn.GRU(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.gru(x)[0])


def test_weights_that_a_recurrent_layer_lists_anew_hide_no_state() -> None:
    with pytest.raises(AuditError, match=r"keeps self\.kept from call to call"):
        sd.audit(Beside(), torch.zeros(2, 1, 6), batch_axis=1)
