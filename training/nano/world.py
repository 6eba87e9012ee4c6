"""The world that the embedded model knows: a paper theatre, drawn with Cairo from one integer.

make_spec(seed, ...) says what is in a clip, render(spec) draws it as uint8 [frames, height, width, 3] at 12 frames a
second, captions.caption(spec, variant) tells it in English or French."""

import math

import cairo
import numpy as np

from actors import draw_actor
from scenery import background, weather

FPS = 12
BEAT = 24  # frames of one turn, one bounce cycle and so on: a clip of 25 frames holds one
SHAPES = [(128, 128), (160, 96), (96, 160)]  # width, height
LENGTHS = [25, 49]

ACTORS = "balloon,sailboat,paper plane,fish,bird,butterfly,car,rocket,whale,kite,lantern,star".split(",")
COLOURS = "red,orange,yellow,green,blue,purple,pink,white".split(",")
MOTIONS = "left,right,rise,fall,bounce,spin,grow,circle,swing".split(",")
PLACES = "sea,desert,mountains,forest,city,meadow,sky,space".split(",")
TIMES = "day,sunset,night,nightfall".split(",")
WEATHERS = "clear,snow,rain".split(",")
CAMERAS = "still,pan left,pan right".split(",")

SIZES = 48, 38  # pixels: an actor alone, and one of two
# What the caption does not tell is one of a few, so far of one: a small transformer has to find out early which of them
# the noise becomes. Actors stand where what they look like falls the same way into the latents' grid.
TERRAINS = (0,)  # shift of the scenery
SUNS = 0.125, 0.5, 0.875  # where sun and moon stand: each place has its own
STEP, STEPS = 16, (0,)  # pixels; away from where a motion is centred

TWO, THEN = 0.2, 0.3  # share of clips with two actors; of the long ones with one actor, share of "first ... then"


class Rng:
    """splitmix64; seeds are spread by another multiplier than its step, else neighbours would share their numbers"""

    def __init__(self, seed):
        self.s = (seed * 0xD1342543DE82EF95 + 0x1234567) % 2**64

    def u64(self):
        self.s = (self.s + 0x9E3779B97F4A7C15) % 2**64
        z = self.s
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    def f(self, a=0.0, b=1.0):
        return a + (b - a) * ((self.u64() >> 11) / 2.0**53)

    def pick(self, xs):
        return xs[int(self.f() * len(xs))]

    def weighted(self, xs, weights):
        u = self.f() * sum(weights)
        for x, w in zip(xs, weights):
            u -= w
            if u < 0:
                return x
        return xs[-1]


def held_out(actor, colour, motion):
    """about 9 % of the (actor, colour, motion) triples never occur in training"""
    return (ACTORS.index(actor) * 7 + COLOURS.index(colour) * 5 + MOTIONS.index(motion) * 3) % 11 == 0


def pick_actor(r, others, held):
    """who does what, unlike the others; `held`: whether the triple is one of the held-out ones"""
    while True:
        a = dict(actor=r.pick(ACTORS), colour=r.pick(COLOURS), motion=r.pick(MOTIONS), then=None)
        new = all(a["actor"] != o["actor"] and a["colour"] != o["colour"] for o in others)
        if new and held_out(a["actor"], a["colour"], a["motion"]) == held:
            return a


def make_spec(seed, split="train", shape=SHAPES[0], frames=LENGTHS[0]):
    """split "held": the (first) actor, its colour and its motion are one of the held-out triples"""
    r = Rng(seed)
    s = dict(seed=seed, width=shape[0], height=shape[1], frames=frames, actors=[])
    s["actors"].append(pick_actor(r, [], split == "held"))
    two, then, second = r.f() < TWO, r.f() < THEN, pick_actor(r, s["actors"], False)
    if two:
        s["actors"].append(second)
    elif then and frames > LENGTHS[0]:
        a = s["actors"][0]
        a["then"] = r.pick([m for m in MOTIONS if m != a["motion"] and not held_out(a["actor"], a["colour"], m)])
    s["place"], s["time"] = r.pick(PLACES), r.weighted(TIMES, (28, 28, 28, 16))
    s["weather"] = r.weighted(WEATHERS, (80, 10, 10))
    s["camera"] = r.weighted(CAMERAS, (76, 12, 12))
    for a in s["actors"]:
        a["size"] = SIZES[two]
        a["step"] = r.pick(STEPS)
    s["terrain"], s["sun"] = r.pick(TERRAINS), SUNS[PLACES.index(s["place"]) % len(SUNS)]
    s["words"] = r.u64() % 2**32  # which caption
    return s


