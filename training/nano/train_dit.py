"""usage: train_dit.py core_minutes data_folder out.pt

Trains the text encoder and the transformer together, by flow matching, on what encode.py wrote: text to video, and
going on from pictures and clips, at all shapes and lengths. Stopped (SIGTERM, SIGINT) it saves and ends; called again
it goes on where it was. work/tok is the tokenizer; data_folder/unseen, if it is there, holds clips to measure with."""

import glob, os, sys, time
import numpy as np, torch
from transformers import T5Tokenizer
from interruptible import stop_on_signals, write
from captions import caption
from conditions import GIVEN, TAIL, Batch, Grid, noised
from dit import make_dit, make_t5
from encode import EXTRA, SHARD, kind_of, spec
from make_tokenizer import MAXLEN
from muon import Muon

TOKENS = 14400  # of latents in a step, about: 32 square clips of 25 frames
MUON_RATE, ADAM_RATE, EMA = 3e-3, 1e-3, 0.998
VARIANTS = 4  # captions a clip: two in English, two in French
TEXT, STARTS = 0.55, 0.2  # steps with text alone, and with the first picture or frames given; in the others the last is
FRONT_FROM = 0.3  # from this part of the time on
DROP = 0.1  # captions left out, for guidance
SAVE_EVERY = 180  # seconds


