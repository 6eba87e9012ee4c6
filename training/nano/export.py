"""usage: export.py vae.pt latents.stats.pt dit.pt out_dir [shift]   writes a diffusers LTXPipeline folder in bf16"""

import sys, os, json, shutil, torch
from diffusers import LTXPipeline, FlowMatchEulerDiscreteScheduler
from transformers import T5TokenizerFast
from vaecfg import make
from dit import make_t5, make_dit

vaep, stp, ditp, out = sys.argv[1:5]
shift = float(sys.argv[5]) if len(sys.argv) > 5 else 1.0
TOK = "work/tok" if os.path.isdir("work/tok") else os.path.join(out, "tokenizer")
tok = T5TokenizerFast.from_pretrained(TOK)
vae = make()
vae.load_state_dict(torch.load(vaep))
st = torch.load(stp)
vae.latents_mean.copy_(st["mean"])
vae.latents_std.copy_(st["std"])
d = torch.load(ditp)
t5, dit = make_t5(len(tok)), make_dit()
t5.load_state_dict(d["t5"])
dit.load_state_dict(d["dit"])
# plain schedule: sigma' = shift * sigma / (1 + (shift - 1) * sigma), no resolution-dependent mu, no terminal stretch
sch = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift, use_dynamic_shifting=False)
pipe = LTXPipeline(
    scheduler=sch,
    vae=vae.to(torch.bfloat16),
    text_encoder=t5.to(torch.bfloat16),
    tokenizer=tok,
    transformer=dit.to(torch.bfloat16),
)
tmp = out + ".new"
shutil.rmtree(tmp, ignore_errors=True)
pipe.save_pretrained(tmp)
shutil.copy(TOK + "/spiece.model", tmp + "/tokenizer/spiece.model")
os.remove(tmp + "/tokenizer/tokenizer.json")  # rebuilt from spiece.model on load
json.dump(
    {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
    open(tmp + "/tokenizer/special_tokens_map.json", "w"),
    indent=1,
)
p = tmp + "/text_encoder/config.json"
c = json.load(open(p))
c["dtype"] = "float32"
json.dump(c, open(p, "w"), indent=2)  # else transformers loads bf16 beside diffusers' f32
for f in ("README.md", "MODEL_CARD.md", "praxinoscope.json"):  # written by hand
    if os.path.exists(os.path.join(out, f)):
        shutil.copy(os.path.join(out, f), tmp)
shutil.rmtree(out, ignore_errors=True)
os.rename(tmp, out)
tot = 0
for r, _, fs in os.walk(out):
    for f in fs:
        n = os.path.getsize(os.path.join(r, f))
        tot += n
        print("%9d %s" % (n, os.path.relpath(os.path.join(r, f), out)))
print("total %.1f MB" % (tot / 1e6))
