"""Who is who in a caption: what a head on the text encoder learns to tell of each of its tokens while it is trained.

Of two actors, "a red balloon rises while a blue fish swims left", the clip alone teaches what there is but for very long
not which colour and motion is whose, nor who comes first, nor whether it is the camera that goes left. The caption was made from
it, so it costs nothing to know."""

import torch
import torch.nn.functional as F
from captions import parsed
from make_tokenizer import MAXLEN
from world import ACTORS, CAMERAS, COLOURS, MOTIONS

KIND = 2  # where each begins; before it whose token it is, the first or the second actor's
HUE = KIND + len(ACTORS)
MOTION = HUE + len(COLOURS)
THEN = MOTION + len(MOTIONS)
CAMERA = THEN + len(MOTIONS)
SIZE = CAMERA + len(CAMERAS)
WHOSE = 3  # times more weight for the first question, without which the others cannot be asked
WEIGHT = 0.2  # of the head's loss


def head(width):
    return torch.nn.Linear(width, SIZE)


def facts_of(k, a):
    facts = [k, KIND + ACTORS.index(a["actor"]), HUE + COLOURS.index(a["colour"]), MOTION + MOTIONS.index(a["motion"])]
    return facts + ([THEN + MOTIONS.index(a["then"])] if a["then"] else [])


def told(tokenizer, specs, variants):
    """token ids and mask of captions, padded, and what each token is to tell: bool [captions, MAXLEN, SIZE]"""
    rows = [parsed(s, v) for s, v in zip(specs, variants)]
    t = tokenizer(
        [text for text, _ in rows],
        padding="max_length",
        max_length=MAXLEN,
        return_tensors="pt",
        return_offsets_mapping=True,
    )
    target = torch.zeros(len(rows), MAXLEN, SIZE, dtype=torch.bool)
    for (_, spans), s, offsets, out in zip(rows, specs, t.offset_mapping, target):
        of_spans = [facts_of(k, a) for k, a in enumerate(s["actors"])] + [[CAMERA + CAMERAS.index(s["camera"])]]
        for facts, (begin, end) in zip(of_spans, spans):
            inside = (offsets[:, 0] >= begin) & (offsets[:, 1] <= end) & (offsets[:, 1] > offsets[:, 0])
            for fact in facts:
                out[inside, fact] = True
    return t.input_ids, t.attention_mask, target


def error(said, target):
    """said: logits [B, MAXLEN, SIZE]"""
    per = F.binary_cross_entropy_with_logits(said, target.float(), reduction="none").mean((0, 1))
    return per[KIND:].sum() + WHOSE * per[:KIND].sum()


def right(said, target):
    """of the actors' tokens: the shares that tell whose they are, and which kind, colour and motion"""
    here = target[..., :KIND].any(-1)
    parts = dict(whose=(0, KIND), kind=(KIND, HUE), colour=(HUE, MOTION), motion=(MOTION, THEN))
    return {
        k: round((said[..., a:b].argmax(-1) == target[..., a:b].int().argmax(-1))[here].float().mean().item(), 3)
        for k, (a, b) in parts.items()
    }
