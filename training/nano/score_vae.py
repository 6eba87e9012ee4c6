"""usage: score_vae.py vae.pt classifier.pt

attribute accuracy on VAE reconstructions of unseen clips: the ceiling for generation"""

import sys, numpy as np, torch
from world import *
from vaecfg import make
from classifier import Net, HEADS, predict
from encode import small

torch.set_num_threads(2)
m = make()
m.load_state_dict(torch.load(sys.argv[1]))
m.eval()
net = Net()
net.load_state_dict(torch.load(sys.argv[2]))
S = [make_spec(2000000 + i) for i in range(64)]
Y = torch.tensor([[HEADS[h].index(s[h]) for h in HEADS] for s in S])
R, e = [], []
for i in range(0, 64, 4):
    x = torch.from_numpy(np.stack([render(s) for s in S[i : i + 4]])).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        y = m.decode(m.encode(x).latent_dist.mode()).sample.float().clamp(-1, 1)
    e += ((y - x) / 2).square().mean((1, 2, 3, 4)).tolist()
    R += [small(v) for v in ((y + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()]
p = predict(net, np.stack(R))
print(
    "PSNR %.2f" % np.mean(-10 * np.log10(e)),
    {h: round((p[:, k] == Y[:, k]).float().mean().item(), 3) for k, h in enumerate(HEADS)},
)
