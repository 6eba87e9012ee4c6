"""What a clip is painted on: light, sky, eight places in flat paper layers, and the weather.

Heights are counted from the bottom: `Stage.y(40)` is 40 pixels above it. A camera that pans shifts each layer by its
depth: 1 is nearest."""

import math

import cairo


def mix(a, b, k):
    return tuple(x + (y - x) * k for x, y in zip(a, b))


SKY = dict(  # top, middle, horizon
    day=[(0.36, 0.68, 0.95), (0.60, 0.82, 0.97), (0.84, 0.94, 0.99)],
    sunset=[(0.42, 0.28, 0.58), (0.93, 0.49, 0.44), (1.0, 0.80, 0.54)],
    night=[(0.06, 0.08, 0.24), (0.12, 0.15, 0.36), (0.20, 0.24, 0.48)],
)
SPACE = dict(
    day=[(0.28, 0.24, 0.62), (0.40, 0.34, 0.74), (0.54, 0.46, 0.86)],
    sunset=[(0.32, 0.12, 0.38), (0.58, 0.24, 0.42), (0.84, 0.40, 0.44)],
    night=[(0.04, 0.03, 0.12), (0.08, 0.06, 0.20), (0.12, 0.09, 0.28)],
)
CLOUD = dict(day=(1, 1, 1), sunset=(1.0, 0.80, 0.70), night=(0.36, 0.40, 0.62))
STARS = [(0.06, 0.10), (0.22, 0.30), (0.34, 0.07), (0.47, 0.24), (0.60, 0.10), (0.71, 0.34), (0.84, 0.14), (0.94, 0.38)]
SHADE = {  # of a paper layer in this light: towards a colour, how far; and of far layers towards another
    "day": ((1, 1, 1), 0.0, (0.84, 0.93, 1.0)),
    "sunset": ((0.82, 0.38, 0.36), 0.36, (1.0, 0.70, 0.50)),
    "night": ((0.08, 0.10, 0.30), 0.58, (0.20, 0.23, 0.46)),
}


class Stage:
    """one frame: where to draw, what light there is, and how far each layer is shifted"""

    def __init__(self, c, s, u, beat, camera):
        self.c, self.w, self.h = c, s["width"], s["height"]
        self.beat, self.camera = beat, camera
        self.shift = s["terrain"] * 128
        self.sun = s["sun"]
        self.rain, self.snow = s["weather"] == "rain", s["weather"] == "snow"
        if s["time"] == "nightfall":
            k = min(1, max(0, 1.25 * u - 0.125))
            k = k * k * (3 - 2 * k)
            self.light = dict(day=1 - k, sunset=0.0, night=k)
        else:
            self.light = {t: float(t == s["time"]) for t in SKY}

    def blend(self, by_time):
        """a colour of which there is one for each light"""
        return tuple(sum(k * by_time[t][i] for t, k in self.light.items()) for i in range(3))

    def paper(self, colour, far=0.0):
        """the colour of a paper layer in this light; far: 0 near, 1 at the horizon"""
        out = self.blend({t: mix(mix(colour, q, k), haze, far * 0.5) for t, (q, k, haze) in SHADE.items()})
        if self.snow:
            out = mix(
                out, self.blend(dict(day=(0.95, 0.97, 1), sunset=(0.95, 0.82, 0.84), night=(0.5, 0.54, 0.72))), 0.4
            )
        return mix(out, self.grey(), 0.3) if self.rain else out

    def grey(self):
        return self.blend(dict(day=(0.60, 0.65, 0.72), sunset=(0.55, 0.42, 0.46), night=(0.16, 0.18, 0.26)))

    def y(self, up):
        return self.h - up

    def x(self, at, depth, room=30):
        """where something stands that may leave at one side and come back at the other, `room` pixels outside"""
        return (at + self.shift - self.camera * depth) % (self.w + 2 * room) - room

    def fill(self, colour, shadow=True):
        """fills the path; a soft shadow lies above a layer's edge"""
        path = self.c.copy_path()
        if shadow:
            self.c.new_path()
            self.c.save()
            self.c.translate(0, -2)
            self.c.append_path(path)
            self.c.restore()
            self.c.set_source_rgba(0, 0, 0.1, 0.12)
            self.c.fill()
            self.c.new_path()
            self.c.append_path(path)
        self.c.set_source_rgb(*colour)
        self.c.fill()

    def ridge(self, up, height, period, depth, phase, colour, sway=0.0):
        """a wavy layer down to the bottom"""
        c, o = self.c, self.shift * (0.5 + depth) + self.camera * depth + sway
        c.move_to(-4, self.h + 4)
        for x in range(-4, self.w + 8, 4):
            c.line_to(x, self.y(up) - height * math.sin((x + o) * 2 * math.pi / period + phase))
        c.line_to(self.w + 4, self.h + 4)
        c.close_path()
        self.fill(colour)

    def row(self, period, depth):
        """x and number of things that stand in a row without end"""
        o = self.shift * (0.5 + depth) - self.camera * depth
        n = math.floor((-o - period) / period)
        while n * period + o < self.w + period:
            yield n * period + o, n
            n += 1

    def polygon(self, *points):
        self.c.move_to(*points[0])
        for p in points[1:]:
            self.c.line_to(*p)
        self.c.close_path()

    def disc(self, x, y, r):
        self.c.new_sub_path()
        self.c.arc(x, y, r, 0, 2 * math.pi)
        self.c.close_path()

    def cloud(self, x, y, k, colour):
        for dx, dy, r in ((-15, 2, 8), (-4, -4, 11), (9, -2, 10), (18, 3, 7)):
            self.disc(x + dx * k, y + dy * k, r * k)
        self.c.rectangle(x - 15 * k, y + k, 33 * k, 9 * k)
        self.fill(colour, False)


