"""usage: train_text.py core_minutes out.pt [start.pt]

Teaches the text encoder to bind, before the transformer learns from it: of every token of a caption, which actor it is about, and
what that one is and does (binding.py). start.pt: a state that has a transformer already: the new encoder is to say what its
encoder said, as far as that goes, so that the transformer still understands it."""

import os, sys, time, torch
from transformers import T5Tokenizer
import binding
from dit import T5, make_t5
from interruptible import stop_on_signals, write
from world import LENGTHS, make_spec

RATE, BATCH = 2e-3, 32
UNSEEN = 3000000
OFTEN = 4  # times: captions of two actors
KEEP = 10.0  # times the mean square error of what the encoder before said


def captions(tokenizer, first, n):
    """n clips' captions from this seed on"""
    specs = [make_spec(s, frames=LENGTHS[s % 2]) for s in range(first, first + n)]
    specs = [s for s in specs for _ in range(OFTEN if len(s["actors"]) == 2 else 1)]
    return binding.told(tokenizer, specs, range(len(specs)))


def main():
    minutes, path = float(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    torch.manual_seed(0)
    tokenizer = T5Tokenizer.from_pretrained("work/tok")
    t5, head = make_t5(len(tokenizer)), binding.head(T5["d_model"])
    before = None
    if len(sys.argv) > 3:
        known = torch.load(sys.argv[3])["ema"]
        before = make_t5(len(tokenizer))
        for n, p in before.named_parameters():
            p.data.copy_(known["t5." + n])
    unseen = [x[-256:] for x in captions(tokenizer, UNSEEN, 1200)]
    ids, mask, target = captions(tokenizer, 0, 12000)
    nets = [("t5.", t5), ("binding.", head)]
    opt = torch.optim.AdamW([p for _, net in nets for p in net.parameters()], RATE, (0.9, 0.98), weight_decay=0.01)
    stop, step, began, moved = stop_on_signals(), 0, time.process_time(), torch.zeros(())
    while (spent := time.process_time() - began) < 60 * minutes and not stop:
        opt.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 50) * min(1, 2 * (1.01 - spent / (60 * minutes)))
        i = torch.randint(len(ids), (BATCH,))
        with torch.autocast("cpu", torch.bfloat16):
            words = t5(ids[i])[0].float()
            loss = aside = binding.error(head(words).float(), target[i])
            if before:
                with torch.no_grad():
                    old = before(ids[i])[0].float()
                moved = ((words - old).square().mean(-1) * mask[i]).sum() / mask[i].sum()
                loss = loss + KEEP * moved
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(t5.parameters(), 1.0)
        opt.step()
        step += 1
        if step % 100 == 0:
            with torch.no_grad():
                said = head(t5(unseen[0])[0])
            print(
                "step %d %.1f core-min loss %.4f, moved %.4f" % (step, spent / 60, aside.item(), moved.item()),
                binding.right(said, unseen[2]),
                flush=True,
            )
    write(dict(ema={prefix + n: p.data for prefix, net in nets for n, p in net.named_parameters()}), path)


if __name__ == "__main__":
    main()
