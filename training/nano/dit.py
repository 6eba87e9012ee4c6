"""configs of the text encoder and the transformer, and attention for training"""

import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.models.transformers.transformer_ltx import apply_rotary_emb
from transformers import T5Config, T5EncoderModel
from vae import CHANNELS

T5 = dict(
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
DIT = dict(
    in_channels=CHANNELS,
    out_channels=CHANNELS,
    patch_size=1,
    patch_size_t=1,
    num_attention_heads=4,
    attention_head_dim=64,
    cross_attention_dim=256,
    num_layers=6,
    activation_fn="gelu-approximate",
    qk_norm="rms_norm_across_heads",
    norm_elementwise_affine=False,
    norm_eps=1e-6,
    caption_channels=128,
    attention_bias=True,
    attention_out_bias=True,
)

SHIFT = 5.0  # of the scheduler: where and what an actor is is decided at noise levels from 1 to .65


def make_t5(vocabulary):
    t5 = T5EncoderModel(T5Config(vocab_size=vocabulary, **T5))
    t5.shared.weight.data.normal_(0, 1.0)
    look_around(t5)
    return t5


def look_around(t5):
    """Each head begins with a direction: the neighbours, what comes later, what came before, all. By the rates of training
    its biases would take thousands of steps to tell before from behind, and until then who is who in a caption."""
    bias = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.data  # [buckets, heads]
    half = len(bias) // 2
    distance = torch.cat([-torch.arange(half), torch.arange(half)])  # later tokens have the upper half of the buckets
    bias.zero_()
    bias[:, 0] = -1.5 * distance.abs()
    bias[:, 1] = torch.where(distance > 0, 0.0, -4.0)
    bias[:, 2] = torch.where(distance < 0, 0.0, -4.0)


def make_dit():
    """starts as the identity, nearly: its output is zero, the gates are small"""
    dit = LTXVideoTransformer3DModel(**DIT)
    dit.proj_out.weight.data.zero_()
    dit.proj_out.bias.data.zero_()
    dit.time_embed.linear.weight.data.mul_(0.1)
    for b in dit.transformer_blocks:
        b.scale_shift_table.data.mul_(0.3)
        b.attn1.to_out[0].weight.data.mul_(0.5)
        b.attn2.to_out[0].weight.data.mul_(0.5)
        b.attn1.set_processor(Attention())
        b.attn2.set_processor(Attention())
    return dit


class Attention:
    """the same maths as LTXVideoAttnProcessor, in operations that compile well"""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
        kv = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(kv)), attn.to_v(kv)
        if image_rotary_emb is not None:
            q, k = apply_rotary_emb(q, image_rotary_emb), apply_rotary_emb(k, image_rotary_emb)
        q, k, v = (t.unflatten(2, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
        with torch.autocast("cpu", enabled=False):  # which would keep the scores in f32 for the way back
            s = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
            if attention_mask is not None:
                s = s + attention_mask[:, None].to(s.dtype)  # a bias [B, 1, 1, L]
            o = s.softmax(-1) @ v
        return attn.to_out[1](attn.to_out[0](o.transpose(1, 2).flatten(2, 3)))
