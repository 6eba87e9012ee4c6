"""usage: train_vae.py STAGE state.pt [core_minutes]

Trains the autoencoder in stages, each of which can be stopped (SIGTERM, SIGINT) and called again:

  linear   the linear start (linear_start.py), half a minute
  crops    crops of 9x64x64, half of them around an actor
  decoder  whole clips, the encoder as it is, noise on the latents as the denoiser will leave it

The first step of a stage takes minutes: the pass is compiled. state.pt holds the autoencoder, the optimiser and the
number of steps. Clips are drawn as they are needed; those of seeds from 1000000 are never trained on."""

import os, sys, time
import numpy as np, torch
import torch.nn.functional as F
from interruptible import stop_on_signals, write
from linear_start import constant_inputs, start
from muon import Muon
from vae import CHANNELS, make, psnr, reconstruct, tensor
from world import LENGTHS, SHAPES, make_spec, render, tracks

RATE = dict(crops=3e-4, decoder=5e-5)
GATHER = dict(crops=1, decoder=4)  # passes a step: one holds eight crops, or one clip
MUON = 7  # times the rate, for the residual blocks' convolutions
MINUTES = dict(linear=0, crops=60, decoder=120)
CROP, CROP_FRAMES, NCROPS = 64, 9, 8
POOL = 96  # clips in memory; at every second step one is replaced
STEADY = 4.0  # times the mean change of the error from frame to frame: what flickers counts more than what is off
STILL = 2  # times as much where the picture itself changes less than CHANGE of black to white
CHANGE = 0.01
NOISE = 0.15  # of the latents when the decoder is trained alone, at most, in standard deviations; mostly far less
UNSEEN = 1000000


