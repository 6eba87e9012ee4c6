"""usage: sheet.py model_folder out.png

The contact sheet: the prompts of prompts.txt, five frames of each, made by `prax generate` (generate.py)."""

import sys
from pathlib import Path
import cairo, numpy as np
from PIL import Image
from generate import generate
from world import pixels

PROMPTS = Path(__file__).with_name("prompts.txt").read_text().splitlines()
SHOWN, COLUMNS, LINE = 5, 2, 15


def label(text, width):
    surface = cairo.ImageSurface(cairo.FORMAT_RGB24, width, LINE)
    c = cairo.Context(surface)
    c.set_source_rgb(1, 1, 1)
    c.paint()
    c.set_source_rgb(0, 0, 0)
    c.select_font_face("sans")
    c.set_font_size(LINE - 2)
    c.move_to(1, LINE - 3)
    c.show_text(text)
    return Image.fromarray(np.ascontiguousarray(pixels(surface)))


def main():
    model, out = sys.argv[1:3]
    tiles = []
    for i, prompt in enumerate(PROMPTS):
        clip = generate(model, prompt, i)
        row = np.concatenate([clip[k] for k in np.linspace(0, len(clip) - 1, SHOWN).round().astype(int)], 1)
        tile = Image.new("RGB", (row.shape[1] + 8, row.shape[0] + LINE + 6), "white")
        tile.paste(Image.fromarray(row), (0, LINE))
        tile.paste(label(prompt, row.shape[1]), (0, 0))
        tiles.append(tile)
    w, h = tiles[0].size
    sheet = Image.new("RGB", (w * COLUMNS, h * (len(tiles) // COLUMNS)), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % COLUMNS * w, i // COLUMNS * h))
    sheet.save(out)


if __name__ == "__main__":
    main()
