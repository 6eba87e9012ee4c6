"""Procedural captioned paper-theatre world.  render(seed|spec) -> uint8 [25,128,128,3] (12 fps), caption(spec).
Everything derives from one integer through splitmix64, so a C++/Cairo port can reproduce it."""

import math
import numpy as np
import cairo

from actors import actor
from scenery import background, weather

W = H = 128
FRAMES = 25
FPS = 12
M64 = (1 << 64) - 1

ACTORS = [
    "balloon",
    "sailboat",
    "paper plane",
    "fish",
    "bird",
    "butterfly",
    "car",
    "rocket",
    "whale",
    "kite",
    "lantern",
    "star",
]
COLOURS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white"]
MOTIONS = ["left", "right", "rise", "fall", "bounce", "spin", "grow", "circle", "swing"]
PLACES = ["sea", "desert", "mountains", "forest", "city", "meadow", "sky", "space"]
TIMES = ["day", "sunset", "night"]
WEATHERS = ["clear", "snow", "rain"]
CAMERAS = ["still", "pan left", "pan right"]


class Rng:
    """splitmix64"""

    def __init__(self, seed):
        self.s = (seed * 0x9E3779B97F4A7C15 + 0x1234567) & M64

    def u64(self):
        self.s = (self.s + 0x9E3779B97F4A7C15) & M64
        z = self.s
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        return z ^ (z >> 31)

    def f(self, a=0.0, b=1.0):
        return a + (b - a) * ((self.u64() >> 11) / float(1 << 53))

    def i(self, n):
        return int(self.f() * n)

    def pick(self, xs):
        return xs[self.i(len(xs))]


def held_out(actor, colour, motion):
    """about 9% of the (actor, colour, motion) triples never occur in training"""
    a, c, m = ACTORS.index(actor), COLOURS.index(colour), MOTIONS.index(motion)
    return (a * 7 + c * 5 + m * 3) % 11 == 0


def make_spec(seed, split="train"):
    """split: 'train' (never a held-out triple) or 'held' (only held-out triples)"""
    r = Rng(seed)
    while True:
        a, c, m = r.pick(ACTORS), r.pick(COLOURS), r.pick(MOTIONS)
        if held_out(a, c, m) == (split == "held"):
            break
    s = dict(seed=seed, actor=a, colour=c, motion=m, place=r.pick(PLACES), time=r.pick(TIMES))
    w = r.f()
    s["weather"] = "snow" if w < 0.09 else "rain" if w < 0.18 else "clear"
    k = r.f()
    s["camera"] = "pan left" if k < 0.08 else "pan right" if k < 0.16 else "still"
    s["size"] = r.f(42, 52)  # actor size in pixels
    s["x"] = r.f(-9, 9)  # offsets of the actor's centre
    s["y"] = r.f(-8, 8)
    s["terrain"] = r.f(0, 1)  # horizontal shift of the scenery
    s["sun"] = r.f(0, 1)  # where the sun / moon stands
    s["flip"] = r.i(2)  # facing, where the motion does not decide
    s["cap"] = r.u64() & 0xFFFFFFFF  # caption choice
    return s


