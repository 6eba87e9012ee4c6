"""usage: pictures.py vae.pt|- checkpoint|-

writes work/{real,recon,gen}.png: 12 clips, 5 frames each, two clips per row"""

import sys, numpy as np, torch
from PIL import Image
from world import *


def sheet(clips, path, cols=5, per_row=2):
    idx = [round(i * 24 / (cols - 1)) for i in range(cols)]
    tiles = [np.concatenate([c[i] for i in idx], 1) for c in clips]
    gap = np.full((128, 6, 3), 255, np.uint8)
    rows = []
    for i in range(0, len(tiles), per_row):
        r = tiles[i]
        for k in range(1, per_row):
            r = np.concatenate([r, gap, tiles[i + k]], 1)
        rows += [r, np.full((4, r.shape[1], 3), 255, np.uint8)]
    Image.fromarray(np.concatenate(rows, 0)).save(path)


def specs():
    out = []
    for i in range(12):
        s = make_spec(1000000 + i)
        s.update(
            actor=ACTORS[i],
            colour=COLOURS[(i * 3 + i // 8) % 8],
            motion=MOTIONS[(i * 2) % 9],
            place=PLACES[(i * 5) % 8],
            time=TIMES[i % 3],
            weather="snow" if i == 7 else "rain" if i == 10 else "clear",
            camera="pan left" if i == 5 else "still",
        )
        out.append(s)
    return out


if __name__ == "__main__":
    S = specs()
    real = [render(s) for s in S]
    sheet(real, "work/real.png")
    torch.set_num_threads(2)
    if sys.argv[1] != "-":
        from vaecfg import make

        m = make()
        m.load_state_dict(torch.load(sys.argv[1]))
        m.eval()
        x = torch.from_numpy(np.stack(real)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            y = torch.cat([m.decode(m.encode(q).latent_dist.mode()).sample.float() for q in x.split(2)])
        e = ((y.clamp(-1, 1) - x) / 2).square().mean((1, 2, 3, 4))
        print("PSNR per clip", [round(-10 * v.log10().item(), 1) for v in e])
        sheet(list(((y.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()), "work/recon.png")
    if len(sys.argv) > 2 and sys.argv[2] != "-":
        from diffusers import LTXPipeline
        from score import generate

        pipe = LTXPipeline.from_pretrained(sys.argv[2], torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        P = [caption(s) for s in S]
        print("\n".join(P))
        sheet(list(generate(pipe, P, bs=12)), "work/gen.png")
