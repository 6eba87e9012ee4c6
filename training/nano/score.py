"""usage: score.py checkpoint classifier.pt n [steps cfg]

per-attribute accuracy on training-distribution and held-out prompts"""

import sys, time, numpy as np, torch
from diffusers import LTXPipeline
from world import *
from classifier import Net, HEADS, predict
from encode import small

torch.set_num_threads(2)


def generate(pipe, prompts, steps=20, cfg=3.0, seed=0, bs=16):
    out = []
    for i in range(0, len(prompts), bs):
        p = prompts[i : i + bs]
        g = [torch.Generator().manual_seed(seed + i + k) for k in range(len(p))]
        v = pipe(
            p,
            width=128,
            height=128,
            num_frames=25,
            frame_rate=12,
            num_inference_steps=steps,
            guidance_scale=cfg,
            max_sequence_length=48,
            generator=g,
            output_type="np",
        ).frames
        out.append((np.asarray(v) * 255 + 0.5).astype(np.uint8))
    return np.concatenate(out)


if __name__ == "__main__":
    ck, cl, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    cfg = float(sys.argv[5]) if len(sys.argv) > 5 else 3.0
    pipe = LTXPipeline.from_pretrained(ck, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    net = Net()
    net.load_state_dict(torch.load(cl))
    for split, s0 in (("train", 2000000), ("held", 3000000)):
        S = [make_spec(s0 + i, split) for i in range(n)]
        Y = torch.tensor([[HEADS[h].index(s[h]) for h in HEADS] for s in S])
        real = predict(net, np.stack([small(render(s)) for s in S]))
        t = time.time()
        v = generate(pipe, [caption(s) for s in S], steps, cfg)
        dt = time.time() - t
        p = predict(net, np.stack([small(x) for x in v]))
        f = lambda q: {h: round((q[:, k] == Y[:, k]).float().mean().item(), 3) for k, h in enumerate(HEADS)}
        print(split, "n", n, "steps", steps, "cfg", cfg)
        print("  real clips ", f(real))
        print(
            "  generated  ",
            f(p),
            "all five %.3f" % (p[:, :5] == Y[:, :5]).all(1).float().mean().item(),
            "%.2f s/clip" % (dt / n),
            flush=True,
        )
