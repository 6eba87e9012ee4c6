"""usage: encode_conditions.py model_folder out_folder n [first]

Encodes the data for train_conditions.py with the autoencoder of a model folder, in shards of SHARD seeds. Shards that
exist are kept, so a stopped run goes on where it was. A shard is an .npz of f16 posterior means, tokens in the
transformer's order:

  clip   [s, 64, C]  the whole clip; its first 16, 32, 48 tokens are also the encodings of its first 1, 9, 17 frames,
                     because the encoder is causal
  last   [s, 16, C]  the last frame encoded alone
  loop   [s / EXTRA, 64, C]  for every EXTRA-th seed: the clip that goes to its middle frame and back again
  tail   [s / EXTRA, 32, C]  for the same seeds: the last 9 frames encoded as a clip of their own

The first shard also writes stats.pt: the posterior's standard deviation of each channel, averaged.
"""

import os, sys

os.environ["OMP_NUM_THREADS"] = "1"
import time, numpy as np, torch, multiprocessing as mp
from diffusers import AutoencoderKLLTXVideo
from conditions import EXTRA
from world import render

SHARD, BATCH = 100, 4


def tokens(z):  # [B, C, F, H, W] -> [B, F*H*W, C]
    return z.permute(0, 2, 3, 4, 1).flatten(1, 3)


@torch.no_grad()
def encode(vae, clips):
    """uint8 clips -> posterior (mean, std) as tokens"""
    out = []
    for i in range(0, len(clips), BATCH):
        x = torch.from_numpy(np.stack(clips[i : i + BATCH])).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        d = vae.encode(x).latent_dist
        out.append(torch.stack([tokens(d.mean), tokens(d.std)]))
    return torch.cat(out, 1)


def mirrored(clip):  # frames 0..12..0: a loop, 25 frames as every clip
    half = len(clip) // 2
    return np.concatenate([clip[: half + 1], clip[:half][::-1]])


def work(a):
    k, procs, folder, out, n, seed0 = a
    torch.set_num_threads(1)
    vae = AutoencoderKLLTXVideo.from_pretrained(folder + "/vae", torch_dtype=torch.float32).eval()
    t0, done = time.time(), 0
    for first in range(seed0 + k * SHARD, seed0 + n, procs * SHARD):
        path = f"{out}/{first:07d}.npz"
        if os.path.exists(path):
            continue
        clips = [render(s) for s in range(first, min(seed0 + n, first + SHARD))]
        some = clips[::EXTRA]
        z = encode(vae, clips)
        if first == seed0:
            torch.save({"posterior_std": z[1].flatten(0, 1).mean(0)}, out + "/stats.pt")
        arrays = dict(
            clip=z[0],
            last=encode(vae, [c[-1:] for c in clips])[0],
            loop=encode(vae, [mirrored(c) for c in some])[0],
            tail=encode(vae, [c[-9:] for c in some])[0],
        )
        with open(path + ".part", "wb") as f:
            np.savez(f, **{name: v.numpy().astype(np.float16) for name, v in arrays.items()})
        os.replace(path + ".part", path)
        done += len(clips)
        print("%d: %.1f clips/s" % (first, done / (time.time() - t0)), flush=True)


if __name__ == "__main__":
    folder, out, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seed0 = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    os.makedirs(out, exist_ok=True)
    with mp.Pool(2) as p:
        p.map(work, [(k, 2, folder, out, n, seed0) for k in range(2)])
