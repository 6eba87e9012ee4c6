#!/usr/bin/env python3
"""Set prax beside diffusers: the same shapes, sizes, dtype and threads with random weights, in turns on one machine.

  bench/compare.py --prax build/release/apps/prax/prax [--only cogvideox] [--layers 4] [--threads 2] [--beside openvino]

Each measurement is a process of its own: `prax bench`, or this script again, which makes diffusers' class from the
manifest's config and times `forward`. Both warm up on the smallest input, then the fastest pass counts. Denoisers and
the text encoder are made with --layers layers, and the time of those that are missing is that of those that are there
(all but the first). Video decoders decode a short clip whole; the memory of diffusers' holds the encoder's weights, too.
Pyramid Flow is not in diffusers. Prints a Markdown table. Needs torch, diffusers and transformers.

`--beside openvino`, for denoisers, has OpenVINO's runtime, on which OpenVINO GenAI runs LTX-Video, compute the same
networks, converted from diffusers' classes at fixed sizes as its tools do; time of missing layers is then from runs of one
layer and of all that are made, and its memory holds the converted weights in f32. Needs openvino, too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20
SAMPLING_SECONDS = 0.05

#: manifest, component, width, height, frames, tokens of text. The decoders' clips are short: nothing is extrapolated.
CASES = {
    "ltx-2b": ("ltx_video_2b_transformer", "transformer", 768, 512, 121, 128),
    "cogvideox-2b": ("cogvideox_2b_transformer", "transformer", 720, 480, 49, 226),
    "cogvideox-5b": ("cogvideox_5b_transformer", "transformer", 720, 480, 49, 226),
    "mochi": ("mochi_1_preview_transformer", "transformer", 848, 480, 31, 256),
    "ltx-vae": ("ltx_video_0.9.5_vae", "vae", 768, 512, 17, 0),
    "cogvideox-vae": ("cogvideox_vae", "vae", 720, 480, 9, 0),
    "mochi-vae": ("mochi_1_preview_vae", "vae", 848, 480, 7, 0),
    "t5-xxl": ("t5_v1_1_xxl_encoder", "text_encoder", 0, 0, 0, 128),
}


def case_of(args, name):
    manifest, component, width, height, frames, text = CASES[name]
    if args.size and width:
        width, height = (int(side) for side in args.size.split("x"))
    return SimpleNamespace(name=name, manifest=manifest, component=component, width=width, height=height,
                           frames=args.frames if args.frames and frames else frames, text=text)


# The reference, in a process of its own.


def random_weights(model):
    """Normal / sqrt(fan-in) for matrices and kernels, gains near 1, other vectors near 0, as in prax's own."""
    import torch

    drawn = torch.randn(1 << 20, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = drawn / (p[0].numel() ** 0.5) if p.dim() > 1 else drawn * 0.02 + name.endswith("weight")
            flat = p.view(-1)
            for at in range(0, flat.numel(), len(values)):
                part = flat[at:at + len(values)]
                part.copy_(values[:len(part)])


def made(make, dtype):
    """A model of that type with random weights; the initial values that torch would draw first take long."""
    import torch

    for layer in (torch.nn.Linear, torch.nn.Conv2d, torch.nn.Conv3d):
        layer.reset_parameters = lambda self: None
    torch.set_default_dtype(dtype)
    model = make().eval()
    torch.set_default_dtype(torch.float32)
    random_weights(model)
    return model


def rotary_of_cogvideox(model, case, latent_frames):
    from diffusers import CogVideoXPipeline

    if not model.config.use_rotary_positional_embeddings:
        return None
    pipeline = SimpleNamespace(transformer=model, vae_scale_factor_spatial=8)
    return CogVideoXPipeline._prepare_rotary_positional_embeddings(pipeline, case.height, case.width, latent_frames,
                                                                   "cpu")


def denoiser_inputs(model, case, dtype):
    """Keyword arguments of forward, the tokens of the clip, and its blocks."""
    import torch

    c, kind = model.config, type(model).__name__
    randn = lambda *shape: torch.randn(shape).to(dtype)
    timestep = torch.tensor([500])
    if kind == "LTXVideoTransformer3DModel":
        frames, rows, columns = (case.frames - 1) // 8 + 1, case.height // 32, case.width // 32
        tokens = frames * rows * columns
        return dict(hidden_states=randn(1, tokens, c.in_channels), timestep=timestep,
                    encoder_hidden_states=randn(1, case.text, c.caption_channels),
                    encoder_attention_mask=torch.ones(1, case.text, dtype=torch.int64), num_frames=frames, height=rows,
                    width=columns, rope_interpolation_scale=(8 / 25, 32, 32)), tokens
    rows, columns = case.height // 8, case.width // 8
    if kind == "CogVideoXTransformer3DModel":
        frames = (case.frames - 1) // 4 + 1
        tokens = frames * (rows // c.patch_size) * (columns // c.patch_size)
        return dict(hidden_states=randn(1, frames, c.in_channels, rows, columns), timestep=timestep,
                    encoder_hidden_states=randn(1, case.text, c.text_embed_dim),
                    image_rotary_emb=rotary_of_cogvideox(model, case, frames)), tokens
    if kind == "MochiTransformer3DModel":
        frames = (case.frames - 1) // 6 + 1
        tokens = frames * (rows // c.patch_size) * (columns // c.patch_size)
        return dict(hidden_states=randn(1, c.in_channels, frames, rows, columns), timestep=timestep,
                    encoder_hidden_states=randn(1, case.text, c.text_embed_dim),
                    encoder_attention_mask=torch.ones(1, case.text, dtype=torch.bool)), tokens
    raise SystemExit(f"there are no inputs for a {kind}")


def smallest(case):
    """The case with a clip of one patch."""
    side = 32 if case.name.startswith("ltx") else 16
    return SimpleNamespace(**{**vars(case), "width": side, "height": side, "frames": 1})


def timed_layers(model, blocks, arguments, all_layers, last_is_special):
    """Seconds of a pass, with those of the layers that are missing."""
    ends = []
    hooks = [block.register_forward_hook(lambda *_: ends.append(time.perf_counter())) for block in blocks]
    start = time.perf_counter()
    model(**arguments)
    seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    if len(ends) > 2 and last_is_special:
        ends.pop()
    if len(ends) > 1:
        seconds += (ends[-1] - ends[0]) / (len(ends) - 1) * (all_layers - len(blocks))
    return seconds


def reference_denoiser(case, manifest, args, dtype):
    import diffusers

    config = {**manifest["config"], "num_layers": min(args.layers, manifest["config"]["num_layers"])}
    model = made(lambda: getattr(diffusers, manifest["class"]).from_config(config), dtype)
    warm_up, _ = denoiser_inputs(model, smallest(case), dtype)
    model(**warm_up)
    arguments, tokens = denoiser_inputs(model, case, dtype)
    layers, special = manifest["config"]["num_layers"], manifest["class"].startswith("Mochi")
    return [timed_layers(model, model.transformer_blocks, arguments, layers, special)
            for _ in range(args.passes)], tokens


def openvino_pass(model, arguments, args):
    """Seconds of the fastest pass of a model that OpenVINO runs; what is no tensor is fixed when it is converted."""
    import gc
    import openvino
    import torch

    tensors = {name: value for name, value in arguments.items() if torch.is_tensor(value)}
    fixed = {name: value for name, value in arguments.items() if name not in tensors}

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *values):
            return self.model(**dict(zip(tensors, values)), **fixed, return_dict=False)[0]

    converted = openvino.convert_model(Fixed().eval(), example_input=tuple(tensors.values()))
    hint = {"f32": "f32"}.get(args.dtype, "bf16")
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY",
                                                         "INFERENCE_NUM_THREADS": args.threads})
    del converted
    gc.collect()
    request, values = compiled.create_infer_request(), [value.numpy() for value in tensors.values()]
    seconds = []
    for _ in range(args.passes + 1):
        start = time.perf_counter()
        request.infer(values)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def openvino_denoiser(case, manifest, args, dtype):
    import diffusers
    import torch

    def run(layers):
        config = {**manifest["config"], "num_layers": layers}
        model = made(lambda: getattr(diffusers, manifest["class"]).from_config(config), torch.float32)
        arguments, tokens = denoiser_inputs(model, case, torch.float32)
        return openvino_pass(model, arguments, args), tokens

    all_layers = manifest["config"]["num_layers"]
    layers = max(2, min(args.layers, all_layers))
    (one, tokens), (some, _) = run(1), run(layers)
    return [one + (some - one) / (layers - 1) * (all_layers - 1)], tokens


