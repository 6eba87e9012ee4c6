#!/usr/bin/env python3
"""Makes tests/data/cases/nano_t2v: what the reference computes with the embedded model. To be run again whenever the
model changes.

usage: python3 scripts/nano_case.py
needs: pip install torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 sentencepiece protobuf
"""

import json
from pathlib import Path

import torch
from diffusers import LTXPipeline
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
CASE = ROOT / "tests/data/cases/nano_t2v"
CALLS = 2  # of the denoiser that are kept whole


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    case = json.loads((CASE / "case.json").read_text())
    pipe = LTXPipeline.from_pretrained(ROOT / "models/nano", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    kept, calls = {}, {"text_encoder": 0, "transformer": 0}

    def keep(name, tensor):
        tensor = tensor.detach()
        kept[name] = tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64).clone().contiguous()

    def text_hook(_, args, kwargs, out):
        k = calls["text_encoder"]
        calls["text_encoder"] += 1
        keep(f"text_encoder.{k}.in.0", args[0])
        keep(f"text_encoder.{k}.out", out[0])

    def transformer_hook(_, args, kwargs, out):
        k = calls["transformer"]
        calls["transformer"] += 1
        if k < CALLS:
            for name in ("hidden_states", "encoder_hidden_states", "timestep", "encoder_attention_mask"):
                keep(f"transformer.{k}.in.{name}", kwargs[name])
            keep(f"transformer.{k}.out", out[0])

    pipe.text_encoder.register_forward_hook(text_hook, with_kwargs=True)
    pipe.transformer.register_forward_hook(transformer_hook, with_kwargs=True)
    steps = case["arguments"]["num_inference_steps"]

    def on_step(_, i, __, tensors):
        if i in (0, steps // 2 - 1, steps - 1):
            keep(f"step.{i}.latents", tensors["latents"])
        return tensors

    decode = pipe.vae.decode

    def kept_decode(latents, *args, **kwargs):
        out = decode(latents, *args, **kwargs)
        keep("vae.decode.0.in.0", latents)
        keep("vae.decode.0.out", out[0])
        return out

    pipe.vae.decode = kept_decode
    torch.manual_seed(case["global_seed"])
    pipe(prompt=case["prompt"], negative_prompt=case["negative_prompt"], output_type="pt",
         generator=torch.Generator().manual_seed(case["seed"]), callback_on_step_end=on_step, **case["arguments"])
    keep("timesteps", pipe.scheduler.timesteps)
    keep("sigmas", pipe.scheduler.sigmas)
    save_file(kept, CASE / "tensors.safetensors")
    (CASE / "tensors.safetensors").chmod(0o644)
    print(len(kept), "tensors")


main()
