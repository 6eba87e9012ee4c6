"""Where the actors are: what a head in the middle of the transformer learns to tell of each token while it is trained.

The velocities of 96 channels say little about an actor's outline in many words; where each part of which actor is says it
in a few, and costs nothing to know, since the world was drawn from it. The head is thrown away afterwards. (In the way of
Yu et al. 2024, "Representation Alignment for Generation", arXiv:2410.06940, with the truth in the place of an encoder.)"""

import numpy as np, torch
from conditions import Grid
from vae import STEP_S, STEP_T
from world import ACTORS, COLOURS, facing, tracks

POSE = 6  # present; place in the actor's unit box (x, y); cosine and sine of its rotation; log of its scale
WAVES = (1, 2, 4)  # in the unit box: sine and cosine along x and y tell a place to the pixel, once the noise lets it be told
KINDS, HUES = POSE, POSE + len(ACTORS)  # where each begins
FINE = HUES + len(COLOURS)
SIZE = FINE + 4 * len(WAVES)
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


def poses(spec, frames):
    """[actors, latent frames, 5] mean of tracks() over what each latent frame codes; frames: which the clip shows"""
    t = np.array(tracks(spec))[:, frames]
    later = t[:, 1:].reshape(len(t), -1, STEP_T, 5).mean(2)
    return np.concatenate([t[:, :1], later], 1)


def targets(spec, loop=False):
    """[tokens, SIZE] of a clip, zero where no actor is"""
    grid, n = Grid((spec["width"], spec["height"]), spec["frames"]), spec["frames"]
    frames = np.arange(n)
    if loop:
        frames = np.minimum(frames, n - 1 - frames)
    y, x = np.meshgrid(
        (np.arange(grid.height) + 0.5) * STEP_S, (np.arange(grid.width) + 0.5) * STEP_S, indexing="ij"
    )
    out = np.zeros((grid.latent_frames, grid.height, grid.width, SIZE), np.float32)
    for a, pose in zip(spec["actors"], poses(spec, frames)):
        px, py, turn, scale, _ = pose.T[..., None, None]
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
    return torch.from_numpy(out.reshape(grid.tokens, SIZE))


def error(told, target):
    """told, target [B, tokens, SIZE]"""
    per = (told - target).square().mean(-1)
    return (per * (1 + PRESENT * target[..., 0])).mean()
