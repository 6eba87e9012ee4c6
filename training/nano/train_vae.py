"""usage: train_vae.py minutes out.pt [resume.pt]

crop phase, then full clips (bf16 autocast); reads work/clips.u8, work/val.u8"""

import sys, time, math, os, numpy as np, torch, torch.nn.functional as F
from vaecfg import make
from muon import Muon

MIN = float(sys.argv[1])
OUT = sys.argv[2]
torch.manual_seed(0)
torch.set_num_threads(2)
rng = np.random.default_rng(0)
N = int(os.environ.get("NCLIPS", 3000))
data = np.fromfile("work/clips.u8", np.uint8).reshape(N, 25, 128, 128, 3)  # in memory: mapped pages may be reclaimed
val = np.fromfile("work/val.u8", np.uint8).reshape(64, 25, 128, 128, 3)
m = make()
mu = [p for n, p in m.named_parameters() if p.ndim == 5 and "coder.conv_in" not in n and "coder.conv_out" not in n]
k = {id(p) for p in mu}
opts = [
    Muon(mu, 2e-3),
    torch.optim.AdamW([p for p in m.parameters() if id(p) not in k], lr=1e-3, betas=(0.9, 0.98), weight_decay=1e-4),
]
CROPS, KL, GRAD = (0.33, 1e-4, 0.08) if len(sys.argv) < 4 else (0.85, 5e-5, -1)
if len(sys.argv) > 3:
    m.load_state_dict(torch.load(sys.argv[3]))  # go on from a checkpoint
else:
    with torch.no_grad():
        m.encoder.conv_out.conv.bias[-1] = -5.0
WIDE = len(sys.argv) > 3


def tens(a):
    return torch.from_numpy(np.ascontiguousarray(a)).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)


def batch(full):
    if full:
        return tens(data[rng.integers(0, N, 1)])
    if WIDE:  # few frames, whole picture: more scenes per step
        t = rng.integers(0, 17)
        return tens(np.stack([data[i, t : t + 9] for i in rng.integers(0, N, 4)]))
    s, T = 64, 17
    out = np.empty((8, T, s, s, 3), np.uint8)
    for b in range(8):
        i, t, y, x = rng.integers(0, N), rng.integers(0, 9), rng.integers(0, 65), rng.integers(0, 65)
        out[b] = data[i, t : t + T, y : y + s, x : x + s]
    return tens(out)


def loss_fn(y, x, post):
    d = y - x
    l1 = d.abs().mean()
    with torch.no_grad():  # what moves (the actor) counts more than the scenery
        q = F.avg_pool3d((x - x.mean(2, keepdim=True)).abs().amax(1, keepdim=True), (1, 5, 5), 1, (0, 2, 2))
        q = 1 + 5 * (2 * q).clamp(0, 1)
    d = d * q
    w = min(1, max(0, (f - GRAD) / 0.06))  # edge terms only once shapes are there
    e = 0.4 * (d.diff(dim=3).abs().mean() + d.diff(dim=4).abs().mean()) + 0.15 * d.diff(dim=2).abs().mean()
    ms = F.avg_pool3d(d, (1, 4, 4)).abs().mean()
    kl = 0.5 * (post.mean**2 + post.var - 1 - post.logvar).float().mean()
    k = min(1, max(0, (step + (600 if WIDE else 0) - 600) / 1500))
    return d.abs().mean() + w * e + ms + 0.2 * d.square().mean() + KL * k * kl, l1, kl, post


@torch.no_grad()
def psnr(n=16):
    m.eval()
    e = []
    for i in range(0, n, 4):
        x = tens(val[i : i + 4])
        with torch.autocast("cpu", torch.bfloat16):
            y = m.decode(m.encode(x).latent_dist.mode()).sample.float()
        e += (((y.clamp(-1, 1) - x) / 2) ** 2).mean((1, 2, 3, 4)).tolist()
    m.train()
    e = np.array(e)
    return -10 * np.log10(e.mean()), (-10 * np.log10(e)).mean()


tm = {}


def tune(step, now):
    """the machine is shared: every 40 steps try 1 and 2 threads for 3 steps each and keep the faster"""
    k = step % 40
    if k == 0:
        torch.set_num_threads(1)
    if k in (1, 4):
        tm["t"] = now
    if k == 3:
        tm[1] = now - tm["t"]
        torch.set_num_threads(2)
    if k == 6:
        tm[2] = now - tm["t"]
        torch.set_num_threads(1 if tm[1] < tm[2] else 2)
    if k == 6 and step % 200 == 6:
        print("threads: 1 -> %.2fs 2 -> %.2fs" % (tm[1] / 2, tm[2] / 2), flush=True)


t0 = time.time()
step = 0
last = t0
acc = []
seen = 0
while True:
    el = (time.time() - t0) / 60
    f = el / MIN
    if f >= 1:
        break
    for o, b0 in zip(opts, (1.2e-3, 6e-4)):
        o.param_groups[0]["lr"] = b0 * min(1, (step + 1) / 40) * min(1, max(0.02, (1 - f) / 0.8))
    full = f > CROPS
    tune(step, time.time())
    x = batch(full)
    seen += len(x)
    with torch.autocast("cpu", torch.bfloat16):
        post = m.encode(x).latent_dist
        z = post.sample()
        y = m.decode(z).sample
    l, l1, kl, _ = loss_fn(y.float(), x, post)
    m.zero_grad(set_to_none=True)
    l.backward()
    gn = torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
    [o.step() for o in opts]
    step += 1
    acc.append((l.item(), l1.item(), kl.item(), gn.item()))
    if step % 50 == 0 or step == 10:
        a = np.mean(acc[-50:], 0)
        print(
            "step %d %.1f min seen %d full %d loss %.4f l1 %.4f kl %.2f gn %.2f var %.4f"
            % (step, el, seen, full, *a, post.var.mean().item()),
            flush=True,
        )
    if time.time() - last > 180:
        last = time.time()
        print("PSNR (of mean mse, mean) %.2f %.2f  after %.1f min" % (*psnr(), el), flush=True)
        torch.save(m.state_dict(), OUT)
torch.save(m.state_dict(), OUT)
print("final PSNR %.2f %.2f steps %d seen %d" % (*psnr(64), step, seen))
