"""A file that is missing or damaged gives one error, with its name and the command that writes it."""

from __future__ import annotations

import numpy as np
import pytest

from spikedrive.errors import DataError
from spikedrive.reports.artifacts import (
    ARTIFACTS,
    command,
    file_size,
    need,
    read_arrays,
    read_json,
    read_lines,
)


def test_missing_files_name_the_command_for_this_run(tmp_path):
    with pytest.raises(DataError, match=r"no file .*audit\.json; .*Write it again: spikedrive audit "):
        read_json(tmp_path / "audit.json")
    with pytest.raises(DataError, match=r"no file .*log\.jsonl; .*: spikedrive train RECIPE --out "):
        read_lines(tmp_path / "log.jsonl")
    with pytest.raises(DataError, match=r"no file .*activity\.npz; .*: spikedrive report .* --data DATA"):
        read_arrays(tmp_path / "activity.npz")
    assert command(tmp_path, "audit_trained.json").endswith(f"--out {tmp_path / 'audit_trained.json'}")
    assert str(tmp_path) in command(tmp_path, "checkpoints/best.safetensors")


def test_truncated_json_names_its_line(tmp_path):
    path = tmp_path / "verify.json"
    path.write_text('{"images": 3,\n"equal": tr')
    with pytest.raises(
        DataError, match=r"verify\.json has no JSON after line 2; one JSON object .* Write it again"
    ):
        read_json(path)
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="has a list; one JSON object"):
        read_json(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="no UTF-8"):
        read_json(path)


def test_a_killed_run_may_leave_half_a_last_line_and_no_other(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert [line["step"] for line in read_lines(path)] == [1, 2]
    path.write_text('{"step": 1}\n{"ste\n{"step": 3}\n')
    with pytest.raises(DataError, match="no JSON in line 2"):
        read_lines(path)
    path.write_text("")
    with pytest.raises(DataError, match="has no line"):
        read_lines(path)


def test_truncated_archives_and_pickles_are_refused(tmp_path):
    path = tmp_path / "predictions.npz"
    np.savez(path, labels=np.arange(1000))
    assert read_arrays(path)["labels"][-1] == 999
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match=r"predictions\.npz has bytes that are no whole archive"):
        read_arrays(path)
    np.savez(path, labels=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"a \.npz archive of plain arrays"):
        read_arrays(path)


def test_absent_keys_are_named(tmp_path):
    with pytest.raises(
        DataError, match=r"verify\.json has no 'equal'; a file with images, equal is accepted"
    ):
        need(tmp_path / "verify.json", {"images": 3}, "images", "equal")


def test_every_artifact_says_what_it_holds():
    assert all(artifact.holds and "{run}" in artifact.command for artifact in ARTIFACTS.values())
    assert file_size(999_600) == "1.00 MB"
