"""usage: carry.py state.pt out.pt

What a training state has learned, in bf16 and without its optimisers: small enough to carry elsewhere. Of a transformer's
it is the averaged weights, from which train_dit.py begins when it is given as start.pt."""

import sys, torch


def half(x):
    if isinstance(x, dict):
        return {k: half(v) for k, v in x.items()}
    return x.bfloat16() if torch.is_tensor(x) and x.dtype == torch.float32 else x


if __name__ == "__main__":
    state = torch.load(sys.argv[1])
    left_out = {"opt", "opts"} | ({"raw"} if "ema" in state else set())
    torch.save(half({k: v for k, v in state.items() if k not in left_out}), sys.argv[2])
