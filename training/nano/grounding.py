"""Where the actors are: what a head in the middle of the transformer learns to tell of each token while it is trained.

The velocities of 96 channels say little about an actor's outline in many words; where each part of which actor is says it
in a few, and costs nothing to know, since the world was drawn from it. The head is thrown away afterwards. (In the way of
Yu et al. 2024, "Representation Alignment for Generation", arXiv:2410.06940, with the truth in the place of an encoder.)
Likewise which way the camera pans."""

import numpy as np, torch
from conditions import Grid
from vae import STEP_S, STEP_T
from world import ACTORS, COLOURS, facing, pan, tracks

POSE = 6  # present; place in the actor's unit box (x, y); cosine and sine of its rotation; log of its scale
WAVES = (1, 2, 4)  # in the unit box: sine and cosine along x and y tell a place to the pixel, once the noise lets it be told
KINDS, HUES = POSE, POSE + len(ACTORS)  # where each begins
FINE = HUES + len(COLOURS)
CAMERA = FINE + 4 * len(WAVES)  # which way it pans, and how far it is, from -1 to 1: of all tokens
SIZE = CAMERA + 2
REACH = 0.65  # of the unit box, from its middle
LAYER = 2  # the block after which the head reads
WEIGHT = 1.0  # of the head's loss
PRESENT = 4  # times more weight for tokens that show an actor


def head(width):
    return torch.nn.Sequential(torch.nn.Linear(width, 256), torch.nn.GELU(), torch.nn.Linear(256, SIZE))


class Tap:
    """the hidden states after a block"""

    def __init__(self, dit):
        self.hidden = None
        dit.transformer_blocks[LAYER].register_forward_hook(self.keep)

    @torch.compiler.disable
    def keep(self, block, inputs, output):
        self.hidden = output


def each(values):
    """[latent frames, ...] means over what each latent frame codes, of [frames, ...]"""
    later = values[1:].reshape(-1, STEP_T, *values.shape[1:]).mean(1)
    return np.concatenate([values[:1], later])


def targets(spec, frames):
    """[tokens, SIZE] of a clip that shows these frames, zero but for the camera where no actor is"""
    grid, n = Grid((spec["width"], spec["height"]), spec["frames"]), spec["frames"]
    y, x = np.meshgrid(
        (np.arange(grid.height) + 0.5) * STEP_S, (np.arange(grid.width) + 0.5) * STEP_S, indexing="ij"
    )
    out = np.zeros((grid.latent_frames, grid.height, grid.width, SIZE), np.float32)
    for a, track in zip(spec["actors"], tracks(spec, frames)):
        px, py, turn, scale, _ = each(np.array(track)).T[..., None, None]
        size = a["size"] * scale
        dx, dy, cos, sin = (x - px) / size, (y - py) / size, np.cos(turn), np.sin(turn)
        u, v = (cos * dx + sin * dy) * (-1 if facing(a) else 1), cos * dy - sin * dx
        here = np.maximum(abs(u), abs(v)) < REACH
        same = np.ones_like(u)
        out[here] = 0  # of an actor behind this one
        plain = [same, 2 * u, 2 * v, cos * same, sin * same, np.log(scale) * same]
        waves = [f(2 * np.pi * k * w) for k in WAVES for w in (u, v) for f in (np.sin, np.cos)]
        for first, values in ((0, plain), (FINE, waves)):
            for k, value in enumerate(values, first):
                out[..., k][here] = value[here]
        out[..., KINDS + ACTORS.index(a["actor"])][here] = 1
        out[..., HUES + COLOURS.index(a["colour"])][here] = 1
    out[..., CAMERA], out[..., CAMERA + 1] = pan(spec), pan(spec) * (2 * each(frames / (n - 1)) - 1)[:, None, None]
    return torch.from_numpy(out.reshape(grid.tokens, SIZE))


def error(told, target):
    """told, target [B, tokens, SIZE]"""
    per = (told - target).square().mean(-1)
    return (per * (1 + PRESENT * target[..., 0])).mean()