class Clips:
    """drawn clips, and what crops are cut from"""

    def __init__(self, stage, seed):
        self.rng = np.random.default_rng(seed)
        self.shapes = SHAPES if stage == "crops" else SHAPES[:1]  # whole clips: one shape, for which to compile
        self.pool = [self.draw() for _ in range(POOL)]
        self.taken = 0

    def draw(self):
        shape = self.shapes[self.rng.integers(len(self.shapes))]
        s = make_spec(int(self.rng.integers(UNSEEN)), "train", shape, LENGTHS[0])
        return s, render(s)

    def crop(self):
        s, clip = self.pool[self.rng.integers(POOL)]
        t = self.rng.integers(len(clip) - CROP_FRAMES + 1)
        room = np.array(clip.shape[1:3]) - CROP
        at = self.rng.integers(room + 1)
        if self.rng.random() < 0.5:  # around an actor, give or take
            x, y = tracks(s)[self.rng.integers(len(s["actors"]))][t + CROP_FRAMES // 2][:2]
            at = np.array([y, x]) - CROP / 2 + self.rng.integers(-16, 17, size=2)
        y, x = np.clip(at, 0, room).astype(int)
        return clip[t : t + CROP_FRAMES, y : y + CROP, x : x + CROP]

    def batch(self, stage):
        self.taken += 1
        if self.taken % 2:
            self.pool[self.rng.integers(POOL)] = self.draw()
        if stage == "crops":
            return tensor([self.crop() for _ in range(NCROPS)])
        return tensor([self.pool[self.rng.integers(POOL)][1]])


def score(vae, n=8, shapes=SHAPES[:1], frames=LENGTHS[0]):
    """mean PSNR of unseen clips"""
    clips = [render(make_spec(UNSEEN + k, "train", shapes[k % len(shapes)], frames)) for k in range(n)]
    return float(np.mean([psnr(c, reconstruct(vae, [c])[0]) for c in clips]))


def passes(vae, stage):
    """pixels -> pixels"""
    if stage == "crops":
        return torch.compile(lambda x: vae.decoder(vae.encoder(x)[:, :CHANNELS]), dynamic=False)
    decoder = torch.compile(vae.decoder, dynamic=False)

    def frozen(x):
        with torch.no_grad():
            mean = vae.encoder(x)[:, :CHANNELS].float()
            much = NOISE * torch.rand(len(x), 1, 1, 1, 1) ** 4 * mean.std((0, 2, 3, 4), keepdim=True)
            noisy = (mean + much * torch.randn_like(mean)).bfloat16()
        return decoder(noisy)

    return frozen


def loss_of(forward, x):
    with torch.autocast("cpu", torch.bfloat16):
        d = forward(x).float() - x
    with torch.no_grad():  # what moves counts more than the scenery
        moves = F.avg_pool2d((x - x.mean(2, keepdim=True)).abs().amax(1), 5, 1, 2)[:, None]
        weight = 1 + 4 * (2 * moves).clamp(0, 1)
        steady = torch.where(x.diff(dim=2).abs().amax(1, keepdim=True) < 2 * CHANGE, STEADY * STILL, STEADY)
    loss = (d.abs() * weight).mean() + 2 * (d.square() * weight).mean() + (d.diff(dim=2).abs() * steady).mean()
    return loss, d.detach().square().mean().item() / 4


def main():
    stage, path = sys.argv[1:3]
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else MINUTES[stage]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(0)
    state = torch.load(path) if os.path.exists(path) else dict(step=0, stage=None)
    vae, opts = make(path if "vae" in state else None), []

    def save():
        write(state | dict(vae=vae.state_dict(), opt=[o.state_dict() for o in opts]), path)

    if stage == "linear":
        start(vae, tensor([render(7 * k) for k in range(24)]))
        state["stage"] = stage
        print("unseen %.2f dB" % score(vae), flush=True)
        return save()
    named = dict((vae.decoder if stage == "decoder" else vae).named_parameters())
    blocks = [p for n, p in named.items() if p.ndim == 5 and ".resnets." in n]
    of_blocks = {id(p) for p in blocks}
    rest = [p for p in named.values() if id(p) not in of_blocks]  # what the linear start has found: slowly
    opts = [
        Muon(blocks, MUON * RATE[stage], wd=0.0),
        torch.optim.AdamW(rest, RATE[stage], (0.9, 0.98), weight_decay=0.0),
    ]
    if state["stage"] == stage and "opt" in state:
        for o, saved in zip(opts, state["opt"]):
            o.load_state_dict(saved)
    else:
        state |= dict(stage=stage, spent=0.0, stage_step=0)
    forward, masks, clips = passes(vae, stage), constant_inputs(vae), Clips(stage, state["step"] + 1)
    torch.manual_seed(state["step"])
    stop, saved, losses = stop_on_signals(), time.time(), []
    while state["spent"] < minutes * 60 and not stop:
        began, f = time.process_time(), state["spent"] / (minutes * 60)
        scale = min(1, (state["stage_step"] + 1) / 30) * min(1, 1.4 * (1.01 - f))  # warm up, hold, linear decay
        opts[0].param_groups[0]["lr"], opts[1].param_groups[0]["lr"] = MUON * RATE[stage] * scale, RATE[stage] * scale
        vae.zero_grad(set_to_none=True)
        for _ in range(GATHER[stage]):
            loss, mse = loss_of(forward, clips.batch(stage))
            (loss / GATHER[stage]).backward()
        for p, channels in masks:
            if p.grad is not None:
                p.grad[:, channels] = 0
        torch.nn.utils.clip_grad_norm_(named.values(), 1.0)
        for o in opts:
            o.step()
        losses.append((loss.item(), mse))
        state["step"] += 1
        state["stage_step"] += 1
        state["spent"] += min(time.process_time() - began, 20)  # the compilation does not count
        if state["step"] % 25 == 0:
            m = np.mean(losses[-25:], 0)
            print(
                "step %d %.1f core-min loss %.4f, %.2f dB"
                % (state["step"], state["spent"] / 60, m[0], -10 * np.log10(m[1])),
                flush=True,
            )
        if state["step"] % 200 == 0:
            print("   unseen %.2f dB" % score(vae), flush=True)
        if time.time() - saved > 180:
            saved = time.time()
            save()
    save()
    if not stop:
        print("end: step %d, unseen %.2f dB" % (state["step"], score(vae)))


if __name__ == "__main__":
    main()
