#!/usr/bin/env python3
"""Makes tests/data/latent_upsampler: what the reference's LTX-Video latent upsampler and its pipeline's filters give.

Weights and inputs are draws of torch's generator that the test makes again: each tensor's seed is the hash of its name.

usage: python3 scripts/latent_upsampler_cases.py
needs: pip install torch==2.13.0 diffusers==0.42.1 transformers==5.23.0
"""

import json
from pathlib import Path

import torch
from diffusers import LTXLatentUpsamplePipeline
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from safetensors.torch import save_file

OUT = Path(__file__).resolve().parent.parent / "tests/data/latent_upsampler"

MODELS = [
    (dict(in_channels=4, mid_channels=32, num_blocks_per_stage=1, dims=3), (1, 3, 4, 5)),
    (dict(in_channels=6, mid_channels=64, num_blocks_per_stage=2, dims=2), (2, 3, 3, 2)),
    (dict(in_channels=5, mid_channels=32, num_blocks_per_stage=1, dims=3, spatial_upsample=False,
          temporal_upsample=True), (2, 4, 3, 4)),
    (dict(in_channels=4, mid_channels=32, num_blocks_per_stage=0, dims=3, temporal_upsample=True), (1, 2, 2, 3)),
    (dict(in_channels=3, mid_channels=96, num_blocks_per_stage=1, dims=3, temporal_upsample=True), (2, 1, 1, 2)),
    (dict(in_channels=4, mid_channels=224, num_blocks_per_stage=0, dims=3), (1, 1, 2, 2)),
]
ADAIN = [0.3, 0.5, 0.8, 1.0, -2.5]
TONE_MAP = [0.25, 1.0]


def seed_of(name):
    value = 0
    for byte in name.encode():
        value = (value * 31 + byte) % 2**32
    return value


def draw(name, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed_of(name)))


def weight(name, shape):
    """Kernels by their fan-in, gains near 1, biases near 0."""
    values = draw(name, shape)
    if len(shape) > 1:
        return values * torch.tensor((shape[0] / values.numel()) ** 0.5)
    return 1 + values * 0.25 if name.endswith("weight") else values * 0.25


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    cases, tensors = [], {}
    for i, (config, shape) in enumerate(MODELS):
        model = LTXLatentUpsamplerModel(**config).eval()
        model.load_state_dict({name: weight(name, tuple(t.shape)) for name, t in model.state_dict().items()})
        batch, *rest = shape
        shape = (batch, config["in_channels"], *rest)
        tensors[f"model.{i}"] = model(draw(f"latents.{i}", shape))
        cases.append(dict(config=config, shape=shape))
    latents, reference = draw("latents", (2, 3, 2, 3, 2)) * 2 + 1, draw("reference", (2, 3, 3, 2, 2))
    for factor in ADAIN:
        tensors[f"adain.{factor}"] = LTXLatentUpsamplePipeline.adain_filter_latent(None, latents, reference, factor)
    for compression in TONE_MAP:
        tensors[f"tone_map.{compression}"] = LTXLatentUpsamplePipeline.tone_map_latents(None, latents, compression)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in tensors.items()}, OUT / "tensors.safetensors")
    text = ",\n".join("  " + json.dumps(case) for case in cases)
    (OUT / "cases.json").write_text(f"[\n{text}\n]\n")
    print(sum(t.numel() * 4 for t in tensors.values()), "bytes")


main()
