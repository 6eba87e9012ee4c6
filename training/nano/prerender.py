"""renders clips seed0..seed0+n into one raw uint8 file [n,25,128,128,3] with 2 processes"""

import sys, numpy as np, multiprocessing as mp
from world import render


def work(a):
    path, seed0, n, lo, hi = a
    m = np.memmap(path, np.uint8, "r+", shape=(n, 25, 128, 128, 3))
    for i in range(lo, hi):
        m[i] = render(seed0 + i)
    m.flush()


if __name__ == "__main__":
    path, seed0, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    np.memmap(path, np.uint8, "w+", shape=(n, 25, 128, 128, 3)).flush()
    with mp.Pool(2) as p:
        p.map(work, [(path, seed0, n, k * n // 8, (k + 1) * n // 8) for k in range(8)])