def reference_text_encoder(case, manifest, args, dtype):
    import torch
    import transformers

    layers = manifest["config"]["num_layers"]
    config = transformers.T5Config(**{**manifest["config"], "num_layers": min(args.layers, layers)})
    with torch.device("meta"):
        empty = transformers.T5EncoderModel(config).to(dtype)
    model = made(lambda: empty.to_empty(device="cpu"), dtype)
    ids = torch.arange(case.text)[None] * 7919 % config.vocab_size
    model(input_ids=ids)
    return [timed_layers(model, model.encoder.block, {"input_ids": ids}, layers, False)
            for _ in range(args.passes)], 0


def reference_decoder(case, manifest, args, dtype):
    import diffusers
    import torch

    model = made(lambda: getattr(diffusers, manifest["class"]).from_config(manifest["config"]), dtype)
    space, time_ratio = {"ltx": (32, 8), "cogvideox": (8, 4), "mochi": (8, 6)}[case.name.split("-")[0]]
    arguments = {"temb": torch.tensor([0.05], dtype=dtype)} if model.config.get("timestep_conditioning") else {}

    def decode(frames, rows, columns):
        latents = torch.randn(1, model.config.latent_channels, frames, rows, columns).to(dtype)
        start = time.perf_counter()
        model.decode(latents, **arguments)
        return time.perf_counter() - start

    decode(1, 2, 2)
    size = ((case.frames - 1) // time_ratio + 1, case.height // space, case.width // space)
    return [decode(*size) for _ in range(args.passes)], 0


def measure_reference(args):
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    case = case_of(args, args.reference)
    manifest = json.loads((ROOT / "manifests" / f"{case.manifest}.json").read_text())
    dtype = {"f32": torch.float32}.get(args.dtype, torch.bfloat16)
    measure = {"transformer": reference_denoiser, "text_encoder": reference_text_encoder, "vae": reference_decoder}
    if args.beside == "openvino":
        measure = {"transformer": openvino_denoiser}
    with torch.no_grad():
        seconds, tokens = measure[case.component](case, manifest, args, dtype)
    print(json.dumps({"seconds": min(seconds), "tokens": tokens}))


# Both in turns.


def resident_bytes(pid, field="RssAnon"):
    """What a process has in memory; VmRSS: with the pages of files that it maps."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def run(command):
    """The last line of JSON that a command prints, with the most anonymous memory that its process took."""
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    most = 0
    while process.poll() is None:
        most = max(most, resident_bytes(process.pid))
        time.sleep(SAMPLING_SECONDS)
    output = process.stdout.read()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(str(part) for part in command)} failed")
    return {**json.loads(output.strip().splitlines()[-1]), "anonymous": most}


def run_prax(args, case):
    command = [args.prax, "bench", "--json", "--synthetic", case.manifest, "--dtype", args.dtype, "--threads",
               args.threads, "--repeat", args.passes]
    if case.width:
        command += ["--size", f"{case.width}x{case.height}", "--frames", case.frames]
    if case.text:
        command += ["--tokens", case.text]
    if case.component != "vae":
        command += ["--layers", args.layers]
    return run(command)


def run_reference(args, case):
    command = [sys.executable, __file__, "--reference", case.name, "--dtype", args.dtype, "--threads", args.threads,
               "--passes", args.passes, "--layers", args.layers]
    if args.size:
        command += ["--size", args.size]
    if args.frames:
        command += ["--frames", args.frames]
    return run(command)


def work_of(case, layers, prax):
    if case.component == "vae":
        return f"decoding {case.frames} frames of {case.width}x{case.height}"
    of_layers = f"from {prax['layers']} of {prax['all_layers']} layers"
    if case.component == "text_encoder":
        return f"{case.text} tokens, {of_layers}"
    return f"one pass, {case.frames} frames of {case.width}x{case.height} ({prax['tokens']} tokens), {of_layers}"


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def compare(args):
    import importlib.metadata

    known = [name for name, case in CASES.items() if args.beside == "diffusers" or case[1] == "transformer"]
    names = [name for name in known if not args.only or any(part in name for part in args.only)]
    if not names:
        raise SystemExit(f"--only names none of {', '.join(known)}")
    rows = []
    for name in names:
        case = case_of(args, name)
        prax, reference = [], []
        for turn in range(args.repeat):
            for side, measure in ((prax, run_prax), (reference, run_reference))[:: -1 if turn % 2 else 1]:
                side.append(measure(args, case))
                print(f"{name} {measure.__name__}: {side[-1]['seconds']:.3f} s", file=sys.stderr)
        if prax[0].get("tokens", 0) != reference[0]["tokens"]:
            raise SystemExit(f"{name}: prax has {prax[0].get('tokens', 0)} tokens, {args.beside} {reference[0]['tokens']}")
        best = [min(r["seconds"] for r in side) for side in (reference, prax)]
        memory = [max(r["anonymous"] for r in side) / MIB for side in (reference, prax)]
        rows.append(f"| {name} | {work_of(case, args.layers, prax[0])} | {best[0]:.3g} | {best[1]:.3g} "
                    f"| {best[0] / best[1]:.2f} | {memory[0]:.0f} | {memory[1]:.0f} |")
        isa = prax[0]["isa"]
    packages = ["torch", "diffusers", "transformers"] + ["openvino"] * (args.beside == "openvino")
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    print(f"{cpu_name()} ({isa}), {args.threads} threads, {args.dtype}; {versions}; best of {args.repeat} turns of "
          f"{args.passes} passes; memory is the most anonymous memory of the process with the layers measured:\n")
    print(f"| part | work | {args.beside}, s | prax, s | times as fast | {args.beside}, MiB | prax, MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prax", type=Path, default=ROOT / "build/release/apps/prax/prax")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help=f"parts whose names hold it: {', '.join(CASES)}")
    parser.add_argument("--layers", type=int, default=4, help="layers of denoisers and text encoder to measure")
    parser.add_argument("--repeat", type=int, default=3, help="turns of both programs")
    parser.add_argument("--passes", type=int, default=2, help="timed passes of each process")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--dtype", choices=["bf16", "f32", "int8"], default="bf16")
    parser.add_argument("--size", help="of all clips, in place of each model's own: 256x256")
    parser.add_argument("--frames", type=int, help="likewise")
    parser.add_argument("--beside", choices=["diffusers", "openvino"], default="diffusers")
    parser.add_argument("--reference", help=argparse.SUPPRESS, choices=CASES)
    args = parser.parse_args()
    measure_reference(args) if args.reference else compare(args)


if __name__ == "__main__":
    main()