# ------------------------------------------------------------------ motion
def move(motion, u, room, beats):
    """(dx, dy, rotation, scale, squash) after the part u of a motion, from (0, 0, 0, 1, 0); room: the pixels free"""
    x, y = room
    turn = 2 * math.pi * u * beats
    if motion in ("left", "right"):
        return (min(x, 64) * u * (-1 if motion == "left" else 1), 0, 0, 1, 0)
    if motion in ("rise", "fall"):
        return (0, min(y, 64) * u * (-1 if motion == "rise" else 1), 0, 1, 0)
    if motion == "bounce":
        b = abs(math.sin(turn))
        return (0, -min(y, 44) * b, 0, 1, 0.9 * max(0, 0.25 - b) * min(1, 8 * u, abs(8 - 8 * u)))
    if motion == "spin":
        return (0, 0, turn, 1, 0)
    if motion == "grow":
        return (0, 0, 0, 2.4**u, 0)
    if motion == "circle":
        k = min(x, y, 44) / 2
        return (k * math.sin(turn), k - k * math.cos(turn), 0, 1, 0)
    if motion == "swing":
        k, a = min(x / 1.2, 44), 0.65 * math.sin(turn)
        return (k * math.sin(a), k * math.cos(a) - k, -a, 1, 0)
    raise ValueError(motion)


def path(a, room, frames, at):
    """[(dx, dy, rotation, scale, squash)] of an actor in a clip so long, at these of its frames"""
    beats = max(1, (frames - 1) // BEAT)
    out = []
    for f in at:
        u = f / (frames - 1)
        if a["then"] is None:
            out.append(move(a["motion"], u, room, beats))
        else:
            p, q = move(a["motion"], min(1, 2 * u), room, 1), move(a["then"], max(0, 2 * u - 1), room, 1)
            out.append((p[0] + q[0], p[1] + q[1], p[2] + q[2], p[3] * q[3], p[4] + q[4]))
    return out


def places(s):
    """for each actor its part of the picture (x, y, width, height)"""
    w, h = s["width"], s["height"]
    if len(s["actors"]) == 1:
        return [(0, 0, w, h)]
    if h > w or (h == w and s["actors"][0]["motion"] in ("left", "right", "swing")):
        return [(0, 0, w, h / 2), (0, h / 2, w, h / 2)]
    return [(0, 0, w / 2, h), (w / 2, 0, w / 2, h)]


def tracks(s, at=None):
    """for each actor its frames' (x, y, rotation, scale, squash), the path centred in the actor's part of the picture,
    or a step beside that where there is room. at: which frames; those behind the last go on as the clip ends"""
    out = []
    for a, (x0, y0, w, h) in zip(s["actors"], places(s)):
        grows = "grow" in (a["motion"], a["then"])
        size = a["size"] * (1.3 if grows else 1)  # of the largest picture
        room = max(0, w - size - 4), max(0, h - size - 4)
        p = path(a, room, s["frames"], range(s["frames"]))
        smallest = size / a["size"] / max(q[3] for q in p)
        xs, ys = [q[0] for q in p], [q[1] for q in p]
        free_x, free_y = room[0] - (max(xs) - min(xs)), room[1] - (max(ys) - min(ys))
        x = x0 + w / 2 - (max(xs) + min(xs)) / 2
        y = y0 + h / 2 - (max(ys) + min(ys)) / 2
        if free_x >= 2 * STEP:
            x += a["step"] * STEP
        elif free_y >= 2 * STEP:
            y += a["step"] * STEP
        shown = p if at is None else path(a, room, s["frames"], at)
        out.append([(x + q[0], y + q[1], q[2], q[3] * smallest, q[4]) for q in shown])
    return out


def facing(a):
    """whether an actor looks left"""
    return "left" in (a["motion"], a["then"]) and "right" not in (a["motion"], a["then"])


def pan(s):
    """which way the camera goes: -1 left, 1 right, 0"""
    return {"still": 0, "pan left": -1, "pan right": 1}[s["camera"]]


def pixels(surface):
    """a view of an RGB24 surface, [height, width, 3]"""
    surface.flush()
    rows = np.frombuffer(surface.get_data(), np.uint8).reshape(surface.get_height(), surface.get_stride() // 4, 4)
    return rows[:, : surface.get_width(), 2::-1]


def render(spec, every=1, at=None):
    """every: draw only every so manyth frame; at: which frames, as in tracks()"""
    s = make_spec(spec) if isinstance(spec, int) else spec
    w, h, n = s["width"], s["height"], s["frames"]
    at = range(0, n, every) if at is None else at
    out = np.empty((len(at), h, w, 3), np.uint8)
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, w, h)
    c = cairo.Context(surface)
    track = tracks(s, at)
    for i, f in enumerate(at):
        u, beat = f / (n - 1), f / BEAT
        background(c, s, u, beat, pan(s) * 32 * (u - 0.5))
        for a, frames in zip(s["actors"], track):
            draw_actor(c, a["actor"], a["colour"], a["size"], frames[i], facing(a), beat)
        weather(c, s, beat)
        out[i] = pixels(surface)
    return out
