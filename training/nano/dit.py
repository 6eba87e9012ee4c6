"""text encoder + transformer configs, and a plain Euler CFG sampler for quick looks (same maths as LTXPipeline)"""

import torch
from transformers import T5Config, T5EncoderModel
from diffusers import LTXVideoTransformer3DModel

MAXLEN, FR = 48, 12
T5CFG = dict(
    d_model=128,
    d_kv=32,
    num_heads=4,
    d_ff=256,
    num_layers=3,
    feed_forward_proj="gated-gelu",
    dropout_rate=0.0,
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    tie_word_embeddings=False,
    is_encoder_decoder=False,
    use_cache=False,
    pad_token_id=0,
    eos_token_id=1,
    decoder_start_token_id=0,
)
DITCFG = dict(
    in_channels=128,
    out_channels=128,
    patch_size=1,
    patch_size_t=1,
    num_attention_heads=4,
    attention_head_dim=64,
    cross_attention_dim=256,
    num_layers=5,
    activation_fn="gelu-approximate",
    qk_norm="rms_norm_across_heads",
    norm_elementwise_affine=False,
    norm_eps=1e-6,
    caption_channels=128,
    attention_bias=True,
    attention_out_bias=True,
)
ROPE = (8 / FR, 32, 32)


def make_t5(vocab):
    return T5EncoderModel(T5Config(vocab_size=vocab, **T5CFG))


def make_dit():
    return LTXVideoTransformer3DModel(**DITCFG)


@torch.no_grad()
def sample(t5, dit, ids, mask, uids, umask, steps=20, cfg=3.0, shift=1.0, gen=None, noise=None):
    """ids, mask [B,L]; returns normalised latents [B,64 tokens,C]"""
    B = len(ids)
    e = torch.cat([t5(uids.expand(B, -1))[0], t5(ids)[0]])
    m = torch.cat([umask.expand(B, -1), mask])
    x = torch.randn(B, 64, DITCFG["in_channels"], generator=gen) if noise is None else noise
    s = torch.linspace(1, 1 / steps, steps)
    s = shift * s / (1 + (shift - 1) * s)
    s = torch.cat([s, s.new_zeros(1)])
    for i in range(steps):
        v = dit(
            hidden_states=torch.cat([x, x]),
            encoder_hidden_states=e,
            timestep=(s[i] * 1000).expand(2 * B),
            encoder_attention_mask=m,
            num_frames=4,
            height=4,
            width=4,
            rope_interpolation_scale=ROPE,
            return_dict=False,
        )[0].float()
        u, c = v.chunk(2)
        x = x + (s[i + 1] - s[i]) * (u + cfg * (c - u))
    return x


def unpack(x, mean, std):
    z = x.reshape(len(x), 4, 4, 4, -1).permute(0, 4, 1, 2, 3)
    return z * std.view(1, -1, 1, 1, 1) + mean.view(1, -1, 1, 1, 1)
