#!/usr/bin/env python3
"""Makes tests/data/step_cache: what the reference's first block cache gives with the small checkpoints of the cases and
the embedded model. The reference runs both branches of guidance as one batch with one state; here each has its own.

usage: python3 scripts/step_cache_cases.py
needs: pip install torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 sentencepiece protobuf
"""

import json
from pathlib import Path

import diffusers
import torch
from diffusers.hooks import FirstBlockCacheConfig
from safetensors.torch import save_file

DATA = Path(__file__).resolve().parent.parent / "tests/data"
OUT = DATA / "step_cache"
# The small checkpoints have random weights, whose first block changes much from step to step.
CASES = {"nano_t2v": dict(thresholds=[0.1, 0.2], steps=20), "ltx_090_t2v": dict(thresholds=[0.5, 0.6], steps=12),
         "cogvideox_2b_t2v": dict(thresholds=[0.8, 1.0], steps=12),
         "cogvideox_5b_t2v": dict(thresholds=[0.8, 1.0], steps=12), "mochi_t2v": dict(thresholds=[0.6, 0.8], steps=12)}


def cut(value, row, batch):
    whole = torch.is_tensor(value) and value.dim() > 0 and value.shape[0] == batch
    return value[row : row + 1] if whole else value


def alone(transformer, calls):
    """Lets the transformer see each row of a batch alone, in a context of its own; counts its calls and those that ran all blocks."""
    forward = transformer.forward

    def rows(*args, **kwargs):
        batch, out = kwargs["hidden_states"].shape[0], []
        for row in range(batch):
            with transformer.cache_context(f"row {row}"):
                own = {key: cut(value, row, batch) for key, value in kwargs.items()}
                out.append(forward(*args, **own)[0])
            calls["all"] += 1
        return (torch.cat(out),)

    transformer.forward = rows
    # Of a block that is spared nothing runs.
    transformer.transformer_blocks[-1].attn1.register_forward_hook(
        lambda *_: calls.__setitem__("whole", calls["whole"] + 1))


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    tensors, described = {}, {}
    for name, settings in CASES.items():
        folder = DATA / "cases" / name
        case = json.loads((folder / "case.json").read_text())
        arguments = case["arguments"] | {"num_inference_steps": settings["steps"]}
        described[name] = dict(steps=settings["steps"], runs=[])
        for threshold in settings["thresholds"]:
            pipe = getattr(diffusers, case["pipeline"]).from_pretrained(folder / case["checkpoint"],
                                                                        torch_dtype=torch.float32)
            pipe.set_progress_bar_config(disable=True)
            calls = {"all": 0, "whole": 0}
            alone(pipe.transformer, calls)
            pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
            torch.manual_seed(case["global_seed"])
            latents = pipe(prompt=case["prompt"], negative_prompt=case["negative_prompt"], output_type="latent",
                           generator=torch.Generator().manual_seed(case["seed"]), **arguments)[0]
            key = f"{name}.{threshold}"
            tensors[key] = latents.contiguous()
            described[name]["runs"].append(dict(threshold=threshold, tensor=key, calls=calls["all"],
                                                whole=calls["whole"]))
            print(key, tuple(latents.shape), calls)
    save_file(tensors, OUT / "tensors.safetensors")
    (OUT / "tensors.safetensors").chmod(0o644)
    (OUT / "cases.json").write_text(json.dumps(described, indent=2) + "\n")


main()
