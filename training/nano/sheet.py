"""usage: sheet.py model_folder out.png

The contact sheet: 24 prompts, five frames of each, made by `prax generate` (generate.py)."""

import sys
import cairo, numpy as np
from PIL import Image
from generate import generate
from world import pixels

PROMPTS = """a red balloon rises over the sea at sunset
a blue fish swims left by the sea during the day
a yellow star spins in space at night
a green rocket climbs upwards among the planets at night
a white sailboat drifts right over the sea on a bright day
a purple butterfly circles above the flowery hills by day
an orange kite swings in the cloudy sky in daylight
a pink whale bounces over the sea at night
a crimson car moves right in the city at night
a golden lantern floats up over the city at night
a green paper plane glides to the right over the mountains at sunset
a blue bird circles in the forest at dusk
a red kite sinks down in the desert as day turns to night
a white star grows in the forest at night in the snow
an orange balloon goes up in the snowy mountains by day while it snows
a purple car drifts left in the city during the day in the rain
a red balloon rises while a blue fish swims left over the meadow by day
a yellow bird circles and a pink star spins in the sky at sunset
a blue rocket first rises, then spins in space at night
une baleine bleue saute de haut en bas sur la mer la nuit
un cerf-volant rouge monte dans le ciel en plein jour
une lanterne orange se balance dans la forêt la nuit
un papillon jaune tourne en rond dans la prairie à la tombée de la nuit
un avion en papier blanc glisse vers la gauche au-dessus du désert au crépuscule""".splitlines()
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
