"""usage: carry.py state.pt out.pt

What a training state has learned, in bf16 and without its optimisers: small enough to carry elsewhere."""

import sys, torch


def half(x):
    if isinstance(x, dict):
        return {k: half(v) for k, v in x.items()}
    return x.bfloat16() if torch.is_tensor(x) and x.dtype == torch.float32 else x


if __name__ == "__main__":
    state = torch.load(sys.argv[1])
    torch.save(half({k: v for k, v in state.items() if not k.startswith("opt")}), sys.argv[2])
