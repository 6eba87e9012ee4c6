"""The official Node SDK."""

import filecmp
import os
import pathlib
import shutil
import subprocess

import pytest


def test_node_sdk(server, key):
    if not shutil.which("npm"):
        pytest.fail("Node.js and npm are not installed: apt-get install nodejs npm (`make test` does it)")
    source = pathlib.Path(__file__).parent / "node"
    place = pathlib.Path(os.environ["PRAX_BINARY"]).parents[3] / "build" / "api-node"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "videos.test.js"):
        shutil.copy(source / name, place / name)
    lock, installed = place / "package-lock.json", place / "node_modules" / ".lock"
    if not installed.exists() or not filecmp.cmp(lock, installed, shallow=False):
        subprocess.run(["npm", "ci", "--loglevel=error", "--no-audit", "--no-fund"], cwd=place, check=True, timeout=240)
        shutil.copy(lock, installed)
    run = subprocess.run(["node", "--test", "videos.test.js"], cwd=place, capture_output=True, text=True, timeout=240,
                         env={**os.environ, "PRAX_URL": server.url, "PRAX_KEY": key})
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    passed = next(int(line.split()[-1]) for line in run.stdout.splitlines() if line.startswith(("# pass ", "ℹ pass ")))
    assert passed > 0, run.stdout