# ------------------------------------------------------------------ captions
A_SYN = {
    "balloon": ["hot-air balloon", "balloon"],
    "sailboat": ["sailboat", "sailing boat", "boat"],
    "paper plane": ["paper plane", "paper airplane", "paper aeroplane"],
    "fish": ["fish"],
    "bird": ["bird"],
    "butterfly": ["butterfly"],
    "car": ["car", "little car"],
    "rocket": ["rocket", "rocket ship"],
    "whale": ["whale"],
    "kite": ["kite"],
    "lantern": ["lantern", "paper lantern"],
    "star": ["star", "smiling star"],
}
C_SYN = {
    "red": ["red", "red", "crimson", "scarlet"],
    "orange": ["orange"],
    "yellow": ["yellow", "yellow", "golden"],
    "green": ["green", "green", "emerald"],
    "blue": ["blue"],
    "purple": ["purple", "purple", "violet"],
    "pink": ["pink"],
    "white": ["white"],
}
M_SYN = {
    "left": ["drifts left", "moves left", "glides to the left", "travels from right to left"],
    "right": ["drifts right", "moves right", "glides to the right", "travels from left to right"],
    "rise": ["rises", "floats up", "goes up", "climbs upwards"],
    "fall": ["falls", "sinks down", "goes down", "drops downwards"],
    "bounce": ["bounces", "bounces up and down", "hops up and down"],
    "spin": ["spins", "spins around", "rotates", "twirls"],
    "grow": ["grows", "grows bigger", "gets larger", "comes closer"],
    "circle": ["circles", "moves in a circle", "flies in circles", "loops around"],
    "swing": ["swings", "swings back and forth", "sways from side to side"],
}
P_SYN = {
    "sea": ["over the sea", "across the sea", "above the ocean", "by the sea"],
    "desert": ["in the desert", "over the desert", "above the sand dunes"],
    "mountains": ["in the snowy mountains", "over the snowy mountains", "above the mountains"],
    "forest": ["in the forest", "over the forest", "among the trees"],
    "city": ["over the city", "in the city", "above the rooftops"],
    "meadow": ["over the meadow", "in a green meadow", "above the flowery hills"],
    "sky": ["in the sky", "among the clouds", "in the cloudy sky"],
    "space": ["in space", "in outer space", "among the planets"],
}
T_SYN = {
    "day": ["during the day", "by day", "in daylight", "on a bright day"],
    "sunset": ["at sunset", "at dusk", "in the evening"],
    "night": ["at night", "at night", "under the stars", "in the dark night"],
}
W_SYN = {
    "snow": ["in the snow", "while it snows", "with falling snow"],
    "rain": ["in the rain", "while it rains", "with falling rain"],
}
K_SYN = {
    "pan left": ["the camera pans left", "the view pans left"],
    "pan right": ["the camera pans right", "the view pans right"],
}


def caption(s, variant=0):
    r = Rng(s["cap"] + 7919 * variant)
    col, act = r.pick(C_SYN[s["colour"]]), r.pick(A_SYN[s["actor"]])
    art = r.pick(["a", "a", "a", "the", "one"])
    if art == "a" and col[0] in "aeiou":
        art = "an"
    n, v, p, t = f"{art} {col} {act}", r.pick(M_SYN[s["motion"]]), r.pick(P_SYN[s["place"]]), r.pick(T_SYN[s["time"]])
    form = r.i(6)
    if form <= 1:
        c = f"{n} {v} {p} {t}"
    elif form == 2:
        c = f"{t}, {n} {v} {p}"
    elif form == 3:
        c = f"{p} {t}, {n} {v}"
    elif form == 4:
        c = f"{n} {v} {t} {p}"
    else:
        c = f"{p}, {n} {v} {t}"
    if s["weather"] != "clear":
        w = r.pick(W_SYN[s["weather"]])
        c = f"{c} {w}" if r.i(2) else f"{c}, {w}"
    if s["camera"] != "still":
        c = f"{c}, {r.pick(K_SYN[s['camera']])}"
    if r.i(4) == 0:
        c = c[0].upper() + c[1:] + "."
    return c


def render(spec, frames=FRAMES):
    s = make_spec(spec) if isinstance(spec, int) else spec
    out = np.empty((frames, H, W, 3), np.uint8)
    sf = cairo.ImageSurface(cairo.FORMAT_RGB24, W, H)
    c = cairo.Context(sf)
    for f in range(frames):
        t = f / (FRAMES - 1)
        cam = {"still": 0.0, "pan left": -40.0 * (t - 0.5), "pan right": 40.0 * (t - 0.5)}[s["camera"]]
        background(c, s, t, cam)
        actor(c, s, t)
        weather(c, s, t)
        sf.flush()
        a = np.frombuffer(sf.get_data(), np.uint8).reshape(H, sf.get_stride() // 4, 4)
        out[f] = a[:, :W, 2::-1]
    return out


if __name__ == "__main__":
    import sys, time

    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    t0 = time.time()
    for i in range(n):
        render(i)
    print("%.1f clips/s" % (n / (time.time() - t0)))
    for i in range(12):
        print(caption(make_spec(i)))
    print(sum(held_out(a, c, m) for a in ACTORS for c in COLOURS for m in MOTIONS), "held-out triples")
