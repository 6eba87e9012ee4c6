"""usage: export_conditions.py model_folder cond.pt

Puts the transformer that train_conditions.py taught (its averaged weights) into the model folder."""

import sys, torch
from safetensors.torch import load_file, save_file

folder, trained = sys.argv[1:3]
path = folder + "/transformer/diffusion_pytorch_model.safetensors"
old, new = load_file(path), torch.load(trained)["dit"]
assert set(old) == set(new), "the weights are those of another transformer"
save_file({k: new[k].to(v.dtype).contiguous() for k, v in old.items()}, path, metadata={"format": "pt"})
