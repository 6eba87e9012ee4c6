"""usage: train_vae_next.py STAGE minutes state.pt [learning rate]

Trains the 16x16x4 autoencoder (vaecfg.NEXT) in stages, each of which can be stopped (SIGTERM, SIGINT) and called again:

  linear   the linear start (linear_start.py), about two minutes
  crops    crops of 9x64x64, reconstruction alone
  clips    whole clips, with the KL term
  decoder  whole clips, the encoder as it is, a little noise on the latents

state.pt holds the autoencoder (bf16 with HALF=1, to carry it elsewhere), the optimiser and the number of steps. Clips are
drawn as they are needed; unseen ones are those of seeds from 1000000."""

import os, signal, sys, time
import numpy as np, torch
import torch.nn.functional as F
from diffusers import AutoencoderKLLTXVideo
from linear_start import start
from vaecfg import NEXT
from world import render

THREADS = int(os.environ.get("THREADS", "2"))
RATE = dict(crops=6e-4, clips=3e-4, decoder=2e-4)
CROP, CROP_FRAMES, NCROPS, NCLIPS = 64, 9, 8, 2
POOL = 64  # clips in memory; one is replaced every step
KL = 5e-5  # times the mean KL of an element
UNSEEN = 1000000


def tensor(clips):
    return torch.from_numpy(np.stack(clips)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


class Clips:
    """drawn clips, from which crops are cut: each clip serves POOL steps or so"""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.pool = [self.draw() for _ in range(POOL)]

    def draw(self):
        return render(int(self.rng.integers(UNSEEN)))

    def batch(self, stage):
        self.pool[self.rng.integers(POOL)] = self.draw()
        i = self.rng.integers(POOL, size=NCROPS if stage == "crops" else NCLIPS)
        if stage != "crops":
            return tensor([self.pool[k] for k in i])
        out = []
        for k in i:
            t, (y, x) = self.rng.integers(25 - CROP_FRAMES + 1), self.rng.integers(128 - CROP + 1, size=2)
            out.append(self.pool[k][t : t + CROP_FRAMES, y : y + CROP, x : x + CROP])
        return tensor(out)


@torch.no_grad()
def score(vae, n=8):
    """mean PSNR of unseen clips"""
    x = tensor([render(UNSEEN + k) for k in range(n)])
    y = torch.cat([vae.decode(vae.encode(v).latent_dist.mode()).sample for v in x.split(2)]).clamp(-1, 1)
    return -10 * ((y - x) / 2).square().mean((1, 2, 3, 4)).log10().mean().item()


def loss_of(vae, x, stage):
    with torch.set_grad_enabled(stage != "decoder"):
        post = vae.encode(x).latent_dist
        z = post.sample()
    if stage == "decoder":
        z = z + 0.1 * torch.rand(len(z), 1, 1, 1, 1) * z.std((0, 2, 3, 4), keepdim=True) * torch.randn_like(z)
    d = vae.decode(z).sample - x
    with torch.no_grad():  # what moves counts more than the scenery
        moves = F.avg_pool3d((x - x.mean(2, keepdim=True)).abs().amax(1, keepdim=True), (1, 5, 5), 1, (0, 2, 2))
        weight = 1 + 4 * (2 * moves).clamp(0, 1)
    loss = (d.abs() * weight).mean() + 2 * (d.square() * weight).mean()
    if stage == "clips":
        loss = loss + KL * 0.5 * (post.mean**2 + post.var - 1 - post.logvar).mean()
    return loss


def main():
    stage, minutes, path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    vae = AutoencoderKLLTXVideo(**NEXT)
    state = torch.load(path) if os.path.exists(path) else {"step": 0, "stage": None}
    if "vae" in state:
        vae.load_state_dict({k: v.float() for k, v in state["vae"].items()})

    def save():
        half = os.environ.get("HALF") == "1"
        state["vae"] = {k: v.bfloat16() if half else v for k, v in vae.state_dict().items()}
        kept = {k: v for k, v in state.items() if k != "opt" or not half}
        torch.save(kept, path + ".part")
        os.replace(path + ".part", path)

    if stage == "linear":
        start(vae, tensor([render(7 * k) for k in range(40)]))
        state["stage"] = stage
        print("unseen %.2f dB" % score(vae), flush=True)
        return save()
    rate = float(sys.argv[4]) if len(sys.argv) > 4 else RATE[stage]
    opt = torch.optim.AdamW(vae.parameters(), rate, (0.9, 0.98), weight_decay=0.0)
    if state["stage"] == stage and "opt" in state:
        opt.load_state_dict(state["opt"])
    else:
        state |= {"stage": stage, "spent": 0.0}
    clips = Clips(state["step"] + 1)
    torch.manual_seed(state["step"])
    stop, saved, losses = [], time.time(), []
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.append(1))
    while state["spent"] < minutes * 60 and not stop:
        began = time.time()
        f = state["spent"] / (minutes * 60)
        opt.param_groups[0]["lr"] = rate * min(1, (state["step"] + 1) / 30) * min(1, 1.02 - f)
        opt.zero_grad(set_to_none=True)
        loss = loss_of(vae, clips.batch(stage), stage)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        losses.append(loss.item())
        state["step"] += 1
        state["spent"] += time.time() - began
        state["opt"] = opt.state_dict()
        if state["step"] % 25 == 0:
            print("step %d %.1f min loss %.4f" % (state["step"], state["spent"] / 60, np.mean(losses[-25:])), flush=True)
        if state["step"] % 200 == 0:
            print("   unseen %.2f dB" % score(vae), flush=True)
        if time.time() - saved > 180:
            saved = time.time()
            save()
    save()
    print("end: step %d, unseen %.2f dB" % (state["step"], score(vae)))


if __name__ == "__main__":
    main()
