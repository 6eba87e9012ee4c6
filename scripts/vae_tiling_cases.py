#!/usr/bin/env python3
"""Makes tests/data/vae_tiling: what the reference's LTX-Video autoencoder gives in tiles.

Its checkpoints are those of tests/data/cases. Inputs are draws of torch's generator with the case's seed: latents by
randn, videos by rand in -1..1; the global generator has the seed above. Of pictures every fifth row and column is kept.

usage: python3 scripts/vae_tiling_cases.py
needs: pip install torch==2.13.0 diffusers==0.42.1 transformers==5.23.0
"""

import json
from pathlib import Path
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKLLTXVideo
from diffusers.pipelines.ltx.pipeline_ltx_i2v_long_multi_prompt import LTXI2VLongMultiPromptPipeline
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/data/vae_tiling"
STEP = 5


def sizes(height, stride_height, width, stride_width):
    return dict(use_tiling=True, tile_sample_min_height=height, tile_sample_stride_height=stride_height,
                tile_sample_min_width=width, tile_sample_stride_width=stride_width)


def frames(count, stride):
    return dict(use_framewise_decoding=True, tile_sample_min_num_frames=count, tile_sample_stride_num_frames=stride)


DECODE = [
    ("090", (2, 5, 7), sizes(64, 32, 96, 64), None),
    ("090", (1, 2, 5), sizes(512, 448, 96, 32), None),
    ("090", (1, 5, 3), sizes(96, 32, 512, 448), None),
    ("090", (1, 5, 5), sizes(64, 96, 96, 100), None),
    ("091", (2, 4, 5), sizes(96, 64, 64, 32), 0.05),
    ("095", (1, 5, 4), sizes(80, 50, 100, 70), 0.3),
    ("090", (7, 1, 2), frames(16, 8), None),
    ("090", (6, 2, 1), frames(24, 16), None),
    ("095", (5, 1, 1), frames(20, 12), 0.1),
    ("090", (4, 1, 1), frames(4, 8), None),
    ("091", (4, 3, 2), frames(16, 8) | sizes(64, 32, 64, 32), 0.7),
    ("091", (4, 2, 1), frames(16, 8), 0.0),
]
ENCODE = [
    ("090", (9, 96, 160), sizes(64, 32, 96, 64)),
    ("095", (9, 160, 64), sizes(96, 64, 64, 32)),
    ("090", (1, 100, 136), sizes(72, 40, 60, 36)),
    ("091", (25, 32, 64), frames(16, 8)),
    ("095", (33, 64, 32), frames(24, 16)),
    ("090", (26, 64, 32), frames(20, 12)),
    ("095", (17, 96, 64), frames(8, 8) | sizes(64, 32, 64, 32)),
]
FADED = [
    ("090", (1, 4, 7), dict(vertical_tiles=2, horizontal_tiles=3, overlap=1), {}),
    ("090", (2, 2, 5), dict(vertical_tiles=1, horizontal_tiles=2, overlap=2, last_frame_fix=False), {}),
    ("091", (1, 3, 2), dict(vertical_tiles=2, horizontal_tiles=1, overlap=1, decode_timestep=0.05,
                            decode_noise_scale=0.025), {}),
    ("095", (1, 4, 3), dict(vertical_tiles=2, horizontal_tiles=1, overlap=0), {}),
    ("091", (2, 4, 6), dict(vertical_tiles=1, horizontal_tiles=2, overlap=2, decode_timestep=0.2),
     sizes(96, 64, 64, 32)),
    ("090", (1, 1, 3), dict(vertical_tiles=1, horizontal_tiles=4, overlap=3), {}),
    ("090", (1, 2, 3), dict(vertical_tiles=1, horizontal_tiles=1, overlap=3), {}),
]


def vae_of(version, options):
    folder = ROOT / f"tests/data/cases/ltx_{version}_t2v/checkpoint/vae"
    vae = AutoencoderKLLTXVideo.from_pretrained(folder, torch_dtype=torch.float32).eval()
    for name, value in options.items():
        assert hasattr(vae, name), name
        setattr(vae, name, value)
    return vae


def sampled(pixels):
    return pixels[0, :, :, ::STEP, ::STEP].contiguous()


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    cases, tensors = [], {}

    def record(kind, version, shape, options, tensor, **more):
        name = f"{kind}.{len(cases)}"
        cases.append(dict(name=name, kind=kind, checkpoint=f"ltx_{version}_t2v", seed=seed, shape=shape, tiling=options,
                          **more))
        tensors[name] = tensor.contiguous().clone()

    for version, shape, options, timestep in DECODE:
        seed, vae = 100 + len(cases), vae_of(version, options)
        shape = (1, vae.config.latent_channels, *shape)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        torch.manual_seed(seed + 1)
        out = vae.decode(latents, None if timestep is None else torch.tensor([timestep])).sample
        record("decode", version, shape, options, sampled(out), timestep=timestep, decoded=out.shape)
    for version, shape, options in ENCODE:
        seed, vae = 100 + len(cases), vae_of(version, options)
        shape = (1, 3, *shape)
        video = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        record("encode", version, shape, options, vae.encode(video).latent_dist.parameters[0])
    for version, shape, arguments, options in FADED:
        seed, vae = 100 + len(cases), vae_of(version, options)
        shape = (1, vae.config.latent_channels, *shape)
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(shape, generator=generator)
        torch.manual_seed(seed + 1)
        pipe = SimpleNamespace(vae=vae, _execution_device="cpu",
                               vae_temporal_compression_ratio=vae.temporal_compression_ratio,
                               vae_spatial_compression_ratio=vae.spatial_compression_ratio)
        out = LTXI2VLongMultiPromptPipeline.vae_decode_tiled(pipe, latents, generator=generator, auto_denormalize=False,
                                                             **arguments)
        record("faded", version, shape, options, sampled(out), arguments=arguments, decoded=out.shape)

    OUT.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT / "tensors.safetensors")
    text = ",\n".join("  " + json.dumps(case) for case in cases)
    (OUT / "cases.json").write_text(f"[\n{text}\n]\n")
    print(sum(t.numel() * 4 for t in tensors.values()), "bytes in", len(cases), "cases")


main()
