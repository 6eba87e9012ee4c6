#!/usr/bin/env python3
"""Makes tests/data/two_pass: what the reference's recipe of LTX-Video 0.9.7 and 0.9.8 for large videos gives with the
small checkpoints of the cases: a draft, its latents enlarged, a few steps that refine them, frames scaled to the size
that was asked for (diffusers docs/source/en/api/pipelines/ltx_video.md).

usage: python3 scripts/two_pass_cases.py
needs: pip install torch==2.13.0 diffusers==0.42.1 transformers==5.23.0 sentencepiece protobuf
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import LTXConditionPipeline, LTXLatentUpsamplePipeline
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from PIL import Image
from safetensors.torch import save_file

DATA = Path(__file__).resolve().parent.parent / "tests/data"
OUT = DATA / "two_pass"
MODEL, UPSCALER = "cases/ltx_098_distilled_t2v/checkpoint", "cases/ltx_upsample/checkpoint"
PICTURE = "cases/ltx_095_condition/image.png"

COMMON = dict(prompt="A red sailboat drifts left across the sea at sunset, slow dolly in.", negative_prompt="blurry",
              num_frames=9, frame_rate=25, max_sequence_length=48, decode_timestep=0.05, decode_noise_scale=0.025)
CASES = {
    # As the documentation has it for the distilled model; the result is scaled down in the end.
    "distilled": dict(width=192, height=128, draft_scale=2 / 3, seed=3, global_seed=4, picture=False,
                      first=dict(timesteps=[1000, 993, 981, 909, 725, 0.03], guidance_scale=1.0,
                                 image_cond_noise_scale=0.0),
                      upsample=dict(adain_factor=1.0, tone_map_compression_ratio=0.6),
                      second=dict(timesteps=[1000, 909, 725, 421, 0], denoise_strength=0.999)),
    # As it has it for the full model, with a picture as the first frame.
    "full": dict(width=128, height=128, draft_scale=0.5, seed=5, global_seed=6, picture=True,
                 first=dict(num_inference_steps=4, guidance_scale=3.0, guidance_rescale=0.7,
                            image_cond_noise_scale=0.025),
                 upsample=dict(adain_factor=0.0, tone_map_compression_ratio=0.0),
                 second=dict(num_inference_steps=10, denoise_strength=0.4)),
}


def main():
    torch.set_num_threads(1)
    pipe = LTXConditionPipeline.from_pretrained(DATA / MODEL, torch_dtype=torch.float32)
    upsampler = LTXLatentUpsamplerModel.from_pretrained(DATA / UPSCALER / "latent_upsampler",
                                                        torch_dtype=torch.float32)
    enlarge = LTXLatentUpsamplePipeline(vae=pipe.vae, latent_upsampler=upsampler)
    for p in (pipe, enlarge):
        p.set_progress_bar_config(disable=True)
    tensors, described = {}, {}
    cell = pipe.vae_spatial_compression_ratio
    for name, case in CASES.items():
        width, height = (int(case[side] * case["draft_scale"]) // cell * cell for side in ("width", "height"))
        picture = Image.open(DATA / PICTURE).convert("RGB")
        torch.manual_seed(case["global_seed"])

        def run(**more):
            if case["picture"]:
                more["conditions"] = [LTXVideoCondition(image=picture, frame_index=0)]
            return pipe(generator=torch.Generator().manual_seed(case["seed"]), **COMMON, **case["first"] | more)

        draft = run(width=width, height=height, output_type="latent").frames
        upsampled = enlarge(latents=draft, output_type="latent", **case["upsample"]).frames
        refinement = case["second"] | dict(width=2 * width, height=2 * height, latents=upsampled)
        if "timesteps" in case["first"] and "timesteps" not in refinement:
            refinement["timesteps"] = None
        video = run(output_type="pil", **refinement).frames[0]
        frames = [np.asarray(frame.resize((case["width"], case["height"]))) for frame in video]
        tensors |= {f"{name}.draft": draft, f"{name}.upsampled": upsampled,
                    f"{name}.frames": torch.from_numpy(np.stack(frames))}
        described[name] = case | dict(common=COMMON, model=MODEL, upscaler=UPSCALER, image=PICTURE)
    OUT.mkdir(parents=True, exist_ok=True)
    save_file({name: t.contiguous() for name, t in tensors.items()}, OUT / "tensors.safetensors")
    (OUT / "cases.json").write_text(json.dumps(described, indent=2) + "\n")
    print({name: tuple(t.shape) for name, t in tensors.items()})


main()
