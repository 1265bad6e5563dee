"""Files are whole or untouched; unknown names list the nearest."""

from __future__ import annotations

import errno
import os

import pytest

from spikedrive.errors import ConfigError, SpikedriveError, StorageError, UnknownNameError, nearest
from spikedrive.files import atomic_write
from spikedrive.registry import Registry


def test_a_failed_write_leaves_the_last_good_file(tmp_path) -> None:
    path = tmp_path / "a" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("good")

    def killed_halfway(temporary) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:
        killed_halfway(temporary)
    assert path.read_text() == "good" and os.listdir(path.parent) == ["file.txt"]


def test_a_full_disk_is_one_clear_error(tmp_path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("good")
    with (
        pytest.raises(
            StorageError, match=r"Could not write .*file.txt \(No space left.*untouched. Free space"
        ),
        atomic_write(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "good" and os.listdir(tmp_path) == ["file.txt"]


def test_a_written_file_has_ordinary_permissions(tmp_path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    with atomic_write(tmp_path / "ours") as temporary:
        temporary.write_text("")
    assert (tmp_path / "ours").stat().st_mode == plain.stat().st_mode


def test_registry() -> None:
    registry: Registry[int] = Registry("thing")
    registry.add("one", 1)
    registry.add("two", 2)
    assert registry["one"] == 1 and registry.names("t*") == ["two"] and list(registry) == ["one", "two"]
    assert "one" in registry and len(registry) == 2
    with pytest.raises(UnknownNameError, match=r"no thing named 'onn'; 2 are known\. The nearest: one, two"):
        registry["onn"]
    with pytest.raises(ConfigError, match="'one' is registered already"):
        registry.add("one", 3)
    with pytest.raises(UnknownNameError, match="none is registered"):
        Registry("empty")["x"]


def test_nearest_ignores_case() -> None:
    assert nearest("plif", ["LIF", "PLIF", "ILIF"])[0] == "PLIF"


def test_every_error_is_ours_and_a_builtin() -> None:
    import spikedrive.errors as errors

    kinds = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, SpikedriveError)]
    assert len(kinds) > 10
    assert all(len(e.__mro__) > 4 for e in kinds if e is not SpikedriveError)
