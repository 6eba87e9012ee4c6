"""What a clip and its conditions look like to the transformer: tokens, their coordinates, which of them are given.

LTXImageToVideoPipeline and LTXConditionPipeline put conditions at frame 0 in place of the clip's first tokens; later
ones go in front of them. A condition of strength s has its own noise level min(t, 1 - s), so one of strength 1 is clean
(pipeline_ltx_condition.py: prepare_latents, __call__)."""

import numpy as np, torch
from vae import STEP_S, STEP_T
from world import FPS

GIVEN = (0, 1, 3, 5)  # latent frames at the start that may be given: nothing, a picture, 9 and 17 frames
TAIL = 9  # frames that may be given at the end, as a clip of their own; of a clip that another goes on from


def mirrored(n):
    """the frames of a loop: to the middle and back"""
    return np.minimum(np.arange(n), n - 1 - np.arange(n))


def going_on(n):
    """the frames of a clip that begins with the last TAIL frames of one and goes on"""
    return np.arange(n) + n - TAIL


class Grid:
    """the tokens of clips of one shape and length"""

    def __init__(self, shape, frames):
        self.width, self.height = shape[0] // STEP_S, shape[1] // STEP_S
        self.side = self.width * self.height  # tokens of a latent frame
        self.frames = frames
        self.latent_frames = (frames - 1) // STEP_T + 1
        self.tokens = self.latent_frames * self.side

    def coordinates(self, latent_frames, first=0, shifted=True):
        """[tokens, 3]: (seconds, row, column). shifted: as LTXConditionPipeline has it, where latent frame 0 is one
        frame long (_scale_video_ids, with first as frame_index); else as the rope of LTXPipeline."""
        axes = torch.arange(latent_frames), torch.arange(self.height), torch.arange(self.width)
        f, y, x = (a.flatten() for a in torch.meshgrid(*axes, indexing="ij"))
        f = (f * STEP_T + 1 - STEP_T).clamp(min=0) + first if shifted else f * STEP_T
        return torch.stack([f / FPS, y * STEP_S, x * STEP_S], -1).float()


class Batch:
    """tokens x0 [B, T, C], of which the last grid.tokens are the clip's and those in front a condition at the end;
    coordinates [B, T, 3]; strength of each token [B, T]; shows: which of the frames that were drawn"""

    def __init__(self, grid, clip, front=None, first=0, shows=None):
        self.shows = np.arange(grid.frames) if shows is None else shows
        self.grid, self.x0 = grid, clip if front is None else torch.cat([front, clip], 1)
        b, n = self.x0.shape[:2]
        self.front = n - grid.tokens
        c = [grid.coordinates(self.front // grid.side, first)] if self.front else []
        self.coords = torch.cat(c + [grid.coordinates(grid.latent_frames)]).expand(b, -1, -1).clone()
        self.strength = torch.zeros(b, n)
        self.strength[:, : self.front] = 1

    def give(self, rows, latent_frames):
        """the clip's first frames, in these rows"""
        self.strength[rows, self.front : self.front + latent_frames * self.grid.side] = 1

    def plain(self, rows):
        """coordinates as in LTXPipeline and LTXImageToVideoPipeline; by themselves they are LTXConditionPipeline's"""
        self.coords[rows] = self.grid.coordinates(self.grid.latent_frames, shifted=False)

    def shifted(self, rows):
        """coordinates as in LTXConditionPipeline, which alone takes more than a picture"""
        self.coords[rows] = self.grid.coordinates(self.grid.latent_frames)


def noised(batch, t, strength, cond_noise, posterior_std, g):
    """The transformer's input and what it should predict.
    t [B] noise level; strength [B] of the conditions; cond_noise [B] the pipeline's image_cond_noise_scale;
    posterior_std [C] in normalised units. Returns input [B,T,C], level [B,T], target [B,T,C], counts [B,T] in the loss.
    """
    x0, t = batch.x0, t[:, None]
    level = torch.minimum(t, 1 - batch.strength * strength[:, None])
    held = batch.strength > 0
    drawn = x0 + posterior_std * torch.randn(x0.shape, generator=g)  # pipelines sample the posterior
    x0 = torch.where(held[..., None], drawn, x0)
    n = torch.randn(x0.shape, generator=g)
    s = level[..., None]
    x = (1 - s) * x0 + s * n
    clean = (level == 0)[..., None]
    x = x + clean * (cond_noise[:, None] * t**2)[..., None] * n
    counts = (level > 0).float()
    counts[:, : batch.front] = 0
    return x, level, n - x0, counts
