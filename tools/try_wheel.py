"""Build the wheel and use it as a stranger would: outside the clone, with and without a compiler, with numpy alone.

Usage: python tools/try_wheel.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

MAKE_PROGRAM = """
import numpy, torch, spikedrive as sd
torch.manual_seed(0)
model = sd.create_model("meta_spikeformer_nano", widths=(8, 16, 32), depths=(0, 0, 1)).eval()
names = [f"class {i}" for i in range(10)]
program = sd.compile(model, torch.zeros(1, 1, 28, 28), mean=[0.5], std=[0.25], class_names=names)
program.save("tiny.sdx")
images = numpy.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), dtype=numpy.uint8)
numpy.save("images.npy", images)
numpy.save("logits.npy", program.run(images).logits_int)
"""

RUN_PROGRAM = """
import sys, numpy
from spikedrive.engine import runtime
logits = runtime.load("tiny.sdx").run(numpy.load("images.npy")).logits_int
assert (logits == numpy.load("logits.npy")).all(), "the installed runtime gives other integers"
assert "torch" not in sys.modules, "the runtime imported torch"
"""

MAKE_PICTURES = """
import numpy
from pathlib import Path
from PIL import Image
Path("pictures").mkdir()
for i, image in enumerate(numpy.load("images.npy")):
    Image.fromarray(image[0]).save(f"pictures/{i}.png")
Image.fromarray(numpy.load("images.npy")[0, 0]).save("picture.pgm")
"""


def main() -> None:
    """Build, install twice, try; any failure ends with a traceback and a non-zero exit code."""
    start = time.monotonic()
    # a wheel left by an earlier version would be installed in place of this one
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for kind in ("--sdist", "--wheel"):
        run(sys.executable, "-m", "build", kind, "--outdir", str(ROOT / "dist"), str(ROOT))
    (wheel,), (source,) = (ROOT / "dist").glob("*.whl"), (ROOT / "dist").glob("*.tar.gz")
    check_contents(wheel)
    check_source(source)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        full = environment(there / "full")
        install(full, "-c", str(ROOT / "constraints.txt"), str(wheel))
        run(full, "-c", MAKE_PROGRAM, cwd=there)
        for path in (os.environ["PATH"], str(full.parent)):
            doctor = json.loads(run(full, "-m", "spikedrive", "doctor", "--json", cwd=there, PATH=path))
            print(f"with PATH={path[:60]}: compiler {doctor['compiler']}; engine: {doctor['engine']}")
            assert not doctor["C library"].startswith("none"), doctor["C library"]
            run(full, "-m", "spikedrive", "infer", "tiny.sdx", "images.npy", cwd=there, PATH=path)
            assert not doctor["neuron kernels"].startswith("none"), doctor["neuron kernels"]
        assert doctor["compiler"] == "none found", "the second PATH still holds a compiler"

        # the runtime's promise: numpy is all it needs (typer reads the command line)
        bare = environment(there / "bare")
        install(bare, "--no-deps", str(wheel), PATH=str(bare.parent))
        install(bare, "numpy", "typer", PATH=str(bare.parent))
        run(bare, "-c", RUN_PROGRAM, cwd=there, PATH=str(bare.parent))
        answers = json.loads(
            run(bare, "-m", "spikedrive", "infer", "tiny.sdx", "images.npy", "--json", cwd=there)
        )
        assert len(answers) == 2, f"infer answered for {len(answers)} of 2 images"
        install(bare, "pillow", PATH=str(bare.parent))
        try_pictures(bare, there)
        try_c(bare, there)
        try_source_without_compiler(source, there)
    print(
        f"wheel: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, works; {time.monotonic() - start:.0f} s"
    )


def try_pictures(python: Path, there: Path) -> None:
    """A folder of pictures gives what the array of them gives."""
    run(python, "-c", MAKE_PICTURES, cwd=there)
    infer = (python, "-m", "spikedrive", "infer", "tiny.sdx")
    by_array = json.loads(run(*infer, "images.npy", "--top", "10", "--json", cwd=there))
    by_folder = json.loads(run(*infer, "pictures", "--top", "10", "--json", cwd=there))
    assert [{**row, "image": ""} for row in by_folder] == [{**row, "image": ""} for row in by_array]


def try_c(python: Path, there: Path) -> None:
    """The C example against the header and the library of the wheel, by the command that its first lines give."""
    if shutil.which("cc") is None:
        print("C example: not built, for want of a C compiler. On Debian: apt-get install gcc")
        return
    include, library = run(
        python, "-c", "from spikedrive import native; print(*native.paths(), sep=chr(10))", cwd=there
    ).splitlines()
    source = ROOT / "examples" / "c" / "run.c"
    options = (f"-I{include}", f"-L{library}", "-lspikedrive", f"-Wl,-rpath,{library}", "-o", "run")
    run("cc", "-std=c11", source, *options, cwd=there)
    said = run(there / "run", "tiny.sdx", "picture.pgm", cwd=there)
    logits = run(python, "-c", "import numpy; print(*numpy.load('logits.npy')[0])", cwd=there)
    assert [line.split()[-2] for line in said.splitlines()] == logits.split(), said


def check_source(source: Path) -> None:
    """Everything that compiling needs, and nothing that only lies about in a clone."""
    with tarfile.open(source) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    needed = [
        "CMakeLists.txt",
        "pyproject.toml",
        "src/spikedrive/ops/native/isa.cpp",
        "src/spikedrive/py.typed",
        "src/spikedrive/include/spikedrive.h",
    ]
    missing = [name for name in needed if name not in names]
    assert not missing, f"the source archive lacks {missing}"
    strange = [name for name in names if name.startswith((".", "runs/", "site/", "build/", "dist/"))]
    assert not strange, f"the source archive holds {strange[:3]}"


def try_source_without_compiler(source: Path, there: Path) -> None:
    """The source installs where nothing compiles, and the package says what it lacks."""
    python = environment(there / "source")
    # a build folder of its own: the one of the clone must not learn that there is no compiler
    options = (
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        f"--config-settings=build-dir={there / 'build'}",
    )
    run(python, "-m", "pip", "install", *options, str(source), PATH=str(python.parent))
    said = run(python, "-c", "from spikedrive import native; print(native.summary())", cwd=there)
    assert said.startswith("none: it was not built"), said
    print(f"from source, without a compiler: {said.strip()}")


def check_contents(wheel: Path) -> None:
    """The files that a wheel without them would miss only at a user's."""
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "spikedrive/py.typed",
        "spikedrive/include/spikedrive.h",
        "spikedrive/lib/libspikedrive.",
        "spikedrive/data/bundled/",
        "LICENSE",
        "NOTICE",
        "entry_points.txt",
    ):
        assert any(wanted in name for name in names), f"{wheel.name} lacks {wanted}"
    strange = [n for n in names if not n.startswith(("spikedrive/", "spikedrive-"))]
    assert not strange, f"{wheel.name} would install {strange[0]} beside the package"


def environment(folder: Path) -> Path:
    """A new virtual environment's python."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def install(python: Path, *what: str, **variables: str) -> None:
    """Install with nothing but binary wheels, which is what a machine without a compiler can do."""
    options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--only-binary", ":all:")
    run(python, "-m", "pip", "install", *options, *what, **variables)


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command and give its output; its words are shown where it fails."""
    variables = {**os.environ, "PYTHONWARNINGS": "", **variables}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=variables, capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"{' '.join(map(str, command))[:200]}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


if __name__ == "__main__":
    main()
