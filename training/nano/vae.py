"""The autoencoder: its config, and one training pass of it.

16x16x4 pixels become one latent position of 96 channels. The encoder is little more than linear; the decoder has its
depth at 8x8x2, where convolutions are cheap."""

import torch
from diffusers import AutoencoderKLLTXVideo

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=96,
    block_out_channels=(64, 128, 256),  # 16 values a 4x4 patch, then 32 a block of 8x8x2
    down_block_types=("LTXVideo095DownBlock3D",) * 2,
    downsample_type=("spatiotemporal",) * 2,
    spatio_temporal_scaling=(True, True),
    layers_per_block=(0, 1, 0),
    decoder_block_out_channels=(64, 128),
    decoder_layers_per_block=(1, 3, 0),
    decoder_spatio_temporal_scaling=(True, True),
    decoder_inject_noise=(False,) * 3,
    upsample_residual=(True, True),
    upsample_factor=(1, 2),
    timestep_conditioning=False,
    patch_size=4,
    patch_size_t=1,
    encoder_causal=True,
    decoder_causal=False,
    spatial_compression_ratio=16,
    temporal_compression_ratio=4,
)
CHANNELS, STEP_S, STEP_T = CONFIG["latent_channels"], 16, 4


def make(path=None):
    """path: a state that train_vae.py has written"""
    vae = AutoencoderKLLTXVideo(**CONFIG)
    if path:
        vae.load_state_dict({k: v.float() for k, v in torch.load(path)["vae"].items()})
    return vae.to(memory_format=torch.channels_last_3d)  # twice as fast in bf16, once compiled


def tensor(clips):
    """uint8 clips [F, H, W, 3] -> [B, 3, F, H, W] in -1..1"""
    return torch.stack([torch.from_numpy(c) for c in clips]).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def pixels(x):
    """the way back"""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()


@torch.no_grad()
def encode(vae, clips):
    """the posterior of uint8 clips"""
    with torch.autocast("cpu", torch.bfloat16):
        return vae.encode(tensor(clips)).latent_dist


@torch.no_grad()
def reconstruct(vae, clips, exact=False):
    """uint8 clips after a way through the autoencoder, in bf16 or exactly"""
    with torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        return pixels(vae.decode(vae.encode(tensor(clips)).latent_dist.mode()).sample.float())


def psnr(a, b):
    """of two uint8 clips, in dB"""
    return float(
        -10 * torch.log10(((torch.from_numpy(a).float() - torch.from_numpy(b).float()) / 255).square().mean() + 1e-12)
    )