def background(c, s, u, beat, camera):
    """u: the part of the clip that has passed; beat: 24 frames are one"""
    g = Stage(c, s, u, beat, camera)
    palette = SPACE if s["place"] == "space" else SKY
    sky = cairo.LinearGradient(0, 0, 0, g.h if s["place"] in ("sky", "space") else g.h - 28)
    for i in range(3):
        colour = g.blend({t: q[i] for t, q in palette.items()})
        if s["place"] != "space":
            colour = mix(colour, g.grey(), 0.6 if g.rain else 0.25 if g.snow else 0)
        sky.add_color_stop_rgb(i / 2, *colour)
    c.set_source(sky)
    c.paint()
    stars(g, 1.0 if s["place"] == "space" else 0.0 if g.rain else g.light["night"])
    if s["place"] != "space":
        sun_and_moon(g)
    PLACES[s["place"]](g)


def stars(g, brightness):
    if brightness < 0.02:
        return
    for i, (x, y) in enumerate(STARS):
        g.disc((x * g.w + g.shift * 0.5 - g.camera * 0.3) % (g.w + 8) - 4, y * g.h * 0.8 + 4, 1.5 + 0.5 * (i % 2))
    g.c.set_source_rgba(1, 1, 0.88, 0.9 * brightness)
    g.c.fill()


def sun_and_moon(g):
    c, x, top = g.c, g.w * (0.18 + 0.64 * g.sun) - g.camera * 0.2, 0.17 * g.h
    if g.rain:
        return
    day, sunset, night = g.light["day"], g.light["sunset"], g.light["night"]
    if sunset > 0:
        for r, colour in ((27, (1, 0.78, 0.50)), (19, (1, 0.90, 0.58))):
            g.disc(x, g.y(60), r)
            g.fill(colour, False)
    if day > 0:  # goes down at nightfall
        y = top + (g.h * 0.75) * min(1, 1.3 * night)
        g.disc(x, y, 15)
        g.fill(mix(g.blend({t: q[1] for t, q in SKY.items()}), (1, 0.95, 0.65), 0.5), False)
        g.disc(x, y, 11)
        g.fill((1, 0.90, 0.38), False)
    if night > 0:  # a crescent
        y = top - 30 * day
        c.new_sub_path()
        c.arc(x, y, 11, 0.6, math.pi + 1.7)
        c.arc_negative(x + 6, y - 4.5, 9, math.pi + 1.35, 0.95)
        c.close_path()
        g.fill((0.98, 0.96, 0.82), False)


