#!/usr/bin/env python3
"""Set a whole generation by prax beside one by diffusers: the same model folder, prompt, size and steps, in turns.

  bench/compare_folder.py FOLDER --prax build/release/apps/prax/prax [--size 512x320] [--frames 25] [--steps 2]

Each is a process of its own that starts from nothing but the files in the page cache, which one reading of the folder
fills first. Measured are the time from the start of the process to the start of its first denoising step (libraries,
weights, prompt), the time of the whole, and the most memory, twice: anonymous, which leaves out pages of the files that
are mapped, because the system takes them back when it needs them, and resident, which counts them. Prints a
Markdown table. Needs torch, diffusers and transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from compare import MIB, SAMPLING_SECONDS, cpu_name, resident_bytes

ROOT = Path(__file__).resolve().parent.parent


def reference(args):
    """diffusers' own way: from_pretrained in bf16, then a call; a hook tells when the denoiser is called."""
    import diffusers
    import torch

    torch.set_num_threads(args.threads)
    width, height = (int(side) for side in args.size.split("x"))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(args.folder, torch_dtype=torch.bfloat16)
    pipeline.transformer.register_forward_pre_hook(lambda *_: print("first step", flush=True))
    inputs = dict(prompt=args.prompt, width=width, height=height, num_frames=args.frames,
                  num_inference_steps=args.steps, generator=torch.Generator().manual_seed(1), output_type="np")
    if "ImageToVideo" in type(pipeline).__name__:
        from PIL import Image

        inputs["image"] = Image.new("RGB", (width, height), "gray")
    pipeline(**inputs)


def is_first_step(line):
    if line.strip() == "first step":
        return True
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return event.get("stage") == "denoise" and event.get("step") == 0


def run(command):
    """Seconds to the first step and of the whole, the most anonymous and the most resident memory."""
    start = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE)
    os.set_blocking(process.stdout.fileno(), False)
    first, anonymous, resident, text = None, 0, 0, b""
    while process.poll() is None:
        anonymous = max(anonymous, resident_bytes(process.pid))
        resident = max(resident, resident_bytes(process.pid, "VmRSS"))
        text += process.stdout.read() or b""
        *lines, text = text.split(b"\n")
        if first is None and any(is_first_step(line.decode()) for line in lines):
            first = time.monotonic() - start
        time.sleep(SAMPLING_SECONDS)
    if process.returncode != 0 or first is None:
        raise SystemExit(f"{' '.join(str(part) for part in command)} failed")
    return first, time.monotonic() - start, anonymous, resident


def run_prax(args):
    command = [args.prax, "generate", args.prompt, "--model", args.folder, "--size", args.size, "--frames", args.frames,
               "--steps", args.steps, "--seed", 1, "--dtype", "bf16", "--threads", args.threads, "--json", "-o",
               args.out / "clip.npy"]
    if args.picture:
        command += ["--image", args.picture]
    return run(command)


def run_reference(args):
    return run([sys.executable, __file__, args.folder, "--reference", "--size", args.size, "--frames", args.frames,
                "--steps", args.steps, "--threads", args.threads, "--prompt", args.prompt])


def needs_picture(folder):
    return "ImageToVideo" in json.loads((folder / "model_index.json").read_text())["_class_name"]


def grey_picture(path, size):
    from PIL import Image

    Image.new("RGB", tuple(int(side) for side in size.split("x")), "gray").save(path)
    return path


def compare(args):
    import tempfile

    with tempfile.TemporaryDirectory() as out:
        args.out = Path(out)
        args.picture = grey_picture(args.out / "grey.png", args.size) if needs_picture(args.folder) else None
        for file in args.folder.glob("*/*.safetensors"):
            subprocess.run(["cat", file], stdout=subprocess.DEVNULL, check=True)
        sides = {run_reference: [], run_prax: []}
        for turn in range(args.repeat):
            for measure in list(sides)[:: -1 if turn % 2 else 1]:
                sides[measure].append(measure(args))
                print(f"{measure.__name__}: %.2f s to the first step, %.2f s in all" % sides[measure][-1][:2],
                      file=sys.stderr)
    reference_best, prax_best = ([min(column) for column in zip(*rows)] for rows in sides.values())
    print(f"{cpu_name()}, {args.threads} threads, bf16, {args.frames} frames of {args.size}, {args.steps} steps; best of "
          f"{args.repeat} turns:\n")
    print("| | diffusers | prax | ratio |")
    print("| --- | --- | --- | --- |")
    for name, i in (("start to first step", 0), ("whole generation", 1)):
        print(f"| {name} | {reference_best[i]:.2f} s | {prax_best[i]:.2f} s | {reference_best[i] / prax_best[i]:.2f} |")
    for name, i in (("most anonymous memory", 2), ("most resident memory", 3)):
        memory = [max(row[i] for row in rows) / MIB for rows in sides.values()]
        print(f"| {name} | {memory[0]:.0f} MiB | {memory[1]:.0f} MiB | {memory[1] / memory[0]:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prax", type=Path, default=ROOT / "build/release/apps/prax/prax")
    parser.add_argument("--prompt", default="a red balloon rises over the sea at sunset")
    parser.add_argument("--size", default="512x320")
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=2, help="turns of both programs")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--reference", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    reference(args) if args.reference else compare(args)


if __name__ == "__main__":
    main()
