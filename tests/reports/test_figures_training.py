"""Learning curves say what the log says."""

from __future__ import annotations

import pytest
from synthetic_run import write_log

from spikedrive.errors import DataError
from spikedrive.reports.figures_training import learning_curves


def test_curves_hold_the_log_in_epochs(tmp_path):
    write_log(tmp_path / "log.jsonl", epochs=3, steps=20)
    loss, accuracy, firing, rate = learning_curves(tmp_path / "log.jsonl")
    steps, training, validation = loss.plot.data
    assert list(training.x) == [1, 2, 3] and list(training.y) == pytest.approx([2, 1, 2 / 3])
    assert list(validation.y) == pytest.approx([2.2, 1.1, 2.2 / 3])
    assert list(steps.x) == [0.5, 1.5, 2.5]
    # the second epoch was best, not the last
    assert "80.00 %, came after epoch 2" in accuracy.says
    assert list(accuracy.plot.data[-1].x) == [2]
    assert "0.300 spikes per neuron per step" in firing.says
    # the rate was not looked at in the first window
    assert len(firing.plot.data[0].x) == 2
    assert list(rate.plot.data[0].y) == pytest.approx([1e-3, 5e-4, 1e-3 / 3])
    assert {figure.source for figure in (loss, accuracy, firing, rate)} == {"log.jsonl"}


def test_a_run_without_a_finished_epoch_is_refused(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"kind": "step", "epoch": 1, "step": 10, "loss": 2.0}\n')
    with pytest.raises(DataError, match=r"log\.jsonl has no finished epoch.*spikedrive train"):
        learning_curves(log)


def test_long_logs_are_thinned(tmp_path):
    write_log(tmp_path / "log.jsonl", epochs=2, steps=20_000)
    assert len(learning_curves(tmp_path / "log.jsonl")[0].plot.data[0].x) < 3000