def clouds(g, many=((30, 0.14, 0.62), (112, 0.26, 0.52)), depth=0.35):
    colour = mix(g.blend(CLOUD), g.grey(), 0.5 if g.rain else 0)
    for at, y, k in many:
        g.cloud(g.x(at + 4 * g.beat, depth), y * g.h, k, colour)


def sea(g):
    clouds(g)
    x = g.x(70, 0.5)  # an island with a palm
    g.c.save()
    g.c.translate(x, g.y(47))
    g.c.scale(1, 0.55)
    g.c.arc(0, 0, 20, math.pi, 0)
    g.c.restore()
    g.fill(g.paper((0.95, 0.84, 0.56), 0.3))
    g.polygon((x - 1, g.y(55)), (x + 3, g.y(76)), (x + 6, g.y(76)), (x + 4, g.y(55)))
    g.fill(g.paper((0.55, 0.36, 0.22), 0.2), False)
    for a in (-2.7, -1.9, -1.1, -0.3):
        g.c.save()
        g.c.translate(x + 4 + 8 * math.cos(a), g.y(75) + 6 * math.sin(a) + 3)
        g.c.rotate(a * 0.5 + 0.8)
        g.c.scale(9, 3.5)
        g.disc(0, 0, 1)
        g.c.restore()
    g.fill(g.paper((0.24, 0.58, 0.30), 0.2), False)
    for i, colour in enumerate(((0.36, 0.68, 0.86), (0.20, 0.53, 0.78), (0.10, 0.38, 0.66))):
        sway = 3.5 * math.sin(2 * math.pi * g.beat + 1.7 * i)
        g.ridge(46 - 15 * i, 2.5, 32 + 8 * i, 0.5 + 0.25 * i, i, g.paper(colour, 0.5 - 0.25 * i), sway)


def desert(g):
    clouds(g, ((60, 0.18, 0.55),))
    x = g.x(34, 0.35)
    g.polygon((x - 26, g.y(36)), (x, g.y(70)), (x + 26, g.y(36)))
    g.fill(g.paper((0.80, 0.60, 0.40), 0.35))
    g.polygon((x, g.y(70)), (x + 26, g.y(36)), (x + 6, g.y(36)))
    g.fill(g.paper((0.68, 0.48, 0.32), 0.35), False)
    g.ridge(42, 6, 110, 0.5, 0, g.paper((0.95, 0.79, 0.52), 0.35))
    g.ridge(29, 6, 90, 0.75, 2, g.paper((0.91, 0.68, 0.39), 0.15))
    x = g.x(100, 0.75)  # a cactus
    c = g.c
    c.set_line_cap(cairo.LINE_CAP_ROUND)
    c.set_line_join(cairo.LINE_JOIN_ROUND)
    c.set_source_rgb(*g.paper((0.24, 0.55, 0.32)))
    c.set_line_width(7)
    c.move_to(x, g.y(20))
    c.line_to(x, g.y(50))
    c.stroke()
    c.set_line_width(5)
    for side, up in ((-1, 34), (1, 38)):
        c.move_to(x, g.y(up))
        c.line_to(x + side * 10, g.y(up))
        c.line_to(x + side * 10, g.y(up + 9))
    c.stroke()
    g.ridge(14, 4, 70, 1, 4, g.paper((0.82, 0.55, 0.29)))


