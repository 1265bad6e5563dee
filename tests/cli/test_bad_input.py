"""Bad input gives one line that says what came, what is accepted and what to do, and exit code 2."""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from cli.conftest import Answer, Command
from spikedrive.engine import load

NANO = "meta_spikeformer_nano"


def expect(answer: Answer, message: str) -> None:
    assert answer.code == 2, answer
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1, answer.err
    assert re.match(f"error: {message}", answer.err), answer.err


def test_an_unknown_model(command: Command) -> None:
    expect(
        command("train", "meta_spikeformer_nan", "--data", "x"), r"There is no recipe or model named .*nano"
    )
    expect(command("audit", "meta_spikeformer_nan"), r"There is no model, run or checkpoint named .*nano")


def test_a_model_without_images(command: Command) -> None:
    expect(command("train", NANO), r"train got the model meta_spikeformer_nano and no images; .* Add --data")


def test_an_unknown_key_and_a_value_of_the_wrong_type(command: Command, pictures: Path) -> None:
    expect(command("train", NANO, "epoch=3", "--data", pictures), r"A recipe has no key 'epoch'; .* epochs")
    expect(
        command("train", NANO, "epochs=many", "--data", pictures),
        r"The recipe key 'epochs' got 'many'; it takes",
    )
    expect(
        command("train", NANO, "epochs", "--data", pictures), r"Got the override 'epochs'; it takes key=value"
    )
    expect(
        command("train", NANO, "batch_size=8", "model_args.width=[8]", "--data", pictures),
        r".*got the argument 'width'.* The nearest: widths",
    )


def test_an_empty_folder_and_one_that_is_not_there(command: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "run"
    expect(command("train", NANO, "--data", empty, "--out", out), rf"{empty}.*")
    expect(
        command("train", NANO, "--data", tmp_path / "none", "--out", out),
        r".*none does not exist; accepted are",
    )
    assert not (out / "recipe.json").exists()


def test_a_corrupt_image(
    command: Command, trained: Path, program: Path, pictures: Path, tmp_path: Path
) -> None:
    whole = next((pictures / "test" / "dark").iterdir()).read_bytes()
    broken = tmp_path / "broken.png"
    broken.write_bytes(whole[: len(whole) // 2])
    expect(command("predict", trained, broken), r".*broken\.png is a damaged image .*; a whole PNG or JPEG")
    expect(command("infer", program, broken), r".*broken\.png is a damaged image")
    text = tmp_path / "text.png"
    text.write_text("no image")
    expect(command("predict", trained, text), r".*text\.png is no PNG or JPEG image")
    expect(
        command("predict", trained, tmp_path / "none.png"),
        r".*none\.png does not exist; the path of a PNG or JPEG",
    )


def test_a_corrupt_image_in_the_training_folder(command: Command, pictures: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(pictures, data)
    (data / "train" / "dark" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    answer = command("train", NANO, "epochs=1", "batch_size=8", "--data", data, "--out", tmp_path / "run")
    expect(answer, r".*dark/0\.png is ")


def test_a_checkpoint_of_another_model(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    words = ["meta_spikeformer_15m", "--data", pictures, "--weights", trained, "--out", tmp_path / "run"]
    expect(
        command("train", *words, "batch_size=8", "image_size=32"),
        r".*holds a meta_spikeformer_nano, and the recipe",
    )


def test_a_damaged_checkpoint(command: Command, trained: Path, pictures: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((trained / "checkpoints" / "best.safetensors").read_bytes()[:1000])
    expect(command("eval", cut, "--data", pictures), r".*cut\.safetensors cannot be read as a checkpoint")
    expect(
        command("eval", tmp_path, "--data", pictures),
        r".*is a folder without checkpoints/best\.safetensors; .*train",
    )
    expect(
        command("eval", tmp_path / "none", "--data", pictures),
        r"There is no file or folder .*none; a run's folder",
    )


def test_a_split_that_the_data_lack(command: Command, trained: Path, pictures: Path) -> None:
    expect(
        command("eval", trained, "--data", pictures / "train", "--split", "test"),
        r".* has no split 'test'; it has train",
    )


def test_classes_that_the_model_did_not_learn(
    command: Command, trained: Path, pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "other")
    for split in ("train", "test"):
        (tmp_path / "other" / split / "dark").rename(tmp_path / "other" / split / "night")
    for words in (("eval", trained), ("compare", trained, "--out", tmp_path / "page")):
        answer = command(*words, "--data", tmp_path / "other")
        assert answer.code == 2
        assert "has the classes light, night, and the model learned dark, light; both have" in answer.err
    # numbers name no classes, and a class more than the model has is another one
    for count, code in ((2, 0), (3, 2)):
        images, labels = np.zeros((8, 28, 28), np.uint8), np.arange(8) % count
        np.savez(tmp_path / "numbers.npz", x_test=images, y_test=labels)
        assert command("eval", trained, "--data", tmp_path / "numbers.npz").code == code


def test_a_truncated_program(command: Command, program: Path, pictures: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.sdx"
    cut.write_bytes(program.read_bytes()[:-100])
    expect(
        command("infer", cut, pictures),
        r".*cut\.sdx is an \.sdx program of \d+ bytes that says it has \d+; a whole",
    )
    cut.write_bytes(b"")
    expect(command("infer", cut, pictures), r".*cut\.sdx is no \.sdx program: it is empty")
    expect(
        command("infer", tmp_path / "none.sdx", pictures),
        r"There is no program at .*none\.sdx; .*spikedrive compile",
    )


def test_images_that_the_program_does_not_take(command: Command, program: Path, tmp_path: Path) -> None:
    array = tmp_path / "images.npy"
    np.save(array, np.zeros((2, 3, 28, 28), np.uint8))
    expect(
        command("infer", program, array),
        r"The program got images of shape \(2, 3, 28, 28\); it takes \(B, 1, 28, 28\)",
    )
    np.save(array, np.zeros((2, 1, 28, 28), np.float32))
    expect(command("infer", program, array), r"The program got images of dtype float32; it takes raw uint8")
    array.write_bytes(b"no array")
    expect(command("infer", program, array), r".*images\.npy cannot be read as an array")
    (tmp_path / "empty").mkdir()
    expect(
        command("infer", program, tmp_path / "empty"), r".*empty holds no image; \.png, \.jpg, \.jpeg files"
    )


def test_a_full_disk_leaves_the_last_good_program(trained: Path, program: Path, tmp_path: Path) -> None:
    good = tmp_path / "m.sdx"
    shutil.copy(program, good)
    done = subprocess.run(
        [sys.executable, "-m", "spikedrive", "compile", str(trained), "-o", str(good)],
        # no file may grow past 4 kB, which is what a full disk looks like from here
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    expect(
        Answer(done.returncode, done.stdout, done.stderr),
        rf"Could not write {good} .*; what was there before is untou",
    )
    assert len(load(good).ops) > 10
    assert [p.name for p in tmp_path.iterdir()] == ["m.sdx"]


def test_a_report_without_a_run(command: Command, tmp_path: Path) -> None:
    answer = command("report", tmp_path / "none")
    assert answer.code == 2
    assert re.match(r"error: .*none", answer.err)


def test_fresh_deletes_runs_only(command: Command, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("precious")
    expect(
        command("demo", "--fresh", "--out", tmp_path),
        r"--fresh got .*, which holds files and no recipe\.json; it del",
    )
    assert (tmp_path / "letters.txt").read_text() == "precious"
