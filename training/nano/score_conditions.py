"""usage: score_conditions.py model_folder n [parts]    parts: picture,condition,extension,loop,own

How well a model goes on from pictures and clips, through diffusers' own pipelines; n clips of unseen seeds, PSNR in dB:

  picture    (condition: by LTXConditionPipeline) the first frame made from a picture against the picture's own
             reconstruction, and the step to frame 1
  extension  the frame before and behind the joint of a clip made from text and one that goes on from its last 9 frames
  loop       the last against the first frame, both given the same picture (own: the first picture of a clip made from
             text, and not a drawn one)

`neighbours` is the mean over the other frames of the same clips. A loop or joint passes when it is no further than 3 dB
below its own clip's neighbours."""

import json, os, sys, numpy as np, torch
from diffusers import LTXPipeline, LTXImageToVideoPipeline, LTXConditionPipeline
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from PIL import Image
from captions import caption
from world import make_spec, render

SEED0 = 4000000
ALLOWED = 3.0  # dB


def psnr(a, b):
    return float(-10 * np.log10(np.mean((a.astype(np.float64) - b) ** 2) + 1e-12))


def steps(v):
    return [psnr(a, b) for a, b in zip(v[:-1], v[1:])]


def pictures(v):
    return [Image.fromarray((f * 255 + 0.5).astype(np.uint8)) for f in v]


class Models:
    def __init__(self, folder):
        with open(folder + "/praxinoscope.json") as f:
            self.call = json.load(f)["defaults"] | dict(output_type="np")
        text = LTXPipeline.from_pretrained(folder, torch_dtype=torch.float32)
        self.vae = text.vae
        parts = text.components
        self.text = text
        self.image = LTXImageToVideoPipeline(**parts)
        self.condition = LTXConditionPipeline(**parts)
        for p in (self.text, self.image, self.condition):
            p.set_progress_bar_config(disable=True)

    def run(self, name, prompt, seed, **kw):
        g = torch.Generator().manual_seed(seed)
        return np.asarray(getattr(self, name)(prompt=prompt, generator=g, **self.call, **kw).frames)[0]

    @torch.no_grad()
    def reconstruct(self, picture):
        x = torch.from_numpy(np.asarray(picture)).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
        y = self.vae.decode(self.vae.encode(x).latent_dist.mean).sample
        return (y[0, :, 0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).numpy()


def main():
    folder, n = sys.argv[1], int(sys.argv[2])
    parts = sys.argv[3].split(",") if len(sys.argv) > 3 else ["picture", "condition", "extension", "loop", "own"]
    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    m = Models(folder)
    rows = []
    for k in range(n):
        spec = make_spec(SEED0 + k)
        prompt, real = caption(spec), Image.fromarray(render(spec)[0])
        row = {}

        def near(name, value, others):
            row[name], row[name + ", neighbours"] = value, float(np.mean(others))
            row[name + ", passes"] = float(value > np.mean(others) - ALLOWED)

        for part, pipe in (("picture", "image"), ("condition", "condition")):
            if part in parts:
                v = m.run(pipe, prompt, k, image=real)
                row[part + ": first frame"] = psnr(v[0], m.reconstruct(real))
                near(part + ": frame 0 to 1", steps(v)[0], steps(v)[1:])
        if "extension" in parts or "own" in parts:
            a = m.run("text", prompt, k)
            row["text: neighbours"] = float(np.mean(steps(a)))
        if "extension" in parts:
            v = m.run("condition", prompt, k, video=pictures(a[-9:]))
            near("extension: joint", psnr(a[-1], v[9]), steps(v)[9:])
            row["extension: the same frame before and after"] = psnr(a[-1], v[8])
            near("extension: frame 8 to 9", steps(v)[8], steps(v)[9:])
        for part, picture in (("loop", real), ("own", None)):
            if part in parts:
                picture = picture or pictures(a[:1])[0]
                ends = [LTXVideoCondition(picture, None, i) for i in (0, m.call["num_frames"] - 1)]
                v = m.run("condition", prompt, k, conditions=ends)
                near(part + ": last to first", psnr(v[-1], v[0]), steps(v))
                row[part + ": furthest from the first"] = min(psnr(f, v[0]) for f in v)  # a still clip would loop too
        rows.append(row)
        if k % 8 == 7 or k == n - 1:
            print(k + 1, json.dumps({c: round(float(np.mean([r[c] for r in rows])), 2) for c in row}), flush=True)


if __name__ == "__main__":
    main()
