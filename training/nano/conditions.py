"""What the conditions of LTXImageToVideoPipeline and LTXConditionPipeline look like to the transformer, for training.

A clip is 25 frames of 128x128: 4 latent frames of 4x4 tokens. Conditions at frame 0 replace the first tokens of the
clip; later ones are put in front of them. A condition of strength s has its own noise level min(t, 1 - s), so one
of strength 1 is clean (pipeline_ltx_condition.py: prepare_latents, __call__)."""

import torch

GRID, FRAMES, FPS = 4, 4, 12  # tokens a side, latent frames, frames a second
STEP_T, STEP_S = 8, 32  # the autoencoder's compression in time and space
SIDE = GRID * GRID  # tokens of a latent frame
CLIP = FRAMES * SIDE
EXTRA = 5  # every how many clips there is a loop and an encoding of the end


def coordinates(frames, first=0, shifted=True):
    """[frames * SIDE, 3]: (seconds, row, column) of each token. shifted: as LTXConditionPipeline has it, where latent
    frame 0 is one frame long (_scale_video_ids, with first as frame_index); else as the rope of LTXPipeline."""
    f, y, x = (a.flatten() for a in torch.meshgrid(torch.arange(frames), *[torch.arange(GRID)] * 2, indexing="ij"))
    f = (f * STEP_T + 1 - STEP_T).clamp(min=0) + first if shifted else f * STEP_T
    return torch.stack([f / FPS, y * STEP_S, x * STEP_S], -1).float()


PLAIN = coordinates(FRAMES, shifted=False)
SHIFTED = coordinates(FRAMES)
BEFORE = {  # extra tokens in front, by their number of latent frames: (tokens' coordinates, with the clip's behind)
    0: SHIFTED,
    1: torch.cat([coordinates(1, first=24), SHIFTED]),
    2: torch.cat([coordinates(2, first=16), SHIFTED]),
}


class Batch:
    """tokens x0 [B, T, C] of which the last CLIP are the clip's, coordinates [B, T, 3], strength of each token [B, T]"""

    def __init__(self, clip, extra=None):
        self.x0 = clip if extra is None else torch.cat([extra, clip], 1)
        b, n = self.x0.shape[:2]
        self.extra = n - CLIP
        self.coords = BEFORE[self.extra // SIDE].expand(b, -1, -1).clone()
        self.strength = torch.zeros(b, n)
        self.strength[:, : self.extra] = 1

    def condition_start(self, rows, frames):
        self.strength[rows, self.extra : self.extra + frames * SIDE] = 1


def noised(batch, t, strength, cond_noise, posterior_std, g):
    """The transformer's input and what it should predict.
    t [B] noise level; strength [B] of the conditions; cond_noise [B] the pipeline's image_cond_noise_scale;
    posterior_std [C] in normalised units. Returns input [B,T,C], level [B,T], target [B,T,C], counts [B,T] in the loss."""
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
    counts[:, : batch.extra] = 0
    return x, level, n - x0, counts
