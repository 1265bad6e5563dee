"""Peak memory while a folder of the shapes of LLaMA-7B is converted layer by layer.

Usage: python benchmarks/spikellm_memory.py [--layers N] [--method gptq] [--folder PATH]

The folder is made first, layer by layer, of random weights in half precision (14 GB of disk; nothing is gained from its
answers, only its shapes are real). Peak memory is the resident set's high-water mark of a process that does nothing but
convert. With --layers the conversion stops after so many, since every layer needs the same memory. Writes
results/spikellm_memory.csv; the folder is removed unless --keep.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import results
import torch
from safetensors.torch import save_file

SHAPES = {"hidden_size": 4096, "intermediate_size": 11008, "num_attention_heads": 32, "vocab_size": 32000}
LAYERS = 32
CALIBRATION = (4, 128)
"""Windows, and tokens of each."""
NEEDED_GB = 30


def make(folder: Path) -> None:
    """A folder of LLaMA-7B's shapes: one file a layer, so that no more than one is in memory."""
    if (folder / "model.safetensors.index.json").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < NEEDED_GB * 1e9:
        sys.exit(f"error: {folder.parent} has less than {NEEDED_GB} GB free; name another --folder.")
    width, hidden, tokens = SHAPES["hidden_size"], SHAPES["intermediate_size"], SHAPES["vocab_size"]
    inner = {f"self_attn.{n}_proj": (width, width) for n in "qkvo"}
    inner |= {
        "mlp.gate_proj": (hidden, width),
        "mlp.up_proj": (hidden, width),
        "mlp.down_proj": (width, hidden),
    }
    norms = ("input_layernorm", "post_attention_layernorm")
    where: dict[str, str] = {}

    def write(name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_file(tensors, folder / name, {"format": "pt"})
        where.update(dict.fromkeys(tensors, name))

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float32).mul_(0.02).half()

    for i in range(LAYERS):
        layer = {f"model.layers.{i}.{name}.weight": random(*shape) for name, shape in inner.items()}
        layer |= {f"model.layers.{i}.{name}.weight": torch.ones(width).half() for name in norms}
        write(f"layer-{i:02d}.safetensors", layer)
    ends = {"model.embed_tokens.weight": random(tokens, width), "lm_head.weight": random(tokens, width)}
    write("ends.safetensors", {**ends, "model.norm.weight": torch.ones(width).half()})
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": LAYERS,
              "num_key_value_heads": 32, "tie_word_embeddings": False, **SHAPES}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}), encoding="utf-8")


def convert(folder: Path, layers: int, method: str) -> None:
    """In a process of its own: convert, and print what it took."""
    from spikedrive.interop.huggingface import convert_folder
    from spikedrive.training.spikellm import Format

    torch.set_num_threads(1)
    windows, length = CALIBRATION
    tokens = list(torch.randint(SHAPES["vocab_size"], (windows, 1, length)))
    form = Format(4, 4, method, activation_spikes=2)  # type: ignore[arg-type]
    bits = convert_folder(
        folder, folder.parent / "converted", tokens, form, layers=layers,
        progress=lambda done, of: print(f"layer {done} of {of}", file=sys.stderr, flush=True),
    )  # fmt: skip
    # the kernel counts in KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"peak": peak, "seconds": time.process_time(), "weight": bits.weight}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--method", default="rtn", choices=("rtn", "smoothquant", "gptq"))
    parser.add_argument("--folder", type=Path, default=results.ROOT / "benchmarks" / ".spikellm" / "7b")
    parser.add_argument("--keep", action="store_true", help="leave the folder for the next run")
    parser.add_argument("--convert", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    source = options.folder / "source"
    if options.convert:
        convert(source, options.layers, options.method)
        return
    make(source)
    size = sum(path.stat().st_size for path in source.iterdir())
    command = [sys.executable, __file__, "--convert", "--folder", str(options.folder), "--layers", str(options.layers),
               "--method", options.method]  # fmt: skip
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    row: dict[str, object] = {
        "method": options.method, "format": "W4A4, spikes", "layers": options.layers, "of": LAYERS,
        "parameters": f"{size / 2e9:.2f}", "folder_gb": f"{size / 1e9:.1f}", "peak_gb": f"{answer['peak'] / 1e9:.1f}",
        "cpu_seconds": f"{answer['seconds']:.0f}",
        "calibration_tokens": CALIBRATION[0] * CALIBRATION[1], "command": "python benchmarks/spikellm_memory.py",
    }  # fmt: skip
    kept = [r for r in results.read("spikellm_memory") if r["method"] != options.method]
    results.write("spikellm_memory", [*kept, {**results.provenance(), **row}])
    print(row)
    shutil.rmtree(options.folder / "converted")
    if not options.keep:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
