"""usage: train_conditions.py minutes model_folder data_folder out.pt [start.pt]

Teaches the transformer of a model folder to go on from pictures and clips, as LTXImageToVideoPipeline and
LTXConditionPipeline feed them, and keeps text to video in the mixture. Text encoder and autoencoder stay as they are.
data_folder is what encode_conditions.py wrote; start.pt has the weights of an earlier run to begin from. Stopped by SIGTERM or SIGINT it saves and ends; called again it goes on."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
import glob, json, multiprocessing as mp, re, signal, sys, time
import numpy as np, torch
from diffusers import LTXVideoTransformer3DModel
from safetensors import safe_open
from transformers import T5EncoderModel, T5Tokenizer
from conditions import *
from fastattn import install
from muon import Muon
from world import caption, make_spec

MAXLEN, USED = 48, 28  # the prompt is padded to MAXLEN for T5; no caption has more than USED tokens
VARIANTS = 4  # captions a clip
NSTART, NFRONT = 6, 10  # samples a step and worker: conditions at most at frame 0, and conditions in front
SAVE_EVERY = 180  # seconds
MUON_RATE, ADAM_RATE, EMA = 1.5e-3, 4e-4, 0.99  # of the blocks' matrices, and of all else
WORKERS = 2  # processes of one thread each, which share every step's gradient


def load(folder, std, mean):
    """normalised tokens by name, and the seeds of clips"""
    parts, seeds = {}, []
    for path in sorted(glob.glob(folder + "/*.npz")):
        with np.load(path) as z:
            seeds += range(int(re.sub(r"\D", "", os.path.basename(path))), 10**9)[: len(z["clip"])]
            for k in z.files:
                parts.setdefault(k, []).append(z[k])
    return {
        k: torch.from_numpy(np.concatenate(v)).float().sub_(mean).div_(std).to(torch.float16) for k, v in parts.items()
    }, np.array(seeds)


@torch.no_grad()
def embed(folder, texts):
    """f16 last hidden states [n, USED, 128] and masks; as in LTXPipeline, T5 sees the padding"""
    tok = T5Tokenizer.from_pretrained(folder + "/tokenizer")
    t5 = T5EncoderModel.from_pretrained(folder + "/text_encoder", torch_dtype=torch.float32).eval()
    e, m = [], []
    for i in range(0, len(texts), 256):
        t = tok(texts[i : i + 256], padding="max_length", max_length=MAXLEN, truncation=True, return_tensors="pt")
        assert int(t.attention_mask.sum(-1).max()) <= USED
        e.append(t5(t.input_ids)[0][:, :USED].half())
        m.append(t.attention_mask[:, :USED].float())
    return torch.cat(e), torch.cat(m)


class Data:
    def __init__(self, folder, model, g):
        with safe_open(model + "/vae/diffusion_pytorch_model.safetensors", "pt") as f:
            mean, std = f.get_tensor("latents_mean").float(), f.get_tensor("latents_std").float()
        self.posterior_std = torch.load(folder + "/stats.pt")["posterior_std"] / std
        self.z, seeds = load(folder, std, mean)
        n = len(seeds)
        path = folder + "/captions.pt"
        e, m = torch.load(path) if os.path.exists(path) else ([], [])
        if len(e) != n * VARIANTS + 1:  # more clips than when it was written
            e, m = embed(model, [caption(make_spec(int(s)), v) for s in seeds for v in range(VARIANTS)] + [""])
            torch.save((e, m), path)
        self.empty = (e[-1], m[-1])
        self.e, self.m = e[:-1].unflatten(0, (n, VARIANTS)), m[:-1].unflatten(0, (n, VARIANTS))
        self.n, self.g = n, g

    def text(self, i, drop):
        v = torch.randint(0, VARIANTS, (len(i),), generator=self.g)
        d = torch.rand(len(i), generator=self.g) < drop
        e = torch.where(d[:, None, None], self.empty[0], self.e[i, v])
        return e.float(), torch.where(d[:, None], self.empty[1], self.m[i, v])

    def draw(self, many, b):
        return torch.randint(0, many, (b,), generator=self.g)

    def start(self, b, kind=None):
        """clips with nothing (46 %), the first picture (25 %), the first 9 (18 %) or 17 frames (11 %) given"""
        i = self.draw(self.n, b)
        batch = Batch(self.z["clip"][i].float())
        u = torch.rand(b, generator=self.g)
        frames = torch.bucketize(u, torch.tensor([0.46, 0.71, 0.89])) if kind is None else torch.full((b,), kind)
        for k in (1, 2, 3):
            batch.condition_start(frames == k, k)
        # positions as in LTXPipeline and LTXImageToVideoPipeline, or as in LTXConditionPipeline
        chance = torch.tensor([0.8, 0.5, 0.1, 0.1])[frames]
        plain = torch.rand(b, generator=self.g) < (chance if kind is None else (kind < 2))
        batch.coords[plain] = PLAIN
        return batch, i

    def loops(self, b):
        """clips that return, their first picture given as the first and as the last"""
        j = self.draw(len(self.z["loop"]), b)
        z = self.z["loop"][j].float()
        batch = Batch(z, z[:, :SIDE].clone())
        batch.condition_start(slice(None), 1)
        return batch, j * EXTRA

    def ends(self, b):
        """the last picture given, and with it mostly the first picture, or the first 9 frames"""
        i = self.draw(self.n, b)
        batch = Batch(self.z["clip"][i].float(), self.z["last"][i].float())
        u = torch.rand(b, generator=self.g)
        batch.condition_start(u < 0.7, 1)
        batch.condition_start((u >= 0.7) & (u < 0.85), 2)
        return batch, i

    def tails(self, b):
        """the last 9 frames given, and with them mostly the first picture, or the first 9 frames"""
        j = self.draw(len(self.z["tail"]), b)
        i = j * EXTRA
        batch = Batch(self.z["clip"][i].float(), self.z["tail"][j].float())
        u = torch.rand(b, generator=self.g)
        batch.condition_start(u < 0.4, 1)
        batch.condition_start((u >= 0.4) & (u < 0.8), 2)
        return batch, i


def loss_of(model, data, made, drop=0.1, t=None, exact=False):
    batch, i = made
    b, g = len(i), data.g
    if t is None:  # logit-normal, and a fifth uniform
        t = torch.sigmoid(torch.randn(b, generator=g))
        t = torch.where(torch.rand(b, generator=g) < 0.2, torch.rand(b, generator=g), t)
    strength, cond_noise = torch.ones(b), torch.zeros(b)
    if not exact:
        weak = torch.rand(b, generator=g) < 0.12
        strength = torch.where(weak, 0.3 + 0.7 * torch.rand(b, generator=g), strength)
        cond_noise = 0.15 * (torch.rand(b, generator=g) < 0.5)
    x, level, target, counts = noised(batch, t, strength, cond_noise, data.posterior_std, g)
    e, m = data.text(i, drop)
    out = model(
        hidden_states=x,
        encoder_hidden_states=e,
        timestep=level * 1000,
        encoder_attention_mask=m,
        video_coords=batch.coords.transpose(1, 2),
        return_dict=False,
    )[0]
    per = ((out - target).square().mean(-1) * counts).sum(1) / counts.sum(1).clamp(min=1)
    return per.mean()


@torch.no_grad()
def measure(model, data, n=128):
    """losses of unseen clips by kind, always with the same times and noise"""
    kept = data.g.get_state()
    out = {}
    kinds = dict(text=0, first=1, nine=2, seventeen=3)
    for name in list(kinds) + ["loops", "ends"]:
        data.g.manual_seed(5)
        t = torch.linspace(0.02, 0.98, 64)
        made = lambda: data.start(64, kinds[name]) if name in kinds else getattr(data, name)(64)
        out[name] = round(np.mean([loss_of(model, data, made(), 0, t, True).item() for _ in range(n // 64)]), 4)
    data.g.set_state(kept)
    return out


class Flat:
    """all parameters of a module as views of one vector, and their gradients likewise"""

    def __init__(self, module):
        self.named = dict(module.named_parameters())
        self.value = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in self.named.values()]))
        self.value.grad = torch.zeros_like(self.value)
        self.point(self.value.data)
        for p, g in zip(self.named.values(), self.split(self.value.grad)):
            p.grad = g

    def split(self, vector):
        shapes = [p.shape for p in self.named.values()]
        return [v.view(s) for v, s in zip(vector.split([s.numel() for s in shapes]), shapes)]

    def point(self, vector):
        for p, v in zip(self.named.values(), self.split(vector)):
            p.data = v

    def names(self, vector):
        return {k: v.clone() for k, v in zip(self.named, self.split(vector))}


def train(rank, minutes, folder, data_folder, out, start, shared, barrier, stop):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent tells when to stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    g = torch.Generator()
    data = Data(data_folder, folder, g)
    dit = LTXVideoTransformer3DModel.from_pretrained(folder + "/transformer", torch_dtype=torch.float32)
    dit.requires_grad_(True)
    install(dit)
    flat = Flat(dit)
    matrices = [p for k, p in flat.named.items() if p.ndim == 2 and k.startswith("transformer_blocks.")]
    of_blocks = {id(p) for p in matrices}
    others = [p for p in flat.named.values() if id(p) not in of_blocks]
    muon = Muon(matrices, MUON_RATE, wd=0.0)
    adam = torch.optim.AdamW(others, ADAM_RATE, (0.9, 0.98), weight_decay=0.0, fused=True)
    ema = flat.value.detach().clone()
    step, spent = 0, 0.0
    if os.path.exists(out):
        s = torch.load(out)
        flat.value.data.copy_(s["raw"])
        ema.copy_(s["ema"])
        muon.load_state_dict(s["muon"])
        adam.load_state_dict(s["adam"])
        step, spent = s["step"], s["spent"]
    elif start:
        flat.value.data.copy_(torch.load(start)["raw"])
        ema.copy_(flat.value.data)
    g.manual_seed(1000 * step + rank)

    def report():
        flat.point(ema)
        print("   unseen (ema)", json.dumps(measure(dit, unseen)), flush=True)
        flat.point(flat.value.data)

    def save():
        s = dict(dit=flat.names(ema), raw=flat.value.data, ema=ema, muon=muon.state_dict(), adam=adam.state_dict(), step=step, spent=spent)
        torch.save(s, out + ".part")
        os.replace(out + ".part", out)

    if rank == 0:
        unseen = Data(data_folder + "/unseen", folder, torch.Generator())
        print("%d clips, %d unseen; step %d" % (data.n, unseen.n, step), flush=True)
        if step == 0:
            report()
    losses, began, saved = [], time.time(), time.time()
    while True:
        f = spent / (minutes * 60)
        scale = min(1, (step + 1) / 60) * (1 - max(0, (f - 0.3) / 0.7) * 0.98)  # warm up, hold, linear decay
        muon.param_groups[0]["lr"] = MUON_RATE * scale
        adam.param_groups[0]["lr"] = ADAM_RATE * scale
        flat.value.grad.zero_()
        u = torch.rand((), generator=g).item()
        front = data.loops if u < 0.5 else data.ends if u < 0.92 else data.tails
        a = loss_of(dit, data, data.start(NSTART))
        (a * (NSTART / (NSTART + NFRONT))).backward()
        b = loss_of(dit, data, front(NFRONT))
        (b * (NFRONT / (NSTART + NFRONT))).backward()
        mine = shared[step % 2]
        mine[rank].copy_(flat.value.grad)
        if rank == 0:
            spent += min(time.time() - began, 60)  # a pause of the machine counts at most a minute
            began = time.time()
            mine[-1, 0] = spent
            mine[-1, 1] = stop.is_set() or spent >= minutes * 60
        barrier.wait()
        torch.mean(mine[:-1], 0, out=flat.value.grad)
        spent, last = mine[-1, 0].item(), mine[-1, 1].item() > 0
        torch.nn.utils.clip_grad_norm_([flat.value], 1.0)
        muon.step()
        adam.step()
        step += 1
        ema.lerp_(flat.value.data, 1 - min(EMA, (1 + step) / (20 + step)))
        if rank == 0:
            losses.append((a.item(), b.item()))
            if step % 25 == 0:
                m = np.mean(losses[-50:], 0)
                print("step %d %.1f min start %.4f front %.4f" % (step, spent / 60, *m), flush=True)
            if step % 300 == 0:
                report()
            if last or time.time() - saved > SAVE_EVERY:
                saved = time.time()
                save()
            if last:
                report()
                print("end: step %d" % step)
        if last:
            break


def main():
    minutes, folder, data_folder, out = float(sys.argv[1]), *sys.argv[2:5]
    start = sys.argv[5] if len(sys.argv) > 5 else None
    torch.manual_seed(0)
    torch.set_num_threads(1)
    Data(data_folder, folder, None), Data(data_folder + "/unseen", folder, None)  # embeds the captions once
    dit = LTXVideoTransformer3DModel.from_config(LTXVideoTransformer3DModel.load_config(folder + "/transformer"))
    size = sum(p.numel() for p in dit.parameters())
    ctx = mp.get_context("fork")
    shared = torch.zeros(2, WORKERS + 1, size).share_memory_()  # gradients of even and odd steps, and rank 0's words
    barrier, stop = ctx.Barrier(WORKERS), ctx.Event()
    ps = [
        ctx.Process(target=train, args=(k, minutes, folder, data_folder, out, start, shared, barrier, stop))
        for k in range(WORKERS)
    ]
    for p in ps:
        p.start()
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, lambda *_: stop.set())
    for p in ps:
        p.join()


if __name__ == "__main__":
    main()
