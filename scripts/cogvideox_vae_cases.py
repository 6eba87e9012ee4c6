#!/usr/bin/env python3
"""Makes tests/data/cogvideox_vae: what the reference's CogVideoX autoencoder gives for clips of many lengths, for sizes
that do not divide evenly, in tiles, and for designs that nobody published.

Inputs are draws of torch's generator with the case's seed: latents by randn, videos by rand in -1..1. Of pictures every
third row and column is kept.

usage: python3 scripts/cogvideox_vae_cases.py
needs: pip install torch==2.13.0 diffusers==0.42.1
"""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKLCogVideoX
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/data/cogvideox_vae"
PUBLISHED = ROOT / "tests/data/cases/cogvideox_2b_t2v/checkpoint/vae"
STEP = 3


def types(count):
    return dict(down_block_types=("CogVideoXDownBlock3D",) * count, up_block_types=("CogVideoXUpBlock3D",) * count)


DESIGNS = {
    # Half the time, a quarter of the size, and the convolutions around the latents.
    "short": dict(block_out_channels=(4, 6, 8), layers_per_block=2, norm_num_groups=2, latent_channels=3,
                  temporal_compression_ratio=2, norm_eps=1e-3, use_quant_conv=True, use_post_quant_conv=True,
                  sample_height=32, sample_width=48, **types(3)),
    # An eighth of the time, one channel in and two out.
    "long": dict(in_channels=1, out_channels=2, block_out_channels=(3, 3, 6, 9), layers_per_block=1, norm_num_groups=3,
                 latent_channels=5, temporal_compression_ratio=8, **types(4)),
}


def tiles(height, width, overlap_height=None, overlap_width=None):
    return dict(tile_sample_min_height=height, tile_sample_min_width=width, tile_overlap_factor_height=overlap_height,
                tile_overlap_factor_width=overlap_width)


DECODE = [("published", (1, 3, 4), None), ("published", (2, 2, 3), None), ("published", (4, 1, 1), None),
          ("published", (7, 3, 2), None), ("published", (3, 5, 7), tiles(16, 24)),
          ("published", (2, 7, 5), tiles(24, 16, 0.5, 0.4)), ("published", (1, 3, 9), tiles(64, 32, 0.3, 0.7)),
          ("short", (5, 3, 3), None), ("short", (2, 4, 9), tiles(None, 20)), ("long", (3, 2, 3), None),
          ("long", (4, 1, 2), None)]
ENCODE = [("published", (1, 24, 16), None), ("published", (2, 9, 15), None), ("published", (5, 20, 28), None),
          ("published", (10, 16, 17), None), ("published", (17, 16, 8), None), ("published", (9, 38, 56), tiles(16, 24)),
          ("published", (1, 56, 44), tiles(24, 16, 0.5, 0.4)), ("short", (9, 13, 22), None),
          ("short", (8, 40, 16), tiles(20, None, 0.3)), ("long", (17, 8, 19), None), ("long", (14, 11, 8), None)]


def design(name, seed):
    """An autoencoder with random weights under which every parameter matters, saved in f32."""
    vae = AutoencoderKLCogVideoX(**DESIGNS[name]).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in sorted(vae.named_parameters()):
            scale = p[0].numel() ** -0.5 if p.dim() > 1 else 0.3
            p.copy_(torch.randn(p.shape, generator=generator) * scale)
            if p.dim() == 1 and key.endswith("weight"):
                p.add_(1)
    vae.save_pretrained(OUT / name)
    return vae


def main():
    torch.set_num_threads(1)
    vaes = {"published": AutoencoderKLCogVideoX.from_pretrained(PUBLISHED, torch_dtype=torch.float32).eval()}
    for seed, name in enumerate(DESIGNS):
        vaes[name] = design(name, seed)
    tensors, cases = {}, []
    for way, list_of in (("decode", DECODE), ("encode", ENCODE)):
        for i, (name, shape, tiling) in enumerate(list_of):
            # A fresh one: enable_tiling() keeps what it was told before.
            vae = AutoencoderKLCogVideoX.from_config(vaes[name].config).eval()
            vae.load_state_dict(vaes[name].state_dict())
            if tiling:
                vae.enable_tiling(**tiling)
            generator = torch.Generator().manual_seed(100 + i)
            with torch.no_grad():
                if way == "decode":
                    z = torch.randn((1, vae.config.latent_channels, *shape), generator=generator)
                    out = vae.decode(z).sample[..., ::STEP, ::STEP]
                else:
                    x = torch.rand((1, vae.config.in_channels, *shape), generator=generator) * 2 - 1
                    out = vae.encode(x).latent_dist.parameters
            tensors[f"{way}.{i}"] = out[0].contiguous()
            cases.append(dict(name=f"{way}.{i}", design=name, shape=shape, seed=100 + i, tiling=tiling or {}))
    save_file(tensors, OUT / "tensors.safetensors")
    (OUT / "case.json").write_text(json.dumps(dict(step=STEP, cases=cases), indent=1) + "\n")


if __name__ == "__main__":
    main()
