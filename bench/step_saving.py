#!/usr/bin/env python3
"""What sparing steps costs and saves with the embedded model: frames of several prompts against those of a run that spares
nothing (PSNR of all frames together), and the seconds of the denoiser. Prints a row of docs/benchmarks.md for each setting.

usage: python3 bench/step_saving.py --prax build/release/apps/prax/prax [--prompts 16] [--steps 20] [--guidance 3] SETTINGS...
       SETTINGS is what is given to `prax generate`, like " --cache first-block --set cache_threshold=0.1" (the space
       keeps it from being read as an option of this script)
needs: numpy
"""

import argparse
import json
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

PROMPTS = (Path(__file__).parent.parent / "training/nano/prompts.txt").read_text().splitlines()


def generate(options, prompt, seed, settings, folder):
    out = Path(folder) / "clip.npy"
    command = [options.prax, "generate", prompt, "--seed", str(seed), "--steps", str(options.steps),
               "--guidance", str(options.guidance), "--json", "-o", str(out), *settings]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return np.load(out).astype(np.float64), json.loads(lines[-1])


def psnr(error):
    return f"{10 * np.log10(1 / error):.1f} dB" if error > 0 else "the same"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prax", default="build/release/apps/prax/prax")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3)
    parser.add_argument("settings", nargs="+")
    options = parser.parse_args()
    print("| settings | calls that run whole | PSNR | worst clip | denoising |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        prompts = list(enumerate(PROMPTS[: options.prompts]))
        plain = [generate(options, p, i, [], folder) for i, p in prompts]
        for text in options.settings:
            errors, seconds, plain_seconds, whole, spared = [], 0, 0, 0, 0
            for i, prompt in prompts:
                # Again and in turns, so that both meet the same machine.
                plain_seconds += generate(options, prompt, i, [], folder)[1]["stages"]["denoise"]
                frames, result = generate(options, prompt, i, shlex.split(text), folder)
                errors.append(np.mean((frames - plain[i][0]) ** 2))
                seconds += result["stages"]["denoise"]
                calls = result.get("denoiser_calls", {"whole": 0, "spared": 0})
                whole, spared = whole + calls["whole"], spared + calls["spared"]
            share = f"{100 * whole / (whole + spared):.0f} %" if whole + spared else "all"
            print(f"| `{text.strip()}` | {share} | {psnr(np.mean(errors))} | {psnr(max(errors))} | "
                  f"{seconds / len(prompts):.3f} s, {seconds / plain_seconds:.2f} of {plain_seconds / len(prompts):.3f} s |",
                  flush=True)


main()
