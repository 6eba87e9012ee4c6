"""usage: train_dit.py core_minutes data_folder out.pt [start.pt ...]

Trains the text encoder and the transformer together, by flow matching, on what encode.py wrote: text to video, and
going on from pictures and clips, at all shapes and lengths. Stopped (SIGTERM, SIGINT) it saves and ends; called again
it goes on where it was. start.pt: other states to begin from, of each network
the first that has it, so that of train_text.py comes first. work/tok is the tokenizer; data_folder/unseen holds clips to
measure with."""

import os, sys
import numpy as np, torch
from transformers import T5Tokenizer
import binding, grounding
from conditions import noised
from dit import DIT, T5
from encode import SHARD, spec
from latents import Latents
from training import Training

FRONT_FROM = 0.3  # from this part of the time on
FOCUS = 2.0  # times more weight for what shows an actor
MIDDLE, WIDTH = 2.0, 1.3  # logit of the noise levels: where and what an actor is is decided from 1 to .65
EVEN = 0.25  # of them are uniform
DROP = 0.1  # captions left out, for guidance


def predict(dit, words, mask, x, level, t, batch):
    """words: what the text encoder says; level [B, T] of each token; t [B] of the batch, quicker where nothing is given"""
    with torch.autocast("cpu", torch.bfloat16):
        return dit(
            hidden_states=x,
            encoder_hidden_states=words,
            timestep=1000 * (level if batch.strength.any() else t),
            encoder_attention_mask=mask,
            video_coords=batch.coords.transpose(1, 2),
            return_dict=False,
        )[0].float()


def mean_error(out, target, counts):
    per = ((out - target).square().mean(-1) * counts).sum(1) / counts.sum(1).clamp(min=1)
    return per.mean()


def loss_of(t5, dit, data, made, drop=DROP, t=None, shown=0):
    """shown: 1 for tokens of the clip that show an actor, which then count more. Beside the loss the text encoder's words, and
    what binding.py has them tell."""
    batch, part, i = made
    b, g = len(i), data.g
    weak, cond_noise = torch.zeros(b, dtype=torch.bool), torch.zeros(b)
    if t is None:  # logit-normal, and some uniform; some conditions are weak, or noised as the pipeline may do it
        near = torch.sigmoid(MIDDLE + WIDTH * torch.randn(b, generator=g))
        t = torch.where(data.chance(b) < EVEN, data.chance(b), near)
        weak = data.chance(b) < 0.12
        cond_noise = 0.15 * (data.chance(b) < 0.5)
    strength = torch.where(weak, 0.3 + 0.7 * data.chance(b), 1.0)
    x, level, target, counts = noised(batch, t, strength, cond_noise, data.posterior, g)
    counts[:, batch.front :] *= 1 + FOCUS * shown
    ids, mask, told = data.captions(part, i, drop)
    with torch.autocast("cpu", torch.bfloat16):
        words = t5(ids)[0]  # T5 sees the padding, as in LTXPipeline; the transformer does not
    return mean_error(predict(dit, words, mask, x, level, t, batch), target, counts), words, told


def truth(made):
    """[B, tokens, grounding.SIZE] of a batch"""
    batch, part, i = made
    seeds = part["seed"][i].tolist()
    return torch.stack([grounding.targets(spec(s // SHARD * SHARD, s), batch.shows) for s in seeds])


@torch.no_grad()
def measure(t5, dit, data, b=24):
    """losses of unseen clips by kind of condition, always with the same times and noise"""
    out, t = {}, torch.linspace(0.02, 0.98, b)
    kind = data.kinds[0]
    makers = dict(text=data.text, picture=data.starts, loops=data.loops, ends=data.ends, on=data.on)
    for name, make in makers.items():
        data.g.manual_seed(5)
        of = make(kind, b, 1) if name == "picture" else make(kind, b)
        out[name] = round(loss_of(t5, dit, data, of, 0, t)[0].item(), 4)
    return out


def main():
    minutes, folder, path = float(sys.argv[1]), *sys.argv[2:4]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(0)
    g, stats = torch.Generator(), torch.load(folder + "/stats.pt")
    data, unseen = Latents(folder, stats, g), Latents(folder + "/unseen", stats, torch.Generator())
    head, bound = grounding.head(DIT["cross_attention_dim"]), binding.head(T5["d_model"])
    training = Training(len(T5Tokenizer.from_pretrained("work/tok")), path, sys.argv[4:], dict(head=head, binding=bound))
    t5, dit, state = training.t5, training.dit, training.state
    tap = grounding.Tap(dit)
    g.manual_seed(state["step"])
    print(
        "%s clips, %s unseen; %.2f M parameters; step %d"
        % (sum(data.many), sum(unseen.many), sum(p.numel() for p in training.named.values()) / 1e6, state["step"]),
        flush=True,
    )

    def report():
        print("   unseen (ema)", training.averaged(lambda: measure(t5, dit, unseen)), flush=True)

    losses, asides = [], []
    for f in training.steps(minutes):
        made = data.batch(f > FRONT_FROM)
        here = truth(made)
        loss, words, told = loss_of(t5, dit, data, made, shown=here[..., 0])
        with torch.autocast("cpu", torch.bfloat16):
            seen, said = head(tap.hidden[:, made[0].front :]).float(), bound(words).float()
        grounded, binds = grounding.error(seen, here), binding.error(said, told)
        (loss + grounding.WEIGHT * grounded + binding.WEIGHT * binds).backward()
        losses.append(loss.item())
        asides.append((grounded.item(), binds.item()))
        state["samples"] += len(made[2])
        if state["step"] % 20 == 0:
            print(
                "step %d %.1f core-min loss %.4f, heads %.4f %.4f"
                % (state["step"], state["spent"] / 60, np.mean(losses[-40:]), *np.mean(asides[-40:], 0)),
                flush=True,
            )
        if state["step"] % 300 == 299:
            report()
    report()


if __name__ == "__main__":
    main()
