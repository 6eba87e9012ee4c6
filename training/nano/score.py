"""usage: score.py model_folder classifier.pt [prompts]

All figures of the model card, on clips that were never trained on; clips are made by `prax generate` (generate.py):

  the scorer on real clips, by attribute
  the autoencoder: PSNR of reconstructions, flicker of the scenery against the real clips'
  what was generated from 256 prompts, half of them of held-out combinations, in f32, bf16 and int8

A third of the clips are wide or tall, an eighth are long, half of the prompts are French."""

import sys
import numpy as np, torch
from diffusers import AutoencoderKLLTXVideo
from captions import caption
from classifier import KEEP, UNSEEN, Net, read, small
from generate import generate
from vae import psnr, reconstruct
from world import LENGTHS, SHAPES, make_spec, render, tracks

FIRST = 2 * UNSEEN
REAL, PAIRS = 512, 48  # clips for the scorer, and for the autoencoder
ROOM = 0.85  # sizes of an actor from its middle: what is further away is scenery


def kind(i):
    return (SHAPES[i % 3] if i % 2 else SHAPES[0]), (LENGTHS[1] if i % 8 == 5 else LENGTHS[0])


def specs(n):
    """n of each split, in turns"""
    return [(split, make_spec(FIRST + i, split, *kind(i))) for i in range(n) for split in ("train", "held")]


def share(rows):
    return {k: round(float(np.mean([r[k] for r in rows])), 3) for k in rows[0]}


def right(net, spec, clip):
    return {k: bool(v[0]) for k, v in read(net, [small(clip)], [spec]).items()}


def scenery(s):
    """[F - 1, H, W]: is a pixel away from every actor in a frame and the next?"""
    y, x = np.mgrid[: s["height"], : s["width"]]
    out = np.ones((s["frames"], s["height"], s["width"]), bool)
    for a, track in zip(s["actors"], tracks(s)):
        for f, (at_x, at_y, _, scale, _) in enumerate(track):
            out[f] &= np.hypot(y - at_y, x - at_x) > ROOM * a["size"] * scale
    return out[1:] & out[:-1]


def flicker(clip, where):
    """mean absolute difference of neighbouring frames, of 255"""
    return float(np.abs(np.diff(clip.astype(np.float32), axis=0)).mean(3)[where].mean())


def main():
    model, n = sys.argv[1], int(sys.argv[3]) if len(sys.argv) > 3 else 256
    torch.set_num_threads(1)
    net = Net()
    net.load_state_dict({k: v.float() for k, v in torch.load(sys.argv[2])["net"].items()})
    rows = [right(net, s, render(s, KEEP)) for _, s in specs(REAL // 2)]
    print("scorer on %d real clips" % REAL, share(rows), flush=True)

    vae = AutoencoderKLLTXVideo.from_pretrained(model + "/vae", torch_dtype=torch.float32).eval()
    db, moves, through = [], [], []
    for _, s in specs(PAIRS // 2):
        real = render(s)
        made = reconstruct(vae, [real], exact=True)[0]
        db.append(psnr(real, made))
        if s["camera"] == "still" and s["weather"] == "clear":
            moves.append((flicker(real, scenery(s)), flicker(made, scenery(s))))
        through.append(right(net, s, made[::KEEP]))
    moves = np.mean(moves, 0)
    print(
        "autoencoder on %d clips: %.2f dB; flicker %.3f, real %.3f, %.2f times"
        % (PAIRS, np.mean(db), moves[1], moves[0], moves[1] / moves[0])
    )
    print("  read from its reconstructions", share(through), flush=True)

    for dtype in ("f32", "bf16", "int8"):
        by = dict(train=[], held=[])
        for i, (split, s) in enumerate(specs(n // 2)):
            clip = generate(model, caption(s, i // 2), i, (s["width"], s["height"]), s["frames"], dtype=dtype)
            by[split].append(right(net, s, clip[::KEEP]))
        for split, rows in by.items():
            print(
                "%s, %d prompts, %s" % (dtype, len(rows), dict(train="as trained", held="held out")[split]),
                share(rows),
                flush=True,
            )


if __name__ == "__main__":
    main()
