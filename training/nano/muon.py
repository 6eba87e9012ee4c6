"""Muon with batched Newton-Schulz:
kernels of the same shape (convolutions seen as [out, in*k*k*k]) go through one bmm"""

import collections, torch


class Muon:
    def __init__(self, ps, lr, momentum=0.95, wd=0.01):
        self.param_groups = [{"lr": lr}]
        self.mo, self.wd = momentum, wd
        by = collections.defaultdict(list)
        for p in ps:
            by[tuple(p.flatten(1).shape)].append(p)
        self.g = [(ps, [torch.zeros_like(p) for p in ps]) for ps in by.values()]

    def zero_grad(self, set_to_none=True):
        for ps, _ in self.g:
            for p in ps:
                p.grad = None

    @torch.no_grad()
    def step(self):
        lr = self.param_groups[0]["lr"]
        for ps, bs in self.g:
            gs = [p.grad for p in ps]
            torch._foreach_lerp_(bs, gs, 1 - self.mo)
            u = torch.stack(torch._foreach_lerp(gs, bs, self.mo)).flatten(2)
            tr = u.shape[1] > u.shape[2]
            sc = lr * 0.2 * max(u.shape[1:]) ** 0.5  # rms of the update as AdamW's
            x = u.transpose(1, 2) if tr else u
            x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
            for _ in range(5):
                a = x @ x.transpose(1, 2)
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
            x = (x.transpose(1, 2) if tr else x).float()
            torch._foreach_mul_(ps, 1 - lr * self.wd)
            torch._foreach_add_(ps, [v.reshape(p.shape) for v, p in zip(x.unbind(0), ps)], alpha=-sc)

    def state_dict(self):
        return [bs for _, bs in self.g]

    def load_state_dict(self, state):
        for (_, bs), saved in zip(self.g, state, strict=True):
            for b, v in zip(bs, saved, strict=True):
                b.copy_(v)
