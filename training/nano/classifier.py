"""usage: classifier.py core_minutes out.pt

Trains the scorer: a small network that reads from a clip what is in it. It looks at every second frame in half size.
For each kind of actor it makes a map of where it is; where the map is high, it reads the colour, and it reads the
motion from the map's centre and the features there over time. So it never confuses who of two actors does what.
Clips are drawn as they are needed; stopped (SIGTERM, SIGINT) and called again it goes on where it was."""

import os, sys, time
import numpy as np, torch, torch.nn as nn, torch.nn.functional as F
from interruptible import stop_on_signals, write
from world import ACTORS, CAMERAS, COLOURS, LENGTHS, MOTIONS, PLACES, SHAPES, TIMES, WEATHERS, make_spec, render

HEADS = dict(place=PLACES, time=TIMES, weather=WEATHERS, camera=CAMERAS)  # of the whole clip
KEEP = 2  # every how many frames it looks at one
REACH, BANDS = 6, 4  # of shifts()
UNSEEN = 1000000  # seeds from here on are never trained on
BATCH, FRESH, POOL, RATE = 32, 4, 2000, 2e-3  # FRESH: clips drawn anew at every step


def small(frames):
    """uint8 [T, H, W, 3] in half size"""
    v = frames.astype(np.uint16)
    v = v[:, ::2, ::2] + v[:, 1::2, ::2] + v[:, ::2, 1::2] + v[:, 1::2, 1::2]
    return ((v + 2) // 4).astype(np.uint8)


def tensor(clips):
    return torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).float().div_(127.5).sub_(1)  # [B, T, 3, H, W]


