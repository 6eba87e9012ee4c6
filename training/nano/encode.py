"""usage: encode.py vae.pt out_prefix n

renders seeds 0..n-1 and stores VAE latent means [n,64,C] f16, their statistics,
and small clips [n,9,64,64,3] for the adherence classifier; 2 single-threaded processes"""

import os, sys

os.environ["OMP_NUM_THREADS"] = "1"
import time, numpy as np, torch, multiprocessing as mp
from vaecfg import make
from world import render

KEEP = list(range(0, 25, 3))


def small(v):  # [25,128,128,3] uint8 -> [9,64,64,3] by 2x2 box
    v = v[KEEP].astype(np.uint16)
    return ((v[:, ::2, ::2] + v[:, 1::2, ::2] + v[:, ::2, 1::2] + v[:, 1::2, 1::2] + 2) // 4).astype(np.uint8)


PRE = "work/clips.u8"
NPRE = (
    os.path.getsize(PRE) // (25 * 128 * 128 * 3) if os.path.exists(PRE) else 0
)  # clips rendered before, seeds 0..NPRE-1


def work(a):
    pre_r = np.memmap(PRE, np.uint8, "r", shape=(NPRE, 25, 128, 128, 3)) if NPRE else None
    k, vae, pre, n, procs = a
    torch.set_num_threads(1)
    m = make()
    m.load_state_dict(torch.load(vae))
    m.eval()
    C = m.config.latent_channels
    L = np.lib.format.open_memmap(pre + ".npy", "r+")
    S = np.lib.format.open_memmap(pre + ".small.npy", "r+")
    idx = np.arange(k, n, procs)
    t0 = time.time()
    for j in range(0, len(idx), 8):
        ii = idx[j : j + 8]
        v = [np.array(pre_r[i]) if i < NPRE else render(int(i)) for i in ii]
        for i, q in zip(ii, v):
            S[i] = small(q)
        x = torch.from_numpy(np.stack(v)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            z = m.encode(x).latent_dist.mean.float()
        L[ii] = z.permute(0, 2, 3, 4, 1).reshape(len(ii), 64, C).numpy().astype(np.float16)
        if k == 0 and j % 400 == 0:
            print("%d of %d  %.1f clips/s (both)" % (j * procs, n, procs * (j + 8) / (time.time() - t0)), flush=True)
    L.flush()
    S.flush()


if __name__ == "__main__":
    vae, pre, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    C = make().config.latent_channels
    np.lib.format.open_memmap(pre + ".npy", "w+", np.float16, (n, 64, C))
    np.lib.format.open_memmap(pre + ".small.npy", "w+", np.uint8, (n, 9, 64, 64, 3))
    np.save(pre + ".seeds.npy", np.arange(n))
    with mp.Pool(2) as p:
        p.map(work, [(k, vae, pre, n, 2) for k in range(2)])
    z = torch.from_numpy(np.load(pre + ".npy")).float().reshape(-1, C)
    torch.save({"mean": z.mean(0), "std": z.std(0)}, pre + ".stats.pt")
    print("mean", z.mean(0)[:8], "std", z.std(0)[:8], z.std(0).min(), z.std(0).max())
