"""what a clip is painted on: drawing helpers, the places with their times of day, the weather"""

import math

import cairo


# ------------------------------------------------------------------ drawing helpers
def mix(a, b, k):
    return tuple(x + (y - x) * k for x, y in zip(a, b))


def tint(c, time, far=0.0):
    if time == "sunset":
        c = mix(c, (0.80, 0.36, 0.34), 0.38)
        return mix(c, (1.0, 0.68, 0.46), far * 0.5)
    if time == "night":
        c = mix(c, (0.07, 0.09, 0.30), 0.58)
        return mix(c, (0.16, 0.19, 0.42), far * 0.5)
    return mix(c, (0.82, 0.92, 1.0), far * 0.55)


SKY = {
    "day": [(0.30, 0.64, 0.95), (0.82, 0.94, 1.0)],
    "sunset": [(0.40, 0.24, 0.56), (0.95, 0.48, 0.40), (1.0, 0.83, 0.52)],
    "night": [(0.03, 0.05, 0.17), (0.17, 0.21, 0.46)],
}
SPACE = {
    "day": [(0.24, 0.20, 0.62), (0.56, 0.46, 0.90)],
    "sunset": [(0.30, 0.08, 0.34), (0.86, 0.38, 0.42)],
    "night": [(0.01, 0.01, 0.06), (0.10, 0.07, 0.24)],
}
DESERT = {"day": [(0.42, 0.74, 0.93), (0.99, 0.93, 0.76)]}
STARS = [
    (8, 12),
    (24, 34),
    (40, 9),
    (57, 26),
    (70, 11),
    (88, 38),
    (101, 18),
    (118, 44),
    (14, 58),
    (50, 50),
    (76, 62),
    (112, 70),
    (33, 72),
    (96, 56),
    (63, 44),
    (122, 6),
]


def fill_path(c, rgb, top, bottom, rgb2=None, shadow=True):
    """a paper layer: soft shadow above its edge, then a vertical gradient"""
    p = c.copy_path()
    if shadow:
        c.new_path()
        c.save()
        c.translate(0, -2.0)
        c.append_path(p)
        c.restore()
        c.set_source_rgba(0, 0, 0.1, 0.13)
        c.fill()
        c.new_path()
        c.append_path(p)
    g = cairo.LinearGradient(0, top, 0, bottom)
    g.add_color_stop_rgb(0, *rgb)
    g.add_color_stop_rgb(1, *(rgb2 or mix(rgb, (0, 0, 0), 0.16)))
    c.set_source(g)
    c.fill()


def ridge(c, fn, x0=-4, x1=132, step=4):
    c.move_to(x0, 140)
    x = x0
    while x <= x1:
        c.line_to(x, fn(x))
        x += step
    c.line_to(x1, 140)
    c.close_path()


def cloud(c, x, y, k, rgb, a=1.0):
    for dx, dy, rr in ((-15, 2, 8), (-5, -4, 11), (8, -2, 10), (17, 3, 7)):
        c.new_sub_path()
        c.arc(x + dx * k, y + dy * k, rr * k, 0, 2 * math.pi)
    c.rectangle(x - 16 * k, y + 1 * k, 34 * k, 9 * k)
    c.set_source_rgba(*rgb, a)
    c.fill()


def wrap(x, period):
    return (x % period + period) % period