def mountains(g):
    clouds(g)
    for up, height, period, colour, depth in (
        (32, 50, 76, (0.60, 0.68, 0.82), 0.4),
        (18, 44, 96, (0.44, 0.53, 0.70), 0.7),
    ):
        for x, n in g.row(period, depth):
            h = height * (1 if n % 2 else 0.82)
            half = period * 0.62
            g.polygon((x - half, g.y(up - 6)), (x, g.y(up + h)), (x + half, g.y(up - 6)))
            g.fill(g.paper(colour, 0.5 if depth < 0.5 else 0.1))
            k = 0.34
            top = up + h
            g.polygon(
                (x, g.y(top)),
                (x + half * k, g.y(top - (h + 6) * k)),
                (x, g.y(top - (h + 6) * k * 0.75)),
                (x - half * k, g.y(top - (h + 6) * k)),
            )
            g.fill(g.paper((0.97, 0.98, 1.0), 0.1), False)
    g.ridge(15, 4, 80, 1, 0, g.paper((0.92, 0.95, 1.0)))


def forest(g):
    clouds(g, ((60, 0.14, 0.55),))
    for up, height, half, period, colour, depth in (
        (34, 44, 15, 24, (0.42, 0.66, 0.50), 0.4),
        (16, 50, 20, 40, (0.20, 0.50, 0.34), 0.7),
    ):
        far = 0.5 if depth < 0.5 else 0.1
        for x, n in g.row(period, depth):
            h = height * (1 if n % 2 else 0.8)
            for k in (0, 1):
                base, w = up + h * 0.42 * k, half * (1 - 0.28 * k)
                g.polygon((x - w, g.y(base)), (x, g.y(base + h * 0.6)), (x + w, g.y(base)))
                g.fill(g.paper(mix(colour, (1, 1, 0.6), 0.12 * k), far), depth > 0.5)
        g.ridge(up, 2.5, 60, depth, 0, g.paper(mix(colour, (0.2, 0.25, 0.05), 0.3), far))
    g.ridge(10, 2.5, 48, 1, 0, g.paper((0.30, 0.46, 0.18)))


