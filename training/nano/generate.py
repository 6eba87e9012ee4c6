"""clips by `prax generate`: the program is PRAX (default prax), its threads THREADS"""

import os, subprocess, tempfile
import numpy as np


def generate(model, prompt, seed, shape=(128, 128), frames=25, **options):
    """uint8 [F, H, W, 3]; options: more of the command's, like dtype="int8" """
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/clip.npy"
        command = [os.environ.get("PRAX", "prax"), "generate", prompt, "--model", model, "-o", out, "--quiet"]
        command += ["--size", "%dx%d" % shape, "--frames", str(frames), "--seed", str(seed)]
        command += ["--threads", os.environ.get("THREADS", "1")]
        for name, value in options.items():
            command += ["--" + name, str(value)]
        subprocess.run(command, check=True)
        return (np.load(out).clip(0, 1) * 255 + 0.5).astype(np.uint8)
