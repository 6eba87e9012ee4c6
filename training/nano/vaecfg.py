"""the VAE's config"""

from diffusers import AutoencoderKLLTXVideo

CFG = dict(
    in_channels=3,
    out_channels=3,
    latent_channels=128,
    block_out_channels=(32, 64, 128, 128),
    down_block_types=("LTXVideo095DownBlock3D",) * 3,
    downsample_type=("spatiotemporal",) * 3,
    spatio_temporal_scaling=(True, True, True),
    layers_per_block=(0, 1, 1, 1),
    decoder_block_out_channels=(64, 64, 128),
    decoder_layers_per_block=(1, 1, 2, 1),
    decoder_spatio_temporal_scaling=(True, True, True),
    decoder_inject_noise=(False,) * 4,
    upsample_residual=(True,) * 3,
    upsample_factor=(2, 1, 2),
    timestep_conditioning=False,
    patch_size=4,
    patch_size_t=1,
    encoder_causal=True,
    decoder_causal=False,
    spatial_compression_ratio=32,
    temporal_compression_ratio=8,
)


def make(**kw):
    return AutoencoderKLLTXVideo(**{**CFG, **kw})
