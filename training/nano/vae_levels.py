"""usage: vae_levels.py   how far a shallower autoencoder gets in a minute or two on tiny crops"""

import time
import torch, numpy as np
from vaecfg import CFG
from diffusers import AutoencoderKLLTXVideo
from muon import Muon

torch.set_num_threads(2)
torch.manual_seed(0)
rng = np.random.default_rng(0)
d = np.fromfile("work/clips.u8", np.uint8, count=500 * 25 * 128 * 128 * 3).reshape(500, 25, 128, 128, 3)
v = np.fromfile("work/val.u8", np.uint8, count=8 * 25 * 128 * 128 * 3).reshape(8, 25, 128, 128, 3)
T = lambda a: torch.from_numpy(np.ascontiguousarray(a)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def run(name, secs, **kw):
    m = AutoencoderKLLTXVideo(**{**CFG, **kw})
    mu = [p for n, p in m.named_parameters() if p.ndim == 5 and "coder.conv_in" not in n and "coder.conv_out" not in n]
    k = {id(p) for p in mu}
    rest = [p for p in m.parameters() if id(p) not in k]
    o = [Muon(mu, 2e-3), torch.optim.AdamW(rest, lr=1e-3)]
    t0 = time.time()
    s = 0
    nxt = 30
    while time.time() - t0 < secs:
        f = (time.time() - t0) / secs
        o[0].param_groups[0]["lr"] = 2e-3 * min(1, (1.02 - f) / 0.6)
        o[1].param_groups[0]["lr"] = 1e-3 * min(1, (1.02 - f) / 0.6)
        t = rng.integers(0, 17)
        x = T(
            np.stack(
                [
                    d[i, t : t + 5, yy : yy + 32, xx : xx + 32]
                    for i, yy, xx in zip(rng.integers(0, 500, 16), rng.integers(0, 97, 16), rng.integers(0, 97, 16))
                ]
            )
        )
        with torch.autocast("cpu", torch.bfloat16):
            y = m.decode(m.encode(x).latent_dist.mode()).sample
        e = y.float() - x
        l = e.abs().mean() + 0.5 * e.square().mean()
        m.zero_grad()
        l.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        [q.step() for q in o]
        s += 1
        if time.time() - t0 > nxt or time.time() - t0 > secs:
            nxt += 30
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                p = m.encode(T(v)).latent_dist.mode()
                y = m.decode(p).sample.float().clamp(-1, 1)
            print(
                name,
                "%.0fs step %d" % (time.time() - t0, s),
                "latents",
                tuple(p.shape[1:]),
                "PSNR %.2f" % (-10 * ((y - T(v)) / 2).square().mean((1, 2, 3, 4)).log10()).mean().item(),
                flush=True,
            )


one = dict(
    down_block_types=("LTXVideo095DownBlock3D",),
    downsample_type=("spatiotemporal",),
    spatio_temporal_scaling=(True,),
    decoder_spatio_temporal_scaling=(True,),
    decoder_inject_noise=(False,) * 2,
    upsample_residual=(True,),
    spatial_compression_ratio=8,
    temporal_compression_ratio=2,
)
run(
    "outer only, 16 crops 5x32x32 (8x space, 2x time)",
    80,
    latent_channels=64,
    block_out_channels=(32, 64),
    layers_per_block=(0, 1),
    decoder_block_out_channels=(64,),
    decoder_layers_per_block=(1, 1),
    upsample_factor=(2,),
    **one
)
