"""The official Node SDK, where Node is."""

import os
import pathlib
import shutil
import subprocess

import pytest


@pytest.mark.skipif(not shutil.which("npm"), reason="Node.js is not installed")
def test_node_sdk(server, key):
    source = pathlib.Path(__file__).parent / "node"
    place = pathlib.Path(os.environ["PRAX_BINARY"]).parents[3] / "build" / "api-node"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "videos.test.js"):
        shutil.copy(source / name, place / name)
    if not (place / "node_modules" / "openai").is_dir():
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=place, check=True, timeout=240)
    run = subprocess.run(["node", "--test", "videos.test.js"], cwd=place, capture_output=True, text=True, timeout=240,
                         env={**os.environ, "PRAX_URL": server.url, "PRAX_KEY": key})
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
