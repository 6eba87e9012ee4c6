"""usage: encode.py vae.pt out_folder n [first_seed]

Draws and encodes n clips for train_dit.py, in shards of SHARD seeds; the shape and length of a shard follow from its
number. What is there is kept, so a stopped run goes on where it was. A shard is an .npz of f16 posterior means,
tokens in the transformer's order:

  clip  [s, T, C]        the whole clip; its first tokens are also those of its first 1, 9 and 17 frames, because the
                         encoder is causal
  last  [s, side, C]     the last frame encoded alone
  loop  [s / EXTRA, ..]  of every EXTRA-th seed: the clip that goes to its middle frame and back again
  tail  [s / EXTRA, ..]  of the same seeds: the last 9 frames encoded as a clip of their own
  on    [s / EXTRA, ..]  of the same seeds: the clip that begins with these 9 frames and goes on

The first shard also writes stats.pt, if it is not there: mean and standard deviation of each channel, and the
posterior's own. A transformer that is trained on is trained on with the stats.pt that it began with."""

import os, sys, time
import numpy as np, torch
from conditions import TAIL, going_on, mirrored
from vae import encode, make
from world import LENGTHS, SHAPES, make_spec, render

SHARD, BATCH, EXTRA = 64, 4, 4
KINDS = [(SHAPES[0], LENGTHS[0])] * 5 + [(s, LENGTHS[0]) for s in SHAPES[1:]] * 2 + [(s, LENGTHS[1]) for s in SHAPES]


def kind_of(first):
    """shape and length of the shard that begins with this seed"""
    return KINDS[first // SHARD % len(KINDS)]


def spec(first, seed):
    return make_spec(seed, "train", *kind_of(first))


def tokens(z):  # [B, C, F, H, W] -> [B, F*H*W, C]
    return z.float().permute(0, 2, 3, 4, 1).flatten(1, 3)


def means(vae, clips):
    """posterior means of uint8 clips as tokens"""
    return torch.cat([tokens(encode(vae, clips[i : i + BATCH]).mean) for i in range(0, len(clips), BATCH)])


def spread(stats):
    """What latents are divided by, [C]. Channels of much variance keep more of it than the others: a few of them decide
    what most of a clip looks like. Divided to the same variance they are two in a hundred of the error, and the
    transformer hardly learns place and time of day."""
    return stats["std"] ** 0.25 / 0.85


def main():
    vae, out, n = make(sys.argv[1]).eval(), sys.argv[2], int(sys.argv[3])
    seed0 = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    os.makedirs(out, exist_ok=True)
    began, done = time.time(), 0
    for first in range(seed0, seed0 + n, SHARD):
        path = f"{out}/{first:07d}.npz"
        n_frames, z = kind_of(first)[1], {}
        ways = dict(  # of every so manyth seed, which frames
            clip=(1, np.arange(n_frames)),
            last=(1, [n_frames - 1]),
            loop=(EXTRA, mirrored(n_frames)),
            tail=(EXTRA, np.arange(n_frames - TAIL, n_frames)),
            on=(EXTRA, going_on(n_frames)),
        )
        if os.path.exists(path):
            with np.load(path) as known:
                z = {name: torch.from_numpy(known[name]) for name in known.files}
        missing = ways.keys() - z.keys()
        if not missing:
            continue
        length = [n_frames if k % EXTRA else ways["on"][1][-1] + 1 for k in range(SHARD)]
        drawn = [render(spec(first, first + k), at=range(n)) for k, n in enumerate(length)]
        for name in missing:
            every, frames = ways[name]
            z[name] = means(vae, [c[frames] for c in drawn[::every]])
        if first == seed0 and not os.path.exists(out + "/stats.pt"):
            all_tokens, std = z["clip"].flatten(0, 1), tokens(encode(vae, [c[:n_frames] for c in drawn[:BATCH]]).std)
            torch.save(
                dict(mean=all_tokens.mean(0), std=all_tokens.std(0), posterior=std.mean((0, 1))), out + "/stats.pt"
            )
        with open(path + ".part", "wb") as f:
            np.savez(f, **{name: v.numpy().astype(np.float16) for name, v in z.items()})
        os.replace(path + ".part", path)
        done += SHARD
        print("%d: %.1f clips/s" % (first, done / (time.time() - began)), flush=True)


if __name__ == "__main__":
    main()
