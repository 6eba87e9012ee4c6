"""Batches of what encode.py wrote: clips as normalised latents, with captions, and with what may be given of them."""

import glob, os
import numpy as np, torch
import binding
from transformers import T5Tokenizer
from conditions import GIVEN, TAIL, Batch, Grid, going_on, mirrored
from encode import EXTRA, SHARD, kind_of, spec, spread
from make_tokenizer import MAXLEN

TOKENS = 14400  # of latents in a batch, about: 32 square clips of 25 frames
VARIANTS = 4  # captions a clip: two in English, two in French
OFTEN = 3, 2  # times as often: clips that show two actors, and those of a camera that pans
# batches with text alone, with the first picture or frames given, and with the last of the clip before; in the others the last is
TEXT, STARTS, ON = 0.5, 0.15, 0.15


def often(s):
    return OFTEN[0] if len(s["actors"]) > 1 else OFTEN[1] if s["camera"] != "still" else 1


class Latents:
    """normalised latents by shape and length, and the tokens of their captions"""

    def __init__(self, folder, stats, g):
        self.g, self.parts = g, {}
        tokenizer = T5Tokenizer.from_pretrained("work/tok")
        mean, std = stats["mean"], spread(stats)
        self.posterior = stats["posterior"] / std
        for path in sorted(glob.glob(folder + "/*.npz")):
            first = int(os.path.basename(path)[:-4])
            specs = [spec(first, s) for s in range(first, first + SHARD)]
            part = self.parts.setdefault(kind_of(first), {})
            captions = [s for s in specs for _ in range(VARIANTS)], list(range(VARIANTS)) * SHARD
            for name, value in zip(("ids", "mask", "told"), binding.told(tokenizer, *captions)):
                part.setdefault(name, []).append(value.unflatten(0, (SHARD, VARIANTS)))
            with np.load(path) as z:
                for k in z.files:
                    part.setdefault(k, []).append(((torch.from_numpy(z[k]).float() - mean) / std).half())
            part.setdefault("often", []).append(torch.tensor([often(s) for s in specs]))
            part.setdefault("seed", []).append(torch.arange(first, first + SHARD))
        self.parts = {kind: {k: torch.cat(v) for k, v in p.items()} for kind, p in self.parts.items()}
        for p in self.parts.values():
            p["drawn"] = torch.arange(len(p["clip"])).repeat_interleave(p.pop("often"))
        self.kinds = list(self.parts)
        self.many = [len(p["clip"]) for p in self.parts.values()]
        empty = tokenizer("", padding="max_length", max_length=MAXLEN, return_tensors="pt")
        self.empty = empty.input_ids, empty.attention_mask

    def draw(self, many, b):
        return torch.randint(0, many, (b,), generator=self.g)

    def clips(self, part, b):
        return part["drawn"][self.draw(len(part["drawn"]), b)]

    def chance(self, b):
        return torch.rand(b, generator=self.g)

    def captions(self, part, i, drop):
        v = torch.randint(0, VARIANTS, (len(i),), generator=self.g)
        d = (self.chance(len(i)) < drop)[:, None]
        ids, mask, told = (part[name][i, v] for name in ("ids", "mask", "told"))
        return torch.where(d, self.empty[0], ids), torch.where(d, self.empty[1], mask), told & ~d[..., None]

    def text(self, kind, b):
        """clips with nothing given"""
        part = self.parts[kind]
        i = self.clips(part, b)
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
        i = self.clips(part, b)
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
        batch = Batch(grid, z, z[:, : grid.side].clone(), kind[1] - 1, mirrored(kind[1]))
        batch.give(slice(None), GIVEN[1])
        return batch, part, j * EXTRA

    def on(self, kind, b):
        """clips that go on from the last frames of others: from 9 of them, or from a picture"""
        part = self.parts[kind]
        j = self.draw(len(part["on"]), b)
        batch = Batch(Grid(*kind), part["on"][j].float(), shows=going_on(kind[1]))
        u = self.chance(b)
        batch.give(u < 0.3, GIVEN[1])
        batch.give(u >= 0.3, GIVEN[2])
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
        make = self.text if u < TEXT else self.starts if u < TEXT + STARTS else self.on
        if front and u > TEXT + STARTS + ON:
            u = self.chance(1).item()
            make = self.loops if u < 0.45 else self.ends if u < 0.9 else self.tails
        return make(kind, max(4, TOKENS // Grid(*kind).tokens))
