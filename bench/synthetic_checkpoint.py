#!/usr/bin/env python3
"""Write a model folder of full size with random weights, for measurements where the real one is not at hand.

  bench/synthetic_checkpoint.py OUT --class LTXImageToVideoPipeline --tokenizer models/nano/tokenizer \
      --scheduler models/nano/scheduler/scheduler_config.json \
      text_encoder=manifests/t5_v1_1_xxl_encoder.json transformer=manifests/ltx_video_2b_transformer.json \
      vae=manifests/ltx_video_0.9.5_vae.json

A component may be a folder to copy (a tokenizer, a scheduler). With --layers the networks with num_layers have so many
layers of their real width, the last one among them. Without --class there is no index, as with Pyramid Flow.

Weights are bf16: matrices and kernels normal / sqrt(fan-in), gains near 1, other vectors near 0. Needs numpy.
"""

import argparse
import json
import re
import shutil
import struct
from pathlib import Path

import numpy as np

BLOCK = 1 << 24  # values that are drawn; larger tensors repeat them


def bf16(values):
    """f32 -> the upper 16 bits, rounded to nearest even."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def tensor(name, shape, normal):
    count = int(np.prod(shape)) if shape else 1
    drawn = np.resize(normal, count) if count > len(normal) else normal[:count]
    if len(shape) >= 2:
        fan_in = count // shape[0]
        return bf16(drawn / np.sqrt(fan_in))
    gain = name.endswith("weight")
    return bf16((1.0 if gain else 0.0) + 0.02 * drawn)


def cut(described, layers):
    """Leaves so many layers: the first ones, and the last, which may be another kind."""
    for key, stack in (("num_layers", r"^((?:encoder\.block|transformer_blocks)\.)(\d+)(\..*)"),
                       ("num_single_layers", r"^(single_transformer_blocks\.)(\d+)(\..*)")):
        count = described["config"].get(key)
        if count is None or count <= layers:
            continue
        described["config"][key] = layers
        kept = {}
        for name, shape in described["tensors"].items():
            found = re.match(stack, name)
            index = int(found[2]) if found else 0
            if found and index == count - 1:
                kept[f"{found[1]}{layers - 1}{found[3]}"] = shape
            elif not found or index < layers - 1:
                kept[name] = shape
        described["tensors"] = kept


def write(manifest, path, layers):
    described = json.loads(manifest.read_text())
    if layers:
        cut(described, layers)
    normal = np.random.default_rng(1).standard_normal(BLOCK, dtype=np.float32)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in described["tensors"].items():
        size = 2 * (int(np.prod(shape)) if shape else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name, shape in described["tensors"].items():
            tensor(name, shape, normal).tofile(out)
    return described


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--class", dest="pipeline")
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--scheduler", type=Path)
    parser.add_argument("--layers", type=int)
    parser.add_argument("components", nargs="+", help="NAME=MANIFEST or NAME=FOLDER")
    args = parser.parse_args()
    index = {"_class_name": args.pipeline, "_diffusers_version": "0.42.1"}
    args.out.mkdir(parents=True, exist_ok=True)
    if args.tokenizer:
        index["tokenizer"] = ["transformers", "T5Tokenizer"]
        shutil.copytree(args.tokenizer, args.out / "tokenizer", dirs_exist_ok=True)
    if args.scheduler:
        index["scheduler"] = ["diffusers", json.loads(args.scheduler.read_text())["_class_name"]]
        (args.out / "scheduler").mkdir(exist_ok=True)
        shutil.copy(args.scheduler, args.out / "scheduler")
    for component in args.components:
        name, manifest = component.split("=", 1)
        folder = args.out / name
        if Path(manifest).is_dir():
            shutil.copytree(manifest, folder, dirs_exist_ok=True)
            continue
        folder.mkdir(exist_ok=True)
        of_transformers = name.startswith("text_encoder")
        described = write(Path(manifest), folder / ("model.safetensors" if of_transformers
                                                    else "diffusion_pytorch_model.safetensors"), args.layers)
        config = {"_class_name": described["class"], **described["config"]}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        index[name] = ["transformers" if of_transformers else "diffusers", described["class"]]
    if args.pipeline:
        (args.out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
