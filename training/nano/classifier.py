"""small attribute classifier on [9,64,64,3] clips.  usage: classifier.py small.npy out.pt epochs"""

import sys, os, time, math, numpy as np, torch, torch.nn as nn, torch.nn.functional as F
from world import *

HEADS = dict(actor=ACTORS, colour=COLOURS, motion=MOTIONS, place=PLACES, time=TIMES, weather=WEATHERS, camera=CAMERAS)


def labels(seeds, split="train"):
    S = [make_spec(int(s), split) for s in seeds]
    return torch.tensor([[HEADS[h].index(s[h]) for h in HEADS] for s in S])


class Net(nn.Module):
    def __init__(self, w=16):
        super().__init__()

        def b(i, o, k, s):
            return nn.Sequential(
                nn.Conv3d(i, o, k, s, tuple(x // 2 for x in k), bias=False), nn.BatchNorm3d(o), nn.ReLU()
            )

        self.f = nn.Sequential(
            b(3, w, (1, 5, 5), (1, 2, 2)),
            b(w, 2 * w, (1, 3, 3), (1, 2, 2)),
            b(2 * w, 3 * w, (3, 3, 3), (1, 1, 1)),
            b(3 * w, 4 * w, (3, 3, 3), (2, 2, 2)),
            b(4 * w, 4 * w, (3, 3, 3), (2, 1, 1)),
            b(4 * w, 3 * w, (3, 3, 3), (1, 2, 2)),
        )
        self.drop = nn.Dropout(0.2)
        self.heads = nn.ModuleDict({h: nn.Linear(3 * w * 3 * 16 + 4 * w, len(v)) for h, v in HEADS.items()})

    def forward(self, x):
        y = self.f[:5](x)
        z = self.f[5](y)
        z = torch.cat([z.flatten(1), y.amax((2, 3, 4))], 1)
        z = self.drop(z)
        return [self.heads[h](z) for h in HEADS]


def prep(a):
    return torch.from_numpy(np.ascontiguousarray(a)).permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1)


@torch.no_grad()
def predict(net, a):
    net.eval()
    r = []
    for i in range(0, len(a), 32):
        with torch.autocast("cpu", torch.bfloat16):
            o = net(prep(a[i : i + 32]))
        r.append(torch.stack([q.float().argmax(1) for q in o], 1))
    return torch.cat(r)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(2)
    X = np.load(sys.argv[1])
    N = len(X)
    Y = labels(np.arange(N))
    nv = 512
    EP = float(sys.argv[3])
    net = Net()
    steps = int(EP * (N - nv) / 32)
    opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.02)
    t0 = time.time()
    rng = np.random.default_rng(0)
    for s in range(steps):
        for g in opt.param_groups:
            g["lr"] = 2e-3 * min(1, (s + 1) / 50) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * s / steps)))
        i = rng.integers(0, N - nv, 32)
        net.train()
        x = prep(X[i])
        if rng.random() < 0.5:
            x = F.avg_pool3d(x, (1, 3, 3), 1, (0, 1, 1), count_include_pad=False)  # tolerate blur
        x = x + 0.03 * torch.randn_like(x)
        with torch.autocast("cpu", torch.bfloat16):
            o = net(x)
        l = sum(F.cross_entropy(q.float(), Y[i, k]) for k, q in enumerate(o))
        opt.zero_grad()
        l.backward()
        opt.step()
        if s % 100 == 99:
            print(
                "step %d/%d loss %.3f %.1f clips/s" % (s + 1, steps, l.item(), 32 * (s + 1) / (time.time() - t0)),
                flush=True,
            )
        if s % 400 == 399 or s == steps - 1:
            p = predict(net, X[N - nv :])
            print(
                "  val",
                {h: round((p[:, k] == Y[N - nv :, k]).float().mean().item(), 4) for k, h in enumerate(HEADS)},
                flush=True,
            )
            torch.save(net.state_dict(), sys.argv[2])
