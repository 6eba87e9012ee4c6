#!/usr/bin/env python3
"""Makes the pictures of this folder, and prints what Pillow reads from them and how it resizes, for the tables in
tests/media/picture_test.cpp and tests/media/resize_test.cpp. Made with Pillow 13.0.0 and NumPy."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def pattern(width, height):
    """As pattern() in tests/media/pattern.h."""
    state, out = 12345, np.empty(width * height * 3, np.uint8)
    for i in range(out.size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        x, y = i // 3 % width, i // 3 // width
        out[i] = (x * 7 + y * 5 * (i % 3) + (state >> 26)) & 0xFF
    return Image.fromarray(out.reshape(height, width, 3))


def fnv(image):
    value = 0xCBF29CE484222325
    for byte in image.tobytes():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"0x{value:016x}"


def smooth(width, height):
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    rgb = np.stack([np.sin(5 * x + y), np.cos(4 * y * x), np.sin(9 * x - 7 * y)], -1) * 110 + 128
    return Image.fromarray(rgb.astype(np.uint8))


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(width, height, depth, colour, rows, interlaced=0, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(rows, 9)) +
            png_chunk(b"IEND", b""))


def adam7(rgb):
    rows = b""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    for x, y, dx, dy in starts:
        for row in rgb[y::dy, x::dx]:
            if row.size:
                rows += b"\0" + row.tobytes()
    return rows


def expected(file):
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode == "I;16":
        return Image.fromarray((np.array(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        rgba = np.array(image.convert("RGBA")).astype(int)
        alpha = rgba[..., 3:]
        return Image.fromarray(((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))
    return image.convert("RGB")


def save(name, image, **options):
    image.save(name, **options)
    made.append(name)


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)
    made.append(name)


made = []
size = (21, 14)
photo = smooth(*size)
array = np.array(photo)
rgba = np.dstack([array, (np.arange(array[..., 0].size) % 256).reshape(array.shape[:2]).astype(np.uint8)])
rgb16 = (array.astype(np.int32) * 256 + 77).astype(">u2")

save("rgb.png", photo)
write("interlaced.png", png_bytes(*size, 8, 2, adam7(array), interlaced=1))
write("rgb16.png", png_bytes(*size, 16, 2, b"".join(b"\0" + row.tobytes() for row in rgb16)))
write("grey16.png", png_bytes(*size, 16, 0, b"".join(b"\0" + row[:, 0].tobytes() for row in rgb16)))
write("keyed.png", png_bytes(*size, 8, 0, b"".join(b"\0" + row[:, 0].tobytes() for row in array // 64 * 64),
                             extra=png_chunk(b"tRNS", b"\0\x40")))
save("grey.png", photo.convert("L"))
save("palette.png", photo.convert("P", palette=Image.Palette.ADAPTIVE, colors=13), bits=4)
save("bits.png", photo.convert("1"))
save("rgba.png", Image.fromarray(rgba))
save("grey_alpha.png", Image.fromarray(rgba).convert("LA"))
save("lossy.webp", photo, quality=80)
save("lossless.webp", photo, lossless=True)
save("alpha.webp", Image.fromarray(rgba), quality=80, exact=True)
save("still.gif", photo)
save("rgb.bmp", photo)
save("rgb.tiff", photo, compression="tiff_lzw")
save("rgb.ppm", photo)
exif = Image.Exif()
exif[0x112] = 6
save("turned.png", photo, exif=exif)
save("turned.webp", photo, exif=exif, lossless=True)
save("turned.tiff", photo, exif=exif)
exact = list(made)

for subsampling, name in enumerate(["444", "422", "420"]):
    save(f"{name}.jpg", photo, quality=92, subsampling=subsampling)
save("progressive.jpg", photo, quality=85, progressive=True)
save("grey.jpg", photo.convert("L"), quality=90)
save("cmyk.jpg", photo.convert("CMYK"), quality=92)
blocks = np.zeros((16, 24, 3), np.uint8)
blocks[:8, :8], blocks[:8, 8:16], blocks[8:, 16:] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
save("turned.jpg", Image.fromarray(blocks), quality=95, subsampling=0, exif=exif)

frames = []
for i in range(4):
    canvas = np.zeros((20, 30, 4), np.uint8)
    canvas[3:12, 2 + 5 * i:12 + 5 * i] = (40 * i, 200, 90, 100 + 40 * i)
    frames.append(Image.fromarray(canvas))
frames[0].save("moving.webp", save_all=True, append_images=frames[1:], duration=[40, 40, 80, 40], lossless=True)
frames[0].save("moving.gif", save_all=True, append_images=frames[1:], duration=40, disposal=2)
opaque = [Image.alpha_composite(Image.new("RGBA", f.size, (9, 9, 90, 255)), f) for f in frames]
opaque[0].save("blended.webp", save_all=True, append_images=opaque[1:], duration=50, quality=75)

print("// picture_test.cpp")
for name in exact:
    image = expected(name)
    print(f'    {{"{name}", {image.width}, {image.height}, {fnv(image)}u}},')
print("// JPEG: every 10th value of Pillow's")
for name in ["444.jpg", "422.jpg", "420.jpg", "progressive.jpg", "grey.jpg", "cmyk.jpg"]:
    print(f'    {{"{name}", {{{", ".join(map(str, expected(name).tobytes()[::10]))}}}}},')
print("// clip_test.cpp")
for name in ["moving.webp", "moving.gif", "blended.webp"]:
    image = Image.open(name)
    hashes = []
    for i in range(image.n_frames):
        image.seek(i)
        frame = np.array(image.convert("RGBA")).astype(int)
        alpha = frame[..., 3:]
        shown = (frame[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
        hashes.append(fnv(Image.fromarray(shown.astype(np.uint8))) + "u")
    print(f'    {{"{name}", {{{", ".join(hashes)}}}}},')
print("// resize_test.cpp")
for width, height, new_width, new_height in [(40, 30, 20, 15), (40, 30, 97, 64), (17, 33, 40, 11), (33, 17, 11, 40),
                                             (40, 30, 40, 13), (40, 30, 13, 30), (64, 90, 60, 30), (5, 4, 1, 1)]:
    for name in FILTERS:
        image = pattern(width, height).resize((new_width, new_height), Image.Resampling[name.upper()])
        print(f'    {{{width}, {height}, {new_width}, {new_height}, Filter::{name}, {fnv(image)}u}},')
print("// resize_test.cpp: a part")
for box in [(3.25, 1.5, 30.75, 28.5), (0, 0.5, 40, 20)]:
    print(box, fnv(pattern(40, 30).resize((25, 19), Image.Resampling.LANCZOS, box=box)))
print("// resize_test.cpp: cover")
for new in [(20, 20), (64, 20), (30, 40)]:
    print(new, fnv(ImageOps.fit(pattern(40, 30), new, Image.Resampling.LANCZOS)))
