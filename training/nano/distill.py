"""usage: distill.py core_minutes data_folder dit.pt out.pt

Teaches a copy of the transformer to do in STEPS steps without guidance what it does in twice as many with guidance: from
a noised clip the teacher goes two half steps, each with guidance, and the student learns the one step that leads there
(Meng et al. 2022, "On Distillation of Guided Diffusion Models", arXiv:2210.03142; Salimans and Ho 2022, arXiv:2202.00512).
Captions are left out now and then and then the teacher takes none, so that the student may still be guided. Stopped and
called again it goes on where it was, like train_dit.py."""

import os, sys
import numpy as np, torch
from transformers import T5Tokenizer
from conditions import noised
from dit import make_dit, make_t5, shifted
from latents import Latents
from train_dit import mean_error, predict
from training import Training

STEPS, GUIDANCE = 8, 3.0
DROP = 0.06
ON_GRID = 0.7  # of the noise levels are those of STEPS steps, the others anywhere
RATE = 0.3  # of what train_dit.py begins with


class Teacher:
    def __init__(self, path, vocabulary):
        self.t5, self.dit = make_t5(vocabulary).eval(), make_dit().eval()
        ema = torch.load(path)["ema"]
        for prefix, net in (("t5.", self.t5), ("dit.", self.dit)):
            for n, p in net.named_parameters():
                p.data.copy_(ema[prefix + n])
        self.dit.compile_repeated_blocks(dynamic=True)

    def velocity(self, captions, without, x, level, t, batch):
        bare = predict(self.t5, self.dit, *without, x, level, t, batch)
        told = predict(self.t5, self.dit, *captions, x, level, t, batch)
        return bare + GUIDANCE * (told - bare)


def loss_of(teacher, t5, dit, data, made):
    batch, part, i = made
    b, g = len(i), data.g
    even = torch.where(
        data.chance(b) < ON_GRID, (1 + torch.randint(0, STEPS, (b,), generator=g)) / STEPS, data.chance(b).clamp(min=0.01)
    )
    t, middle, end = (shifted((even - k / STEPS).clamp(min=0)) for k in (0, 0.5, 1))
    cond_noise = 0.15 * (data.chance(b) < 0.5)
    x, level, _, counts = noised(batch, t, torch.ones(b), cond_noise, data.posterior, g)
    captions = data.captions(part, i, DROP)
    without = tuple(e.expand(b, -1) for e in data.empty)
    moves = counts > 0
    with torch.no_grad():
        v1 = teacher.velocity(captions, without, x, level, t, batch)
        first, second = (t - middle)[:, None], (middle - end)[:, None]
        halfway = torch.where(moves[..., None], x - first[..., None] * v1, x)
        v2 = teacher.velocity(captions, without, halfway, torch.where(moves, level - first, level), middle, batch)
        target = (first[..., None] * v1 + second[..., None] * v2) / (t - end)[:, None, None]
    out = predict(t5, dit, *captions, x, level, t, batch)
    return mean_error(out, target, counts)


def main():
    minutes, folder, start, path = float(sys.argv[1]), *sys.argv[2:5]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(1)
    g = torch.Generator()
    data = Latents(folder, torch.load(folder + "/stats.pt"), g)
    vocabulary = len(T5Tokenizer.from_pretrained("work/tok"))
    teacher, training = Teacher(start, vocabulary), Training(vocabulary, path, start)
    state, losses = training.state, []
    g.manual_seed(1000000 + state["step"])
    for _ in training.steps(minutes, RATE):
        made = data.batch(True)
        loss = loss_of(teacher, training.t5, training.dit, data, made)
        loss.backward()
        losses.append(loss.item())
        state["samples"] += len(made[2])
        if state["step"] % 20 == 0:
            print(
                "step %d %.1f core-min loss %.4f" % (state["step"], state["spent"] / 60, np.mean(losses[-20:])),
                flush=True,
            )


if __name__ == "__main__":
    main()
