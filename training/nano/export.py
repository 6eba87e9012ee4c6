"""usage: export.py vae.pt data_folder dit.pt out_folder

Writes the model folder in bf16, in diffusers' layout. data_folder/stats.pt has the latents' statistics."""

import json, os, shutil, sys, torch
from diffusers import FlowMatchEulerDiscreteScheduler, LTXPipeline
from transformers import T5TokenizerFast
from dit import SHIFT, make_dit, make_t5
from encode import spread
from vae import make

BY_HAND = ("README.md", "MODEL_CARD.md", "praxinoscope.json")


def main():
    vae_path, data, dit_path, out = sys.argv[1:5]
    tokenizer = T5TokenizerFast.from_pretrained("work/tok")
    vae, t5, dit = make(vae_path), make_t5(len(tokenizer)), make_dit()
    stats = torch.load(data + "/stats.pt")
    vae.latents_mean.copy_(stats["mean"])
    vae.latents_std.copy_(spread(stats))
    trained = torch.load(dit_path)["ema"]
    for model, prefix in ((t5, "t5."), (dit, "dit.")):
        for name, p in model.named_parameters():
            p.data.copy_(trained[prefix + name])
    # a plain schedule: no shift by resolution and no terminal stretch
    pipe = LTXPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT, use_dynamic_shifting=False),
        vae=vae.to(torch.bfloat16),
        text_encoder=t5.to(torch.bfloat16),
        tokenizer=tokenizer,
        transformer=dit.to(torch.bfloat16),
    )
    part = out + ".part"
    shutil.rmtree(part, ignore_errors=True)
    pipe.save_pretrained(part)
    shutil.copy("work/tok/spiece.model", part + "/tokenizer/spiece.model")
    os.remove(part + "/tokenizer/tokenizer.json")  # rebuilt from spiece.model
    with open(part + "/tokenizer/special_tokens_map.json", "w") as f:
        json.dump({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}, f, indent=1)
    path = part + "/text_encoder/config.json"
    with open(path) as f:
        config = json.load(f)
    config["dtype"] = "float32"  # else transformers would load bf16 beside diffusers' float32
    with open(path, "w") as f:
        json.dump(config, f, indent=2)
    for name in BY_HAND:
        if os.path.exists(os.path.join(out, name)):
            shutil.copy(os.path.join(out, name), part)
    shutil.rmtree(out, ignore_errors=True)
    os.rename(part, out)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(out) for f in files)
    print("%.1f MB" % (size / 1e6))


if __name__ == "__main__":
    main()