def shifts(x):
    """[B, BANDS * (2 REACH + 1)]: for bands of rows, how well edges agree with those a quarter of the clip later and
    -REACH to REACH pixels to the right: what a camera that pans changes, and an actor hardly"""
    k, r = max(1, x.shape[1] // 4), REACH
    edges = x.diff(dim=4)
    a, b = edges[:, :-k, ..., r:-r], edges[:, k:]
    w = a.shape[4]
    norm = a.square().mean((1, 2, 4)) + b.square().mean((1, 2, 4)) + 1e-4  # [B, H]
    rows = [(a * b[..., s : s + w]).mean((1, 2, 4)) / norm for s in range(2 * r + 1)]
    return F.adaptive_avg_pool1d(torch.stack(rows, 1), BANDS).flatten(1) * 4


def conv(i, o, k, stride):
    return nn.Sequential(nn.Conv2d(i, o, k, stride, k // 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.edges = nn.Sequential(nn.Conv2d(3, 64, 4, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.parts = conv(64, 64, 3, 1)
        self.whole = nn.Sequential(conv(64, 96, 3, 2), conv(96, 96, 3, 1), conv(96, 96, 3, 1))
        self.map = nn.Conv2d(96, len(ACTORS), 1)
        self.colour = nn.Sequential(nn.Linear(96 + 64, 64), nn.ReLU(), nn.Linear(64, len(COLOURS)))
        self.look = nn.Linear(96, 24)
        self.motion = nn.Sequential(
            nn.Conv1d(24 + 6, 64, 5, 1, 2),
            nn.ReLU(),
            nn.Conv1d(64, 64, 5, 1, 2),
            nn.ReLU(),
            nn.Conv1d(64, 64, 3, 1, 1),
            nn.ReLU(),
        )
        self.first, self.then = nn.Linear(256, len(MOTIONS)), nn.Linear(256, len(MOTIONS) + 1)
        self.heads = nn.ModuleDict({h: nn.Linear(3 * 96 + 128, len(v)) for h, v in HEADS.items()})
        self.pan = nn.Sequential(nn.Linear(BANDS * (2 * REACH + 1), 48), nn.ReLU(), nn.Linear(48, len(CAMERAS)))

    def forward(self, x, kinds=None):
        """x [B, T, 3, H, W]; kinds [B, n]: the actors to read colour and motion of, by default the likeliest two.
        Returns logits of presence [B, 12], colours [B, n, 8], first and second motions [B, n, 9 and 10], {head: logits}, kinds
        """
        b, t = x.shape[:2]
        edges = self.edges(x.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        parts = self.parts(edges)
        whole = self.whole(parts)
        m = self.map(whole).float()
        h, w = m.shape[2:]
        m = m.unflatten(0, (b, t))  # [B, T, 12, h, w]
        presence = m.flatten(3).logsumexp(3).mean(1)
        if kinds is None:
            kinds = presence.topk(2, 1).indices
        of = m.gather(2, kinds[:, None, :, None, None].expand(-1, t, -1, h, w)).flatten(3)  # [B, T, n, hw]
        a = of.softmax(3).to(whole.dtype)
        feature = torch.einsum("btnp,btcp->bntc", a, whole.unflatten(0, (b, t)).flatten(3))
        fine = F.avg_pool2d(parts, 2, ceil_mode=True).unflatten(0, (b, t)).flatten(3)
        tone = torch.einsum("btnp,btcp->bntc", a, fine)
        colours = self.colour(torch.cat([feature, tone], 3)).float().mean(2)
        ys, xs = torch.linspace(0, h - 1, h) / 8, torch.linspace(0, w - 1, w) / 8
        y = (a * ys[:, None].expand(h, w).flatten()).sum(3)
        q = (a * xs.expand(h, w).flatten()).sum(3)
        place = torch.stack([y, q], 3).transpose(1, 2).float()  # [B, n, T, 2]
        step = F.pad(place.diff(dim=2), (0, 0, 1, 0))
        track = torch.cat([place - place.mean(2, keepdim=True), 8 * step, place], 3)
        z = torch.cat([self.look(feature).float(), track], 3).flatten(0, 1).transpose(1, 2)
        z = self.motion(z)
        half = (z.shape[2] + 1) // 2
        ends = [z[:, :, :half], z[:, :, -half:]]
        z = torch.cat([q for e in ends for q in (e.mean(2), e.amax(2))], 1).unflatten(0, (b, -1))
        whole = whole.unflatten(0, (b, t)).float()
        k = max(1, t // 4)
        tones = edges.unflatten(0, (b, t)).float()
        flat = torch.cat(
            [
                whole[:, :k].mean((1, 3, 4)),
                whole[:, -k:].mean((1, 3, 4)),
                whole.amax((3, 4)).mean(1),
                tones.mean((1, 3, 4)),
                tones.diff(dim=1).abs().mean((1, 3, 4)),
            ],
            1,
        )
        heads = {h: f(flat) for h, f in self.heads.items()}
        heads["camera"] = heads["camera"] + self.pan(shifts(x))
        return presence, colours, self.first(z).float(), self.then(z).float(), heads, kinds


def labels(specs):
    """what forward() should say: kinds [B, 2] (the second is -1 where there is one), and so on; -1 does not count"""
    out = {k: torch.full((len(specs), 2), -1) for k in ("kinds", "colour", "motion", "then")}
    for i, s in enumerate(specs):
        for k, a in enumerate(s["actors"]):
            out["kinds"][i, k] = ACTORS.index(a["actor"])
            out["colour"][i, k] = COLOURS.index(a["colour"])
            out["motion"][i, k] = MOTIONS.index(a["motion"])
            out["then"][i, k] = MOTIONS.index(a["then"]) if a["then"] else len(MOTIONS)
    out |= {h: torch.tensor([v.index(s[h]) for s in specs]) for h, v in HEADS.items()}
    return out


@torch.no_grad()
def read(net, clips, specs):
    """{attribute: [B] bool}: is it as the spec says? clips: small ones of one size. With two actors both must be right:
    colour and motion are read where the network sees that kind of actor, and wrong if it does not see it."""
    net.eval()
    want = labels(specs)
    with torch.autocast("cpu", torch.bfloat16):
        presence, colours, first, then, heads, kinds = net(tensor(clips))
    out = {h: heads[h].argmax(1) == want[h] for h in HEADS}
    rows = {k: [] for k in ("actor", "colour", "motion")}
    for i, s in enumerate(specs):
        n = len(s["actors"])
        seen = kinds[i, :n].tolist()
        wanted = want["kinds"][i, :n].tolist()
        rows["actor"].append(sorted(seen) == sorted(wanted))
        if n == 1:
            at = [0]  # whatever it takes the actor for
        else:
            at = [seen.index(k) if k in seen else -1 for k in wanted]
        good = lambda logits, name: all(j >= 0 and logits[i, j].argmax() == want[name][i, k] for k, j in enumerate(at))
        rows["colour"].append(good(colours, "colour"))
        rows["motion"].append(good(first, "motion") and good(then, "then"))
    return {k: torch.tensor(v) for k, v in rows.items()} | out


def loss_of(net, clips, specs):
    x, want = tensor(clips), labels(specs)
    if torch.rand(()) < 0.5:  # read through a little blur and noise as well
        x = F.avg_pool2d(x.flatten(0, 1), 3, 1, 1, count_include_pad=False).view_as(x)
    x = x + 0.03 * torch.randn(x.shape[2:])
    kinds = want["kinds"].clamp(min=0)
    with torch.autocast("cpu", torch.bfloat16):
        presence, colours, first, then, heads, _ = net(x, kinds)
    there = F.one_hot(kinds, len(ACTORS)).float() * (want["kinds"] >= 0)[:, :, None]
    there = there.sum(1) / there.sum((1, 2))[:, None]
    loss = 2 * F.cross_entropy(presence, there)
    for logits, name in ((colours, "colour"), (first, "motion"), (then, "then")):
        loss = loss + F.cross_entropy(logits.flatten(0, 1), want[name].flatten(), ignore_index=-1)
    return loss + sum(F.cross_entropy(heads[h].float(), want[h]) for h in HEADS)


class Clips:
    """drawn clips by shape and length; at every batch a few are replaced"""

    KINDS = [(SHAPES[0], LENGTHS[0])] * 4 + [(s, LENGTHS[0]) for s in SHAPES[1:]] + [(s, LENGTHS[1]) for s in SHAPES]

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.pool = {k: [self.draw(k) for _ in range(POOL // len(set(self.KINDS)))] for k in set(self.KINDS)}

    def draw(self, kind):
        s = make_spec(int(self.rng.integers(UNSEEN)), "train", *kind)
        return s, small(render(s, KEEP))

    def batch(self):
        kind = self.KINDS[self.rng.integers(len(self.KINDS))]
        pool = self.pool[kind]
        for _ in range(FRESH):
            pool[self.rng.integers(len(pool))] = self.draw(kind)
        some = [pool[i] for i in self.rng.choice(len(pool), BATCH, replace=False)]
        return [c for _, c in some], [s for s, _ in some]


def score(net, n, kinds=tuple(dict.fromkeys(Clips.KINDS))):
    """share right on n unseen clips, half of them of held-out triples"""
    rows = []
    for i, kind in enumerate(kinds):
        for split in ("train", "held"):
            specs = [make_spec(UNSEEN + j, split, *kind) for j in range(i, n // 2, len(kinds))]
            for k in range(0, len(specs), BATCH):
                part = specs[k : k + BATCH]
                rows.append(read(net, [small(render(s, KEEP)) for s in part], part))
    return {k: round(torch.cat([r[k] for r in rows]).float().mean().item(), 4) for k in rows[0]}


def main():
    minutes, path = float(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(0)
    net = Net()
    opt = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    state = dict(step=0, spent=0.0)
    if os.path.exists(path):
        state = torch.load(path)
        net.load_state_dict(state["net"])
        if "opt" in state:
            opt.load_state_dict(state["opt"])
    stop, losses, saved = stop_on_signals(), [], time.time()

    def save():
        write(state | dict(net=net.state_dict(), opt=opt.state_dict()), path)

    clips = Clips(state["step"] + 1)
    torch.manual_seed(state["step"])
    while state["spent"] < 60 * minutes and not stop:
        began, f = time.process_time(), state["spent"] / (60 * minutes)
        opt.param_groups[0]["lr"] = RATE * min(1, (state["step"] + 1) / 50) * min(1, 1.5 * (1.01 - f))
        net.train()
        loss = loss_of(net, *clips.batch())
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        losses.append(loss.item())
        state["step"] += 1
        state["spent"] += time.process_time() - began
        if state["step"] % 50 == 0:
            print(
                "step %d %.1f core-min loss %.3f" % (state["step"], state["spent"] / 60, np.mean(losses[-50:])),
                flush=True,
            )
        if state["step"] % 300 == 0:
            print("   unseen", score(net, 128), flush=True)
        if time.time() - saved > 120:
            saved = time.time()
            save()
    save()
    if not stop:
        print("end: step %d" % state["step"], score(net, 512))


if __name__ == "__main__":
    main()