def city(g):
    clouds(g)
    window = g.blend(dict(day=(0.90, 0.96, 1.0), sunset=(1.0, 0.86, 0.52), night=(1.0, 0.88, 0.46)))
    for heights, width, colour, depth in (
        ((58, 76, 48, 84, 64), 26, (0.68, 0.73, 0.84), 0.4),
        ((40, 28, 50, 34), 34, (0.42, 0.46, 0.62), 0.75),
    ):
        for x, n in g.row(width, depth):
            h = heights[n % len(heights)]
            g.c.rectangle(x, g.y(h), width - 3, h + 4)
            g.fill(g.paper(colour, 0.4 if depth < 0.5 else 0))
            if depth > 0.5:
                for k in range((h - 10) // 14):
                    g.c.rectangle(x + 6, g.y(h - 7 - 14 * k), 7, 8)
                    g.c.rectangle(x + 18, g.y(h - 7 - 14 * k), 7, 8)
                g.fill(window, False)
            elif n % 2:
                g.polygon((x, g.y(h)), (x + (width - 3) / 2, g.y(h + 10)), (x + width - 3, g.y(h)))
                g.fill(g.paper((0.74, 0.50, 0.48), 0.4), False)
    g.c.rectangle(-2, g.y(9), g.w + 4, 12)
    g.fill(g.paper((0.36, 0.36, 0.42)))


def meadow(g):
    clouds(g)
    g.ridge(44, 7, 120, 0.4, 0, g.paper((0.60, 0.82, 0.50), 0.35))
    x = g.x(34, 0.4)  # a house
    g.c.rectangle(x - 10, g.y(54), 20, 18)
    g.fill(g.paper((0.98, 0.93, 0.82)), False)
    g.polygon((x - 14, g.y(53)), (x, g.y(68)), (x + 14, g.y(53)))
    g.fill(g.paper((0.80, 0.36, 0.28)), False)
    g.c.rectangle(x - 4, g.y(48), 8, 8)
    g.fill(g.blend(dict(day=(0.60, 0.76, 0.88), sunset=(1, 0.82, 0.5), night=(1, 0.88, 0.46))), False)
    g.ridge(31, 6, 96, 0.7, 2, g.paper((0.45, 0.74, 0.36), 0.1))
    x = g.x(104, 0.7)  # a tree
    g.c.rectangle(x - 3, g.y(42), 6, 16)
    g.fill(g.paper((0.48, 0.33, 0.22)), False)
    g.disc(x, g.y(52), 15)
    g.fill(g.paper((0.28, 0.60, 0.30)))
    g.ridge(16, 3, 72, 1, 4, g.paper((0.32, 0.63, 0.25)))
    for x, n in g.row(26, 1):  # flowers
        g.disc(x, g.y(7 + 2 * (n % 2)), 3.2)
        g.fill(g.paper(((1, 0.95, 0.95), (1, 0.82, 0.30), (0.98, 0.58, 0.68))[n % 3]), False)


def sky(g):
    low, white = g.blend({t: q[2] for t, q in SKY.items()}), mix(g.blend(CLOUD), g.grey(), 0.5 if g.rain else 0)
    for depth, up, k, fade, period in ((0.4, 86, 0.9, 0.5, 96), (0.7, 34, 1.5, 0.25, 78), (1, 2, 2.0, 0, 70)):
        for x, n in g.row(period, depth):
            g.cloud(x + 5 * depth * g.beat, g.y(up + 5 * (n % 2)), k, mix(white, low, fade))


def space(g):
    c, x, y = g.c, g.x(90 * g.sun, 0.4), 0.24 * g.h  # a planet with a ring
    colour = g.blend(dict(day=(0.96, 0.74, 0.46), sunset=(0.98, 0.84, 0.58), night=(0.50, 0.60, 0.88)))
    g.disc(x, y, 17)
    g.fill(colour, False)
    c.save()
    c.translate(x, y)
    c.rotate(-0.35)
    c.scale(1, 0.3)
    g.disc(0, 0, 27)
    c.restore()
    c.set_source_rgb(*mix(colour, (1, 1, 1), 0.6))
    c.set_line_width(3.2)
    c.stroke()
    moon = g.blend(dict(day=(0.82, 0.80, 0.88), sunset=(0.88, 0.68, 0.68), night=(0.50, 0.51, 0.64)))
    g.ridge(22, 5, 150, 0.8, 1, moon)
    for x, n in g.row(46, 0.8):
        c.save()
        c.translate(x, g.y(11 - 3 * (n % 2)))
        c.scale(1, 0.45)
        g.disc(0, 0, 9 - 2 * (n % 2))
        c.restore()
        g.fill(mix(moon, (0, 0, 0.1), 0.25), False)


PLACES = dict(
    sea=sea, desert=desert, mountains=mountains, forest=forest, city=city, meadow=meadow, sky=sky, space=space
)

FLAKES = [((i * 37 + 11) % 160, (i * 61 + 29) % 120, 2.4 + 0.7 * (i % 2)) for i in range(16)]
DROPS = [((i * 43 + 7) % 168, (i * 67 + 13) % 120) for i in range(14)]


def weather(c, s, beat):
    w, h = s["width"], s["height"]
    if s["weather"] == "snow":
        for x, y, r in FLAKES:
            x, y = (x + 4 * math.sin(2 * math.pi * beat + y)) % 168 - 4, (y * 1.4 + 40 * beat) % 168 - 4
            c.new_sub_path()
            c.arc(x * w / 160, y * h / 160, r, 0, 2 * math.pi)
            c.close_path()
        c.set_source_rgb(1, 1, 1)
        c.fill()
    elif s["weather"] == "rain":
        c.set_source_rgb(0.86, 0.93, 1.0)
        c.set_line_width(2.2)
        c.set_line_cap(cairo.LINE_CAP_ROUND)
        for x, y in DROPS:
            y = ((y * 1.5 + 176 * beat) % 176 - 8) * h / 160
            c.move_to(x * w / 160 - y * 0.12, y)
            c.line_to(x * w / 160 - y * 0.12 - 1.2, y + 10)
        c.stroke()
