"""The actors: paper figures in a unit box (y down, facing right) with a white border and a soft shadow."""

import math

import cairo

from scenery import mix

RGB = {
    "red": (0.88, 0.13, 0.14),
    "orange": (0.98, 0.53, 0.08),
    "yellow": (0.99, 0.86, 0.16),
    "green": (0.16, 0.68, 0.27),
    "blue": (0.13, 0.38, 0.88),
    "purple": (0.50, 0.20, 0.70),
    "pink": (0.98, 0.50, 0.70),
    "white": (0.96, 0.96, 0.94),
}


def poly(c, pts):
    c.move_to(*pts[0])
    for p in pts[1:]:
        c.line_to(*p)
    c.close_path()


def ell(c, x, y, rx, ry, rot=0):
    c.save()
    c.translate(x, y)
    c.rotate(rot)
    c.scale(rx, ry)
    c.new_sub_path()
    c.arc(0, 0, 1, 0, 2 * math.pi)
    c.restore()


def actor_parts(c, kind, col, t):
    """yields (path builder, colour) pairs back to front"""
    dark, light = mix(col, (0, 0, 0.08), 0.32), mix(col, (1, 1, 1), 0.38)
    if col[0] > 0.95 and col[1] > 0.9:
        light = (0.80, 0.82, 0.86)
    ink, cream, wood = (0.16, 0.14, 0.22), (0.99, 0.96, 0.88), (0.55, 0.36, 0.20)
    ph = 2 * math.pi * t
    P = []
    add = lambda f, k: P.append((f, k))
    if kind == "balloon":

        def env():
            c.move_to(-0.10, 0.24)
            c.curve_to(-0.50, -0.02, -0.40, -0.50, 0, -0.50)
            c.curve_to(0.40, -0.50, 0.50, -0.02, 0.10, 0.24)
            c.close_path()

        add(lambda: poly(c, [(-0.10, 0.22), (-0.075, 0.38), (-0.05, 0.38), (-0.07, 0.22)]), wood)
        add(lambda: poly(c, [(0.10, 0.22), (0.075, 0.38), (0.05, 0.38), (0.07, 0.22)]), wood)
        add(env, col)

        def gore():
            c.move_to(-0.04, 0.24)
            c.curve_to(-0.22, 0, -0.19, -0.48, 0, -0.50)
            c.curve_to(0.19, -0.48, 0.22, 0, 0.04, 0.24)
            c.close_path()

        add(gore, light)
        add(lambda: c.rectangle(-0.10, 0.36, 0.20, 0.14), wood)
    elif kind == "sailboat":
        add(lambda: c.rectangle(-0.02, -0.48, 0.04, 0.74), wood)
        add(lambda: poly(c, [(0.04, -0.46), (0.40, 0.16), (0.04, 0.16)]), col)
        add(lambda: poly(c, [(-0.04, -0.34), (-0.34, 0.16), (-0.04, 0.16)]), light)

        def hull():
            c.move_to(-0.48, 0.22)
            c.line_to(0.50, 0.22)
            c.curve_to(0.40, 0.44, 0.30, 0.46, 0.2, 0.46)
            c.line_to(-0.26, 0.46)
            c.curve_to(-0.38, 0.44, -0.44, 0.36, -0.48, 0.22)
            c.close_path()

        add(hull, dark)
        add(lambda: c.rectangle(-0.45, 0.24, 0.92, 0.05), cream)
    elif kind == "paper plane":
        add(lambda: poly(c, [(0.50, -0.06), (-0.48, -0.34), (-0.20, 0.02)]), light)
        add(lambda: poly(c, [(0.50, -0.06), (-0.20, 0.02), (-0.26, 0.34)]), dark)
        add(lambda: poly(c, [(0.50, -0.06), (-0.06, 0.06), (-0.42, 0.22), (-0.20, 0.02)]), col)
    elif kind == "fish":
        w = 0.10 * math.sin(3 * ph)
        add(lambda: poly(c, [(-0.22, 0), (-0.50, -0.26 + w), (-0.42, w), (-0.50, 0.26 + w)]), dark)
        add(lambda: poly(c, [(-0.12, -0.22), (0.08, -0.42), (0.16, -0.20)]), dark)
        add(lambda: ell(c, 0.08, 0, 0.40, 0.28), col)
        add(lambda: c.rectangle(-0.10, -0.25, 0.08, 0.50), light)
        add(lambda: c.rectangle(0.06, -0.27, 0.07, 0.54), light)
        add(lambda: ell(c, 0.30, -0.06, 0.075, 0.075), (1, 1, 1))
        add(lambda: ell(c, 0.32, -0.06, 0.038, 0.038), ink)
    elif kind == "bird":
        w = math.sin(3 * ph)
        add(lambda: poly(c, [(-0.20, 0.02), (-0.50, -0.10), (-0.46, 0.14)]), dark)
        add(lambda: poly(c, [(0.34, -0.10), (0.50, -0.04), (0.34, 0.02)]), (0.98, 0.66, 0.12))
        add(lambda: ell(c, 0, 0.04, 0.30, 0.18), col)
        add(lambda: ell(c, 0.24, -0.06, 0.16, 0.15), col)
        add(lambda: ell(c, 0.04, 0.10, 0.18, 0.09), light)
        add(lambda: poly(c, [(-0.14, 0.0), (0.14, 0.0), (-0.06, -0.44 * w)]), dark)
        add(lambda: ell(c, 0.28, -0.09, 0.035, 0.035), ink)
    elif kind == "butterfly":
        k = 0.62 + 0.38 * math.cos(3 * ph)
        for sgn in (-1, 1):
            add(lambda sgn=sgn: ell(c, sgn * 0.24 * k, -0.16, 0.24 * k, 0.26, sgn * 0.35), col)
            add(lambda sgn=sgn: ell(c, sgn * 0.19 * k, 0.20, 0.18 * k, 0.20, -sgn * 0.35), dark)
            add(lambda sgn=sgn: ell(c, sgn * 0.25 * k, -0.18, 0.11 * k, 0.12), light)
        add(lambda: ell(c, 0, 0.02, 0.05, 0.30), ink)
    elif kind == "car":

        def body():
            c.move_to(-0.50, 0.22)
            c.line_to(-0.50, 0.02)
            c.line_to(-0.34, -0.02)
            c.line_to(-0.20, -0.26)
            c.line_to(0.16, -0.26)
            c.line_to(0.30, -0.02)
            c.line_to(0.50, 0.04)
            c.line_to(0.50, 0.22)
            c.close_path()

        add(body, col)
        add(lambda: poly(c, [(-0.25, -0.02), (-0.16, -0.19), (-0.02, -0.19), (-0.02, -0.02)]), (0.80, 0.92, 1))
        add(lambda: poly(c, [(0.03, -0.02), (0.03, -0.19), (0.12, -0.19), (0.22, -0.02)]), (0.80, 0.92, 1))
        add(lambda: c.rectangle(-0.50, 0.10, 1.0, 0.05), light)
        for x in (-0.27, 0.27):
            add(lambda x=x: ell(c, x, 0.22, 0.13, 0.13), ink)
            add(lambda x=x: ell(c, x, 0.22, 0.06, 0.06), cream)
    elif kind == "rocket":
        fl = 0.10 + 0.05 * math.sin(6 * ph)
        add(lambda: poly(c, [(-0.11, 0.28), (0, 0.36 + fl * 1.4), (0.11, 0.28)]), (1, 0.62, 0.12))
        add(lambda: poly(c, [(-0.16, 0.04), (-0.34, 0.34), (-0.10, 0.28)]), dark)
        add(lambda: poly(c, [(0.16, 0.04), (0.34, 0.34), (0.10, 0.28)]), dark)

        def body():
            c.move_to(0, -0.50)
            c.curve_to(0.22, -0.30, 0.24, 0.05, 0.14, 0.30)
            c.line_to(-0.14, 0.30)
            c.curve_to(-0.24, 0.05, -0.22, -0.30, 0, -0.50)
            c.close_path()

        add(body, col)

        def nose():
            c.move_to(0, -0.50)
            c.curve_to(0.11, -0.40, 0.15, -0.30, 0.17, -0.24)
            c.line_to(-0.17, -0.24)
            c.curve_to(-0.15, -0.30, -0.11, -0.40, 0, -0.50)
            c.close_path()

        add(nose, light)
        add(lambda: ell(c, 0, -0.06, 0.09, 0.09), cream)
        add(lambda: ell(c, 0, -0.06, 0.06, 0.06), (0.35, 0.65, 0.85))
    elif kind == "whale":
        w = 0.06 * math.sin(2 * ph)

        def body():
            c.move_to(0.48, -0.02)
            c.curve_to(0.48, -0.34, -0.10, -0.36, -0.30, -0.02)
            c.line_to(-0.44, -0.12 + w)
            c.line_to(-0.50, -0.34 + w)
            c.line_to(-0.36, -0.24 + w)
            c.line_to(-0.22, -0.34 + w)
            c.line_to(-0.30, -0.14 + w)
            c.curve_to(-0.36, 0.30, 0.0, 0.32, 0.20, 0.30)
            c.curve_to(0.40, 0.28, 0.48, 0.16, 0.48, -0.02)
            c.close_path()

        add(body, col)

        def belly():
            c.move_to(0.47, 0.06)
            c.curve_to(0.30, 0.12, 0.10, 0.14, -0.12, 0.12)
            c.curve_to(-0.08, 0.30, 0.10, 0.30, 0.20, 0.30)
            c.curve_to(0.38, 0.28, 0.45, 0.18, 0.47, 0.06)
            c.close_path()

        add(belly, light)
        add(lambda: ell(c, 0.32, -0.02, 0.035, 0.035), ink)
        for sgn in (-1, 1):

            def jet(sgn=sgn):
                c.move_to(0.12, -0.28)
                c.curve_to(0.12, -0.40, 0.12 + sgn * 0.04, -0.48, 0.12 + sgn * 0.15, -0.42)
                c.curve_to(0.12 + sgn * 0.08, -0.44, 0.14, -0.36, 0.15, -0.28)
                c.close_path()

            add(jet, (0.70, 0.88, 1))
    elif kind == "kite":
        w = 0.06 * math.sin(3 * ph)

        def tail():
            c.move_to(-0.015, 0.26)
            c.curve_to(-0.10 + w, 0.34, 0.08 - w, 0.40, -0.02 + w, 0.50)
            c.line_to(0.03 + w, 0.50)
            c.curve_to(0.12 - w, 0.40, -0.05 + w, 0.34, 0.015, 0.26)
            c.close_path()

        add(tail, ink)
        for y, q in ((0.36, -1), (0.45, 1)):
            add(
                lambda y=y, q=q: poly(
                    c, [(q * w * 0.5, y), (-0.09 + q * w * 0.5, y - 0.05), (-0.09 + q * w * 0.5, y + 0.05)]
                ),
                light,
            )
            add(
                lambda y=y, q=q: poly(
                    c, [(q * w * 0.5, y), (0.09 + q * w * 0.5, y - 0.05), (0.09 + q * w * 0.5, y + 0.05)]
                ),
                light,
            )
        add(lambda: poly(c, [(0, -0.50), (0.34, -0.12), (0, 0.30), (-0.34, -0.12)]), col)
        add(lambda: poly(c, [(0, -0.50), (0.34, -0.12), (0, -0.12)]), light)
        add(lambda: poly(c, [(0, 0.30), (-0.34, -0.12), (0, -0.12)]), dark)
    elif kind == "lantern":
        add(lambda: c.rectangle(-0.02, -0.50, 0.04, 0.12), ink)
        add(lambda: c.rectangle(-0.14, -0.40, 0.28, 0.08), wood)
        add(lambda: ell(c, 0, -0.02, 0.34, 0.32), col)
        add(lambda: ell(c, 0, -0.02, 0.20, 0.32), light)
        g = 0.75 + 0.2 * math.sin(4 * ph)
        add(lambda: ell(c, 0, -0.02, 0.09, 0.20), (1, 0.93 * g + 0.05, 0.55 * g))
        add(lambda: c.rectangle(-0.14, 0.28, 0.28, 0.08), wood)
        for x in (-0.06, 0, 0.06):
            add(lambda x=x: c.rectangle(x - 0.015, 0.36, 0.03, 0.14), dark)
    elif kind == "star":

        def star(k):
            pts = []
            for i in range(10):
                r = (0.50 if i % 2 == 0 else 0.25) * k
                a = -math.pi / 2 + i * math.pi / 5
                pts.append((r * math.cos(a), r * math.sin(a) + 0.03))
            poly(c, pts)

        add(lambda: star(1), col)
        add(lambda: star(0.62), light)
        add(lambda: ell(c, -0.08, -0.03, 0.035, 0.05), ink)
        add(lambda: ell(c, 0.08, -0.03, 0.035, 0.05), ink)

        def smile():
            c.move_to(-0.10, 0.07)
            c.curve_to(-0.06, 0.17, 0.06, 0.17, 0.10, 0.07)
            c.curve_to(0.05, 0.12, -0.05, 0.12, -0.10, 0.07)
            c.close_path()

        add(smile, ink)
    return P


BORDER = 5.5  # pixels, half of them outside


def draw_actor(c, kind, colour, size, at, left, beat):
    """at: (x, y, rotation, scale, squash); left: whether it looks left; beat: 24 frames are one"""
    x, y, rotation, scale, squash = at
    size *= scale
    c.save()
    c.translate(x, y)
    c.rotate(rotation)
    c.scale(size * (1 + squash) * (-1 if left else 1), size * (1 - squash))
    parts = actor_parts(c, kind, RGB[colour], beat)
    c.set_line_join(cairo.LINE_JOIN_ROUND)
    c.set_line_width(BORDER / size)
    c.new_path()
    for outline, _ in parts:
        outline()
    silhouette = c.copy_path()
    c.new_path()
    c.save()
    c.translate(0.03, 0.045)
    c.append_path(silhouette)
    c.restore()
    c.set_source_rgba(0.02, 0.02, 0.12, 0.22)
    c.fill_preserve()
    c.stroke()
    c.append_path(silhouette)
    c.set_source_rgb(1, 0.99, 0.96)
    c.stroke()
    for outline, fill in parts:
        c.new_path()
        outline()
        c.set_source_rgb(*fill)
        c.fill()
    c.restore()
