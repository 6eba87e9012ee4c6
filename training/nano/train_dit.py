"""usage: train_dit.py minutes latents_prefix out.pt [batch]

trains T5 encoder + LTX transformer jointly, flow matching on v = noise - x0"""

import sys, os, time, math, json, numpy as np, torch, torch.nn.functional as F
from transformers import T5TokenizerFast
from dit import *
from fastattn import install
from muon import Muon
from world import caption, make_spec

MIN, PRE, OUT = float(sys.argv[1]), sys.argv[2], sys.argv[3]
B = int(sys.argv[4]) if len(sys.argv) > 4 else 64
OPT, LR = os.environ.get("OPT", "muon"), float(os.environ.get("LR", "3e-3"))
T = float(os.environ.get("LOGN", "1.0"))
torch.manual_seed(0)
torch.set_num_threads(2)
g = torch.Generator().manual_seed(1)
st = torch.load(PRE + ".stats.pt")
mean, std = st["mean"], st["std"]
lat = torch.from_numpy(np.load(PRE + ".npy")).float()
N = len(lat)  # [N, 64 tokens, C], raw means
lat = ((lat - mean) / std).to(torch.bfloat16)
nval = 256
seeds = np.load(PRE + ".seeds.npy")
NV = 4
tok = T5TokenizerFast.from_pretrained("work/tok")
cap = [caption(make_spec(int(s)), v) for s in seeds for v in range(NV)]
t = tok(cap, padding="max_length", max_length=MAXLEN, truncation=True, return_tensors="pt")
ids = t.input_ids.view(N, NV, -1)
msk = t.attention_mask.view(N, NV, -1)
u = tok([""], padding="max_length", max_length=MAXLEN, return_tensors="pt")
uids, umask = u.input_ids, u.attention_mask
t5, dit = make_t5(len(tok)), make_dit()
with torch.no_grad():
    for p in (dit.proj_out.weight, dit.proj_out.bias):
        p.zero_()
    for b in dit.transformer_blocks:
        b.scale_shift_table.mul_(0.3)
        b.attn1.to_out[0].weight.mul_(0.5)
        b.attn2.to_out[0].weight.mul_(0.5)
    dit.time_embed.linear.weight.mul_(0.1)
    t5.shared.weight.normal_(0, 1.0)
print(
    "params dit %.2fM t5 %.2fM  N %d"
    % (sum(p.numel() for p in dit.parameters()) / 1e6, sum(p.numel() for p in t5.parameters()) / 1e6, N),
    flush=True,
)
named = [("t5." + n, p) for n, p in t5.named_parameters()] + [("dit." + n, p) for n, p in dit.named_parameters()]
mu = (
    [
        p
        for n, p in named
        if p.ndim == 2 and ("blocks" in n or "block." in n) and "table" not in n and "relative" not in n
    ]
    if OPT == "muon"
    else []
)
ids_mu = {id(p) for p in mu}
ad = [p for n, p in named if id(p) not in ids_mu]
opts = [torch.optim.AdamW(ad, lr=LR * (0.5 if OPT == "muon" else 1), betas=(0.9, 0.98), weight_decay=0.01)]
if mu:
    opts.append(Muon(mu, LR))
base = [o.param_groups[0]["lr"] for o in opts]
ema = {n: p.detach().clone() for n, p in named}
install(dit)
LT = 28
assert int(msk.sum(-1).max()) <= LT


def model(w, x, m, tt):
    e = t5(w)[0][:, :LT]  # T5 sees the padding (no mask), as in LTXPipeline
    return dit(
        hidden_states=x,
        encoder_hidden_states=e,
        timestep=tt * 1000,
        encoder_attention_mask=m[:, :LT],
        num_frames=4,
        height=4,
        width=4,
        rope_interpolation_scale=ROPE,
        return_dict=False,
    )[0]


eager = model
if os.environ.get("COMPILE", "1") == "1":
    import torch._inductor.config as ic

    ic.cpp.dynamic_threads = True
    model = torch.compile(model, dynamic=False)


def loss_on(i, v, drop=0.1, tt=None):
    x0 = lat[i].float()
    b = len(i)
    w, m = ids[i, v], msk[i, v]
    if drop:
        d = torch.rand(b, generator=g) < drop
        w = torch.where(d[:, None], uids, w)
        m = torch.where(d[:, None], umask, m)
    if tt is None:
        tt = torch.sigmoid(torch.randn(b, generator=g) * T)
        un = torch.rand(b, generator=g)
        tt = torch.where(torch.rand(b, generator=g) < 0.2, un, tt)
    n = torch.randn(x0.shape, generator=g)
    s = tt.view(-1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        o = (model if torch.is_grad_enabled() else eager)(w, (1 - s) * x0 + s * n, m, tt)
    return F.mse_loss(o.float(), n - x0)


def swap():
    for n, p in named:
        p.data, ema[n] = ema[n], p.data


@torch.no_grad()
def vloss():
    swap()
    s = g.get_state()
    g.manual_seed(5)
    r = []
    for k in range(0, nval, 64):
        r.append(
            loss_on(
                torch.arange(N - nval + k, N - nval + k + 64),
                torch.zeros(64, dtype=torch.long),
                0,
                torch.linspace(0.02, 0.98, 64)[torch.randperm(64, generator=g)],
            ).item()
        )
    g.set_state(s)
    swap()
    return sum(r) / len(r)


def save():
    swap()
    torch.save({"t5": t5.state_dict(), "dit": dit.state_dict(), "step": step, "samples": step * B}, OUT + ".tmp")
    os.replace(OUT + ".tmp", OUT)
    swap()


loss_on(torch.arange(B), torch.zeros(B, dtype=torch.long)).backward()
print("compiled", flush=True)  # (threads stay fixed: the compiled code guards on their number)
t0 = time.time()
step = 0
acc = []
last = t0
paused = 0
prev = t0
order, pos = torch.randperm(N - nval, generator=g), 0
while True:
    now = time.time()
    paused += max(0, now - prev - 20)
    prev = now
    el = (now - t0) / 60
    f = el / MIN
    if f >= 1:
        break
    sc = min(1, (step + 1) / 100) * (1 - max(0, (f - 0.25) / 0.75) * 0.97)  # warm up, hold, linear decay
    for o, b0 in zip(opts, base):
        for gr in o.param_groups:
            gr["lr"] = b0 * sc
    if pos + B > len(order):
        order, pos = torch.randperm(N - nval, generator=g), 0
    i = order[pos : pos + B]
    pos += B
    l = loss_on(i, torch.randint(0, NV, (B,), generator=g))
    for o in opts:
        o.zero_grad(set_to_none=True)
    l.backward()
    gn = torch.nn.utils.clip_grad_norm_([p for _, p in named], 1.0)
    for o in opts:
        o.step()
    step += 1
    k = min(0.998, (1 + step) / (20 + step))
    with torch.no_grad():
        torch._foreach_lerp_([ema[n] for n, _ in named], [p for _, p in named], 1 - k)
    acc.append(l.item())
    if step % 100 == 0 or step in (10, 50):
        print(
            "step %d %.1f min %.1f samples/s train %.4f gn %.2f"
            % (step, el, step * B / (time.time() - t0), np.mean(acc[-100:]), gn),
            flush=True,
        )
    if step % 500 == 0:
        print("   val(ema) %.4f" % vloss(), flush=True)
    if time.time() - last > 240:
        last = time.time()
        save()
print("end step %d val(ema) %.4f samples %d" % (step, vloss(), step * B))
save()
