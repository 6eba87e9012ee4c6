"""The text encoder and the transformer while they are trained: optimisers, averaged weights, the state on disk."""

import os, time, torch
from collections import ChainMap
from dit import make_dit, make_t5
from interruptible import stop_on_signals, write
from muon import Muon

MUON_RATE, ADAM_RATE, EMA = 3e-3, 1e-3, 0.998
SAVE_EVERY = 180  # seconds


class Training:
    """named: all parameters, as they are being trained; ema: their running mean"""

    def __init__(self, vocabulary, path, start=(), more={}):
        """path: the state, gone on with if it is there; start: states to begin from if not, each parameter at its mean in the
        first that has it; more: networks by name that are trained along"""
        self.path, self.t5, self.dit = path, make_t5(vocabulary), make_dit()
        nets = dict(t5=self.t5, dit=self.dit, **more)
        self.named = {f"{name}.{n}": p for name, net in nets.items() for n, p in net.named_parameters()}
        matrices = [
            p for n, p in self.named.items() if p.ndim == 2 and n.startswith("dit.") and "block" in n and "table" not in n
        ]
        of_blocks = {id(p) for p in matrices}
        rest = [p for p in self.named.values() if id(p) not in of_blocks]
        self.opts = [Muon(matrices, MUON_RATE), torch.optim.AdamW(rest, ADAM_RATE, (0.9, 0.98), weight_decay=0.01)]
        self.state = dict(step=0, spent=0.0, samples=0)
        if os.path.exists(path):
            self.state = torch.load(path)
            raw, ema = self.state.pop("raw"), self.state.pop("ema")
            for o, saved in zip(self.opts, self.state.pop("opts", [])):
                o.load_state_dict(saved)
        else:
            known = ChainMap(*(torch.load(s)["ema"] for s in start))
            raw = ema = {n: known[n] if n in known and known[n].shape == p.shape else p for n, p in self.named.items()}
        for n, p in self.named.items():
            p.data.copy_(raw[n])
        self.ema = {n: ema[n].detach().clone().float() for n in self.named}
        self.dit.compile_repeated_blocks(dynamic=True)
        self.saved, self.stop = time.time(), stop_on_signals()

    def steps(self, minutes):
        """the part of the time that is spent (core-minutes), once a step, while its gradients are to be made"""
        values, means = list(self.named.values()), list(self.ema.values())
        while self.state["spent"] < 60 * minutes and not self.stop:
            began, f = time.process_time(), self.state["spent"] / (60 * minutes)
            scale = min(1, (self.state["step"] + 1) / 60) * min(1, 1.4 * (1.01 - f))  # warm up, hold, decay
            for o, at in zip(self.opts, (MUON_RATE, ADAM_RATE)):
                o.param_groups[0]["lr"] = at * scale
            for p in values:
                p.grad = None
            yield f
            torch.nn.utils.clip_grad_norm_(values, 1.0)
            for o in self.opts:
                o.step()
            self.state["step"] += 1
            keep = min(EMA, (1 + self.state["step"]) / (20 + self.state["step"]))
            with torch.no_grad():
                torch._foreach_lerp_(means, [p.data for p in values], 1 - keep)
            self.state["spent"] += time.process_time() - began
            if time.time() - self.saved > SAVE_EVERY:
                self.save()
        self.save()

    def save(self):
        self.saved = time.time()
        raw = {n: p.data for n, p in self.named.items()}
        write(self.state | dict(raw=raw, ema=self.ema, opts=[o.state_dict() for o in self.opts]), self.path)

    def averaged(self, f):
        """f() with the mean in the networks"""

        def swap():
            for n, p in self.named.items():
                p.data, self.ema[n] = self.ema[n], p.data

        swap()
        out = f()
        swap()
        return out