class Data:
    """normalised latents by shape and length, and the tokens of their captions"""

    def __init__(self, folder, stats, g):
        self.g, self.parts = g, {}
        tokenizer = T5Tokenizer.from_pretrained("work/tok")
        mean, std = stats["mean"], stats["std"]
        self.posterior = stats["posterior"] / std
        for path in sorted(glob.glob(folder + "/*.npz")):
            first = int(os.path.basename(path)[:-4])
            texts = [caption(spec(first, s), v) for s in range(first, first + SHARD) for v in range(VARIANTS)]
            t = tokenizer(texts, padding="max_length", max_length=MAXLEN, return_tensors="pt")
            part = self.parts.setdefault(kind_of(first), {})
            with np.load(path) as z:
                for k in z.files:
                    part.setdefault(k, []).append(((torch.from_numpy(z[k]).float() - mean) / std).half())
            part.setdefault("ids", []).append(t.input_ids.view(SHARD, VARIANTS, -1))
            part.setdefault("mask", []).append(t.attention_mask.view(SHARD, VARIANTS, -1))
        self.parts = {kind: {k: torch.cat(v) for k, v in p.items()} for kind, p in self.parts.items()}
        self.kinds = list(self.parts)
        self.many = [len(p["clip"]) for p in self.parts.values()]
        empty = tokenizer("", padding="max_length", max_length=MAXLEN, return_tensors="pt")
        self.empty = empty.input_ids, empty.attention_mask

    def draw(self, many, b):
        return torch.randint(0, many, (b,), generator=self.g)

    def chance(self, b):
        return torch.rand(b, generator=self.g)

    def captions(self, part, i, drop):
        v = torch.randint(0, VARIANTS, (len(i),), generator=self.g)
        d = self.chance(len(i))[:, None] < drop
        return torch.where(d, self.empty[0], part["ids"][i, v]), torch.where(d, self.empty[1], part["mask"][i, v])

    def text(self, kind, b):
        """clips with nothing given"""
        part = self.parts[kind]
        i = self.draw(len(part["clip"]), b)
        batch = Batch(Grid(*kind), part["clip"][i].float())
        batch.plain(self.chance(b) < 0.85)
        return batch, part, i

    def starts(self, kind, b, given=None):
        """the first picture (half of them), the first 9 or 17 frames given"""
        batch, part, i = self.text(kind, b)
        which = (
            1 + torch.bucketize(self.chance(b), torch.tensor([0.5, 0.75])) if given is None else torch.full((b,), given)
        )
        for k in range(1, len(GIVEN)):
            batch.give(which == k, GIVEN[k])
        batch.shifted(which > 1)
        return batch, part, i

    def ends(self, kind, b):
        """the last picture given, and with it mostly the first picture, or the first 9 frames"""
        part = self.parts[kind]
        i = self.draw(len(part["clip"]), b)
        batch = Batch(Grid(*kind), part["clip"][i].float(), part["last"][i].float(), kind[1] - 1)
        u = self.chance(b)
        batch.give(u < 0.7, GIVEN[1])
        batch.give((u >= 0.7) & (u < 0.85), GIVEN[2])
        return batch, part, i

    def loops(self, kind, b):
        """clips that return, their first picture given as the first and as the last"""
        part = self.parts[kind]
        j = self.draw(len(part["loop"]), b)
        z, grid = part["loop"][j].float(), Grid(*kind)
        batch = Batch(grid, z, z[:, : grid.side].clone(), kind[1] - 1)
        batch.give(slice(None), GIVEN[1])
        return batch, part, j * EXTRA

    def tails(self, kind, b):
        """the last 9 frames given, and with them mostly the first picture, or the first 9 frames"""
        part = self.parts[kind]
        j = self.draw(len(part["tail"]), b)
        i = j * EXTRA
        batch = Batch(Grid(*kind), part["clip"][i].float(), part["tail"][j].float(), kind[1] - TAIL)
        u = self.chance(b)
        batch.give(u < 0.4, GIVEN[1])
        batch.give((u >= 0.4) & (u < 0.8), GIVEN[2])
        return batch, part, i

    def batch(self, front):
        """front: may there be a condition in front of the clip?"""
        kind = self.kinds[torch.multinomial(torch.tensor(self.many).float(), 1, generator=self.g).item()]
        u = self.chance(1).item()
        make = self.text if u < TEXT else self.starts if not front or u < TEXT + STARTS else None
        if make is None:
            u = self.chance(1).item()
            make = self.loops if u < 0.45 else self.ends if u < 0.9 else self.tails
        return make(kind, max(4, TOKENS // Grid(*kind).tokens))


def loss_of(t5, dit, data, made, drop=DROP, t=None):
    batch, part, i = made
    b, g = len(i), data.g
    weak, cond_noise = torch.zeros(b, dtype=torch.bool), torch.zeros(b)
    if t is None:  # logit-normal, and a fifth uniform; some conditions are weak, or noised as the pipeline may do it
        t = torch.where(data.chance(b) < 0.2, data.chance(b), torch.sigmoid(torch.randn(b, generator=g)))
        weak = data.chance(b) < 0.12
        cond_noise = 0.15 * (data.chance(b) < 0.5)
    strength = torch.where(weak, 0.3 + 0.7 * data.chance(b), 1.0)
    x, level, target, counts = noised(batch, t, strength, cond_noise, data.posterior, g)
    ids, mask = data.captions(part, i, drop)
    with torch.autocast("cpu", torch.bfloat16):
        out = dit(
            hidden_states=x,
            encoder_hidden_states=t5(ids)[0],  # T5 sees the padding, as in LTXPipeline; the transformer does not
            timestep=1000 * (level if batch.strength.any() else t),
            encoder_attention_mask=mask,
            video_coords=batch.coords.transpose(1, 2),
            return_dict=False,
        )[0]
    per = ((out.float() - target).square().mean(-1) * counts).sum(1) / counts.sum(1).clamp(min=1)
    return per.mean()


@torch.no_grad()
def measure(t5, dit, data, b=24):
    """losses of unseen clips by kind of condition, always with the same times and noise"""
    out, t = {}, torch.linspace(0.02, 0.98, b)
    kind = data.kinds[0]
    makers = dict(text=data.text, picture=data.starts, loops=data.loops, ends=data.ends)
    for name, make in makers.items():
        data.g.manual_seed(5)
        of = make(kind, b, 1) if name == "picture" else make(kind, b)
        out[name] = round(loss_of(t5, dit, data, of, 0, t).item(), 4)
    return out


def main():
    minutes, folder, path = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(0)
    g, stats = torch.Generator(), torch.load(folder + "/stats.pt")
    data = Data(folder, stats, g)
    unseen = Data(folder + "/unseen", stats, torch.Generator())
    t5, dit = make_t5(len(T5Tokenizer.from_pretrained("work/tok"))), make_dit()
    named = {"t5." + n: p for n, p in t5.named_parameters()} | {"dit." + n: p for n, p in dit.named_parameters()}
    matrices = [
        p for n, p in named.items() if p.ndim == 2 and "block" in n and "table" not in n and "relative" not in n
    ]
    of_blocks = {id(p) for p in matrices}
    opts = [
        Muon(matrices, MUON_RATE),
        torch.optim.AdamW(
            [p for p in named.values() if id(p) not in of_blocks], ADAM_RATE, (0.9, 0.98), weight_decay=0.01
        ),
    ]
    rates = MUON_RATE, ADAM_RATE
    ema = {n: p.detach().clone() for n, p in named.items()}
    state = dict(step=0, spent=0.0, samples=0)
    if os.path.exists(path):
        state = torch.load(path)
        for n, p in named.items():
            p.data.copy_(state["raw"][n])
            ema[n].copy_(state["ema"][n])
        for o, saved in zip(opts, state.get("opts", [])):
            o.load_state_dict(saved)
    dit.compile_repeated_blocks(dynamic=True)
    g.manual_seed(state["step"])
    print(
        "%s clips, %s unseen; %.2f M parameters; step %d"
        % (sum(data.many), sum(unseen.many), sum(p.numel() for p in named.values()) / 1e6, state["step"]),
        flush=True,
    )

    def swap():
        for n, p in named.items():
            p.data, ema[n] = ema[n], p.data

    def report():
        swap()
        print("   unseen (ema)", measure(t5, dit, unseen), flush=True)
        swap()

    def save():
        raw = {n: p.data for n, p in named.items()}
        write(state | dict(raw=raw, ema=ema, opts=[o.state_dict() for o in opts]), path)

    stop, losses, saved = stop_on_signals(), [], time.time()
    while state["spent"] < 60 * minutes and not stop:
        began, f = time.process_time(), state["spent"] / (60 * minutes)
        scale = min(1, (state["step"] + 1) / 60) * min(1, 1.4 * (1.01 - f))  # warm up, hold, linear decay
        for o, rate in zip(opts, rates):
            o.param_groups[0]["lr"] = rate * scale
        made = data.batch(f > FRONT_FROM)
        loss = loss_of(t5, dit, data, made)
        for p in named.values():
            p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(named.values(), 1.0)
        for o in opts:
            o.step()
        state["step"] += 1
        state["samples"] += len(made[2])
        keep = min(EMA, (1 + state["step"]) / (20 + state["step"]))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [p.data for p in named.values()], 1 - keep)
        losses.append(loss.item())
        state["spent"] += time.process_time() - began
        if state["step"] % 20 == 0:
            print(
                "step %d %.1f core-min loss %.4f" % (state["step"], state["spent"] / 60, np.mean(losses[-40:])),
                flush=True,
            )
        if state["step"] % 300 == 0:
            report()
        if time.time() - saved > SAVE_EVERY:
            saved = time.time()
            save()
    save()
    report()


if __name__ == "__main__":
    main()
