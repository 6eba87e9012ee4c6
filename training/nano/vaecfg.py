"""the configs of the autoencoder: CFG is the present one, 32x32x8; NEXT the one that is to replace it, 16x16x4"""

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

NEXT = {
    **CFG,
    **dict(
        latent_channels=64,
        block_out_channels=(64, 128, 256),  # 16 values a 4x4 patch, then 32 a block of 8x8x2
        down_block_types=("LTXVideo095DownBlock3D",) * 2,
        downsample_type=("spatiotemporal",) * 2,
        spatio_temporal_scaling=(True, True),
        layers_per_block=(1, 1, 0),
        decoder_block_out_channels=(64, 128),
        decoder_layers_per_block=(2, 2, 0),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False,) * 3,
        upsample_residual=(True, True),
        upsample_factor=(1, 2),
        spatial_compression_ratio=16,
        temporal_compression_ratio=4,
    ),
}


def make(**kw):
    return AutoencoderKLLTXVideo(**{**CFG, **kw})