def background(c, s, t, cam):
    """t in [0,1]; cam = camera offset in pixels at depth 1"""
    place, time = s["place"], s["time"]
    pal = SPACE[time] if place == "space" else (DESERT.get(time, SKY[time]) if place == "desert" else SKY[time])
    g = cairo.LinearGradient(0, 0, 0, 128 if place in ("sky", "space") else 96)
    for i, q in enumerate(pal):
        g.add_color_stop_rgb(i / (len(pal) - 1), *q)
    c.set_source(g)
    c.paint()
    u = s["terrain"] * 128
    if time == "night" or place == "space":
        for i, (x, y) in enumerate(STARS):
            xx = wrap(x + u * 0.5 - cam * 0.1, 132) - 2
            c.arc(xx, y if place != "space" else y * 1.6, 1.15 if i % 3 else 1.7, 0, 2 * math.pi)
            c.set_source_rgba(1, 1, 0.9, 0.9)
            c.fill()
    sx = 22 + 84 * s["sun"] - cam * 0.1
    if place == "space":
        px, py = 24 + 80 * s["sun"] - cam * 0.2, 30
        base = {"day": (0.95, 0.72, 0.42), "sunset": (0.98, 0.84, 0.55), "night": (0.45, 0.55, 0.85)}[time]
        c.arc(px, py, 17, 0, 2 * math.pi)
        fill_path(c, mix(base, (1, 1, 1), 0.2), 12, 50, mix(base, (0.2, 0, 0.2), 0.4), False)
        c.save()
        c.translate(px, py)
        c.rotate(-0.35)
        c.scale(1, 0.3)
        c.arc(0, 0, 26, 0, 2 * math.pi)
        c.restore()
        c.set_source_rgba(1, 0.95, 0.85, 0.75)
        c.set_line_width(2.6)
        c.stroke()
        # a cratered moon below as ground
        mx = 64 - cam * 0.6 + (s["terrain"] - 0.5) * 40
        c.arc(mx, 196, 92, 0, 2 * math.pi)
        mc = {"day": (0.80, 0.78, 0.86), "sunset": (0.86, 0.66, 0.66), "night": (0.44, 0.45, 0.58)}[time]
        fill_path(c, mc, 104, 132)
        for dx, dy, rr in ((-34, 14, 6), (-8, 12, 4), (20, 15, 7), (44, 24, 5)):
            c.save()
            c.translate(mx + dx, 104 + dy - 3)
            c.scale(1, 0.45)
            c.arc(0, 0, rr, 0, 2 * math.pi)
            c.restore()
            c.set_source_rgba(*mix(mc, (0, 0, 0.1), 0.3), 1)
            c.fill()
        return
    # sun or moon
    if time == "day":
        c.arc(sx, 20, 15, 0, 2 * math.pi)
        c.set_source_rgba(1, 0.95, 0.6, 0.35)
        c.fill()
        c.arc(sx, 20, 10, 0, 2 * math.pi)
        c.set_source_rgb(1, 0.9, 0.35)
        c.fill()
    elif time == "sunset":
        c.arc(sx, 66, 26, 0, 2 * math.pi)
        c.set_source_rgba(1, 0.9, 0.6, 0.30)
        c.fill()
        c.arc(sx, 66, 18, 0, 2 * math.pi)
        c.set_source_rgb(1, 0.88, 0.50)
        c.fill()
    else:
        c.arc(sx, 20, 10, 0, 2 * math.pi)
        c.set_source_rgb(0.98, 0.96, 0.84)
        c.fill()
        c.arc(sx + 4.5, 17.5, 8.4, 0, 2 * math.pi)
        c.set_source_rgb(*mix(pal[0], pal[-1], 0.2))
        c.fill()
    cl = {"day": (1, 1, 1), "sunset": (1.0, 0.78, 0.66), "night": (0.33, 0.37, 0.60)}[time]
    drift = 5 * t
    if place == "sky":
        for i, (x, y, k) in enumerate(((10, 44, 0.8), (78, 30, 0.9), (120, 62, 0.8))):
            cloud(c, wrap(x + u - cam * 0.4 + drift * 0.5, 190) - 30, y, k, mix(cl, pal[-1], 0.45))
        for i, (x, y, k) in enumerate(((0, 96, 1.5), (62, 104, 1.5), (124, 94, 1.5))):
            cloud(c, wrap(x + u - cam * 0.7 + drift, 186) - 28, y, k, mix(cl, pal[-1], 0.22))
        for i, (x, y, k) in enumerate(((30, 122, 1.9), (96, 124, 2.0), (150, 121, 1.8))):
            cloud(c, wrap(x + u - cam + drift * 1.5, 206) - 38, y, k, cl)
        return
    for x, y, k in ((26, 26, 0.62), (104, 40, 0.52)):
        cloud(c, wrap(x + u - cam * 0.2 + drift, 176) - 24, y, k, cl, 0.85)
    if place == "sea":
        for i, (y, col) in enumerate(((82, (0.25, 0.60, 0.85)), (95, (0.13, 0.47, 0.76)), (109, (0.06, 0.33, 0.62)))):
            ph = u * (1 + 0.3 * i) + 7 * math.sin(2 * math.pi * t + i * 1.7) + cam * (0.4 + 0.3 * i)
            ridge(c, lambda x: y + 2.6 * math.sin((x + ph) * 2 * math.pi / (30 + 6 * i)))
            fill_path(c, tint(col, time, 0.5 - 0.25 * i), y, y + 26)
    elif place == "desert":
        far, mid, near = (
            tint((0.93, 0.76, 0.48), time, 0.45),
            tint((0.90, 0.66, 0.36), time, 0.15),
            tint((0.80, 0.52, 0.26), time),
        )
        px = wrap(34 + u - cam * 0.3, 180) - 26  # a pyramid
        c.move_to(px - 22, 92)
        c.line_to(px, 62)
        c.line_to(px + 22, 92)
        c.close_path()
        fill_path(c, mix(far, (0.5, 0.3, 0.2), 0.22), 60, 92)
        ridge(c, lambda x: 84 + 6 * math.sin((x + u + cam * 0.4) * 2 * math.pi / 110))
        fill_path(c, far, 78, 110)
        ridge(c, lambda x: 97 + 6 * math.sin((x + u * 1.4 + cam * 0.7) * 2 * math.pi / 90 + 2))
        fill_path(c, mid, 90, 120)
        cx = wrap(96 + u - cam * 0.7, 170) - 20  # a cactus
        c.set_line_cap(cairo.LINE_CAP_ROUND)
        c.set_source_rgb(*tint((0.20, 0.52, 0.28), time))
        c.set_line_width(6)
        c.move_to(cx, 106)
        c.line_to(cx, 80)
        c.stroke()
        c.set_line_width(4)
        c.move_to(cx, 96)
        c.line_to(cx - 8, 94)
        c.line_to(cx - 8, 86)
        c.move_to(cx, 92)
        c.line_to(cx + 8, 90)
        c.line_to(cx + 8, 83)
        c.stroke()
        ridge(c, lambda x: 113 + 4 * math.sin((x + u * 1.8 + cam) * 2 * math.pi / 70 + 4))
        fill_path(c, near, 108, 130)
    elif place == "mountains":
        for i, (y, h, per, col, d) in enumerate(
            ((96, 48, 62, (0.55, 0.64, 0.78), 0.3), (112, 42, 76, (0.40, 0.50, 0.66), 0.6))
        ):
            base = tint(col, time, 0.5 - 0.4 * i)
            snow = tint((0.97, 0.98, 1.0), time, 0.1)
            o = wrap(u * (1 + 0.6 * i) - cam * d, per) - per
            x = o
            while x < 140 + per:
                c.move_to(x - per * 0.62, y + 6)
                c.line_to(x, y - h)
                c.line_to(x + per * 0.62, y + 6)
                c.close_path()
                fill_path(c, base, y - h, y)
                k = 0.36
                c.move_to(x, y - h)
                c.line_to(x + per * 0.62 * k, y - h + (h + 6) * k)
                c.line_to(x + per * 0.2 * k, y - h + (h + 6) * k * 0.72)
                c.line_to(x - per * 0.15 * k, y - h + (h + 6) * k * 1.1)
                c.line_to(x - per * 0.62 * k, y - h + (h + 6) * k)
                c.close_path()
                c.set_source_rgb(*snow)
                c.fill()
                x += per
        ridge(c, lambda x: 112 + 4 * math.sin((x + u + cam) * 2 * math.pi / 80))
        fill_path(c, tint((0.93, 0.96, 1.0), time), 106, 130, tint((0.72, 0.80, 0.92), time))
    elif place == "forest":
        for i, (y, h, wd, gap, col, d) in enumerate(
            ((94, 40, 13, 17, (0.36, 0.62, 0.46), 0.35), (112, 46, 17, 25, (0.16, 0.46, 0.30), 0.65))
        ):
            col = tint(col, time, 0.5 - 0.4 * i)
            o = wrap(u * (1 + 0.5 * i) - cam * d, gap * 2) - gap * 2
            n, x = 0, o
            while x < 150:
                hh = h * (1 if n % 2 else 0.8)
                for q in range(3):
                    yy = y - hh * (0.25 + 0.25 * q)
                    ww = wd * (1 - 0.24 * q)
                    c.move_to(x - ww, yy + hh * 0.34)
                    c.line_to(x, yy - hh * 0.12)
                    c.line_to(x + ww, yy + hh * 0.34)
                    c.close_path()
                c.rectangle(x - 2, y - 8, 4, 12)
                fill_path(c, mix(col, (1, 1, 0.6), 0.08), y - hh, y, col, i == 1)
                x += gap
                n += 1
            ridge(c, lambda x: y - 1 + 2 * math.sin((x + u + cam * d) * 2 * math.pi / 60))
            fill_path(c, mix(col, (0.2, 0.25, 0.05), 0.25), y - 3, y + 22)
        ridge(c, lambda x: 117 + 2 * math.sin((x + u + cam) * 2 * math.pi / 48))
        fill_path(c, tint((0.24, 0.40, 0.14), time), 114, 130)
    elif place == "city":
        for i, (y, col, d, bw) in enumerate(((128, (0.62, 0.68, 0.80), 0.35, 19), (128, (0.34, 0.38, 0.54), 0.7, 25))):
            col = tint(col, time, 0.4 - 0.4 * i)
            hs = (46, 62, 38, 70, 52) if i == 0 else (34, 24, 44, 30, 20)
            per = bw * len(hs)
            o = wrap(u * (1 + 0.7 * i) - cam * d, per) - per
            win = {"day": (0.88, 0.95, 1.0), "sunset": (1.0, 0.84, 0.5), "night": (1.0, 0.88, 0.45)}[time]
            for k in range(3):
                for n, hh in enumerate(hs):
                    x = o + k * per + n * bw
                    if x > 130 or x + bw < -2:
                        continue
                    c.rectangle(x, y - hh - 8, bw - 2, hh + 10)
                    fill_path(c, col, y - hh, y)
                    c.set_source_rgba(*win, 0.85)
                    for wy in range(int(hh // 11)):
                        for wx in range(2 if i == 0 else 3):
                            c.rectangle(x + 3 + wx * 7, y - hh - 3 + wy * 11, 3.6, 5)
                    c.fill()
        c.rectangle(-2, 120, 132, 10)
        fill_path(c, tint((0.30, 0.30, 0.34), time), 120, 128)
    elif place == "meadow":
        ridge(c, lambda x: 84 + 7 * math.sin((x + u + cam * 0.4) * 2 * math.pi / 120))
        fill_path(c, tint((0.55, 0.80, 0.45), time, 0.35), 78, 110)
        hx = wrap(30 + u - cam * 0.4, 176) - 24  # a small house
        c.rectangle(hx - 8, 76, 16, 13)
        c.set_source_rgb(*tint((0.98, 0.93, 0.82), time))
        c.fill()
        c.move_to(hx - 11, 77)
        c.line_to(hx, 66)
        c.line_to(hx + 11, 77)
        c.close_path()
        c.set_source_rgb(*tint((0.78, 0.30, 0.22), time))
        c.fill()
        ridge(c, lambda x: 97 + 6 * math.sin((x + u * 1.3 + cam * 0.7) * 2 * math.pi / 96 + 2))
        fill_path(c, tint((0.40, 0.72, 0.30), time, 0.1), 90, 120)
        tx = wrap(100 + u - cam * 0.7, 176) - 24  # a round tree
        c.rectangle(tx - 2, 88, 4, 14)
        c.set_source_rgb(*tint((0.45, 0.30, 0.18), time))
        c.fill()
        c.arc(tx, 82, 11, 0, 2 * math.pi)
        fill_path(c, tint((0.24, 0.58, 0.26), time), 70, 94)
        ridge(c, lambda x: 111 + 3 * math.sin((x + u * 1.7 + cam) * 2 * math.pi / 72 + 4))
        fill_path(c, tint((0.27, 0.60, 0.20), time), 106, 130)
        for n in range(9):  # flowers
            x = wrap(n * 17 + u * 1.7 - cam, 153) - 8
            c.arc(x, 118 + 3 * (n % 3), 2.3, 0, 2 * math.pi)
            c.set_source_rgb(*tint(((1, 0.95, 0.95), (1, 0.8, 0.25), (0.98, 0.55, 0.65))[n % 3], time))
            c.fill()


FLAKES = [((i * 37 + 11) % 128, (i * 53 + 29) % 128, 1.5 + 0.45 * (i % 3)) for i in range(26)]
DROPS = [((i * 41 + 7) % 136, (i * 59 + 13) % 128) for i in range(26)]


def weather(c, s, t):
    if s["weather"] == "snow":
        c.set_source_rgba(1, 1, 1, 0.95)
        for x, y, r in FLAKES:
            c.new_sub_path()
            c.arc(wrap(x + 4 * math.sin(2 * math.pi * t + y), 132) - 2, wrap(y + 64 * t, 134) - 3, r, 0, 2 * math.pi)
            c.close_path()
        c.fill()
    elif s["weather"] == "rain":
        c.set_source_rgba(0.80, 0.90, 1.0, 0.62)
        c.set_line_width(1.5)
        c.set_line_cap(cairo.LINE_CAP_ROUND)
        for x, y in DROPS:
            yy = wrap(y + 268 * t, 134) - 6
            c.move_to(x - yy * 0.12, yy)
            c.line_to(x - yy * 0.12 - 1.3, yy + 10)
        c.stroke()
