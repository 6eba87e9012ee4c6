"""training-time attention processor: the same maths as diffusers' LTXVideoAttnProcessor with plain matmuls
(CPU flash attention's backward costs a quarter of a step at 64 tokens)"""

import torch
from diffusers.models.transformers.transformer_ltx import apply_rotary_emb


class FastProc:
    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
        kv = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(kv)), attn.to_v(kv)
        if image_rotary_emb is not None:
            q, k = apply_rotary_emb(q, image_rotary_emb), apply_rotary_emb(k, image_rotary_emb)
        h = attn.heads
        q, k, v = (t.unflatten(2, (h, -1)).transpose(1, 2) for t in (q, k, v))
        s = (q @ k.transpose(-1, -2)) * (q.shape[-1] ** -0.5)
        if attention_mask is not None:
            s = s + attention_mask[:, None]  # [B,1,1,L] bias
        o = (s.softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2, 3)
        return attn.to_out[1](attn.to_out[0](o))


def install(dit):
    for b in dit.transformer_blocks:
        b.attn1.set_processor(FastProc())
        b.attn2.set_processor(FastProc())


def uninstall(dit):
    from diffusers.models.transformers.transformer_ltx import LTXVideoAttnProcessor

    for b in dit.transformer_blocks:
        b.attn1.set_processor(LTXVideoAttnProcessor())
        b.attn2.set_processor(LTXVideoAttnProcessor())
