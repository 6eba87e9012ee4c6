#!/usr/bin/env python3
"""Server and workers are killed with SIGKILL at random instants while clients hand in videos, and started again. In the
end every accepted video is there once, with the bytes of an undisturbed one, and the audit log's chain is whole.

  tests/api/kill_loop.py PRAX [--rounds 50] [--database sqlite|postgresql] [--full-disk] [--seed N]

PostgreSQL is restarted now and then too. With --full-disk all is on a small disk, which is full in some rounds.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import http.client
import hashlib
import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import postgres
import small_disk

SEEDS, STEPS = 3, 12
PATIENCE_SECONDS = 120
GONE = (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException)


class Lost(Exception):
    pass


class House:
    """A server and two workers on one data folder."""

    def __init__(self, prax, data, database, log, disk=None):
        self.prax, self.log = str(prax), open(log, "ab")
        self.place = ["--data", str(data), *(["--database", database] if database else [])]
        made = subprocess.run([self.prax, "keys", "create", "loop", *self.place, "--json", "--scopes",
                               "create,read,delete,admin"], check=True, capture_output=True, text=True)
        self.key = json.loads(made.stdout)["key"]
        self.server, self.workers = None, [None, None]
        self.disk = disk
        self.start()

    def start(self, disk_is_full=False):
        """Whatever does not run. What does not find room to start is started the next time."""
        if self.server is None:
            self.server = subprocess.Popen([self.prax, "serve", *self.place, "--port", "0", "--workers", "0"],
                                           stdout=subprocess.PIPE, stderr=self.log, text=True)
            line = self.server.stdout.readline()
            if disk_is_full and not line:
                self.server.wait()
                self.server = None
            elif not line.startswith("listening on "):
                raise Lost(f"the server does not start: {line}")
            else:
                self.url = line.split()[-1]
        for i, worker in enumerate(self.workers):
            if worker and worker.poll() is not None:
                if not self.disk:  # which may have been full when it started
                    raise Lost(f"a worker ended with {worker.returncode}\n{self.told()}")
                worker = None
            if worker is None:
                self.workers[i] = subprocess.Popen(
                    [self.prax, "worker", *self.place, "--lease", "1", "--max-attempts", "1000", "--retry-after", "1"],
                    stderr=self.log)

    def kill(self, server, workers):
        doomed = ([self.server] if server and self.server else []) + [self.workers[i] for i in workers]
        for process in doomed:
            process.send_signal(signal.SIGKILL)
        for process in doomed:
            process.wait()
        if server:
            self.server = None
        for i in workers:
            self.workers[i] = None

    def stop(self):
        running = [process for process in [*self.workers, self.server] if process and process.poll() is None]
        for process in running:
            process.terminate()
        codes = [process.wait(60) for process in running]
        if any(codes):
            raise Lost(f"ended by SIGTERM with {codes}")

    def fetch(self, path, body=None, headers=()):
        request = urllib.request.Request(self.url + path, data=body, method="POST" if body is not None else "GET",
                                         headers={"authorization": f"Bearer {self.key}", **dict(headers)})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def video(self, video_id):
        return json.loads(self.fetch(f"/v1/videos/{video_id}"))

    def create(self, seed, again_as):
        """The id, or None when the server was gone before it answered. The same `again_as` gives the same video."""
        body = json.dumps({"prompt": "a red balloon rises over the sea", "seed": seed, "steps": STEPS}).encode()
        try:
            return json.loads(self.fetch("/v1/videos", body, {"content-type": "application/json",
                                                              "idempotency-key": again_as}))["id"]
        except GONE:
            return None

    def wait_for(self, video_id):
        """Its end. Patience is with the house: what was asked for again waits behind all others."""
        video, over, end = {}, None, 0
        while True:
            self.start()
            try:
                video = self.video(video_id)
                if video["status"] in ("completed", "failed"):
                    return video
                queue = json.loads(self.fetch("/prax/v1/queue"))
                now_over = queue["completed"] + queue["failed"]
            except GONE:
                now_over = over
            if now_over != over or not end:
                over, end = now_over, time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > end:
                break
            time.sleep(0.1)
        raise Lost(f"{video_id} is {video.get('status', 'unknown')}, and nothing was finished for {PATIENCE_SECONDS} "
                   f"seconds\n{self.told()}")

    def told(self):
        """The end of the log."""
        return "\n".join(line for line in pathlib.Path(self.log.name).read_text().splitlines()[-200:]
                         if "info request" not in line)

    def sha_of(self, video_id):
        video = self.wait_for(video_id)
        if video["status"] != "completed":
            raise Lost(f"{video_id} failed: {video['error']}")
        return hashlib.sha256(self.fetch(f"/v1/videos/{video_id}/content")).hexdigest()


def undisturbed(prax, folder):
    house = House(prax, folder / "calm", "", folder / "calm.log")
    ids = [house.create(seed, f"calm-{seed}") for seed in range(SEEDS)]
    shas = [house.sha_of(video_id) for video_id in ids]
    house.stop()
    return shas


def run(prax, rounds, cluster=None, seed=1, full_disk=False):
    """Returns what happened, in one line; raises Lost."""
    chance = random.Random(seed)
    kills = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="prax-kill-loop-") as name, contextlib.ExitStack() as at_end:
        folder = pathlib.Path(name)
        expected = undisturbed(prax, folder)
        data, disk = folder / "data", None
        if full_disk:
            disk = small_disk.SmallDisk(folder / "small", "32m")
            at_end.callback(disk.unmount)
            if not disk.mounted:
                raise Lost("no small file system can be mounted here; root can")
            data = disk.folder / "data"
        house = House(prax, data, cluster.new_database() if cluster else "", folder / "log", disk)
        made = {}  # by idempotency key
        try:
            for i in range(rounds):
                wanted = f"video-{i}"
                full = disk is not None and i % 5 in (2, 3)
                if full:
                    disk.fill()
                    kills.update(disk=1)
                victims = [w for w in range(2) if chance.random() < 0.7]
                server = chance.random() < 0.5
                with concurrent.futures.ThreadPoolExecutor(1) as client:
                    asked = client.submit(house.create, i % SEEDS, wanted)
                    # Sometimes in the middle of the request.
                    time.sleep(chance.uniform(0, 0.01) if chance.random() < 0.3 else chance.uniform(0, 1.2))
                    house.kill(server, victims)
                    made[wanted] = asked.result()
                kills.update(server=server, worker=len(victims))
                if cluster and i % 5 == 4:
                    cluster.restart()
                    kills.update(database=1)
                house.start(full)
                if full and i % 5 == 3:
                    time.sleep(chance.uniform(0, 2))
                    disk.free()
                    house.start()
            for i in range(rounds):  # what was not answered is asked for again
                wanted = f"video-{i}"
                for _ in range(100):
                    again = house.create(i % SEEDS, wanted)
                    if again:
                        break
                    time.sleep(0.2)
                if made[wanted] not in (None, again):
                    raise Lost(f"{wanted} is {made[wanted]}, and asked for again it is {again}")
                made[wanted] = again
            for i in range(rounds):
                video_id = made[f"video-{i}"]
                if house.sha_of(video_id) != expected[i % SEEDS]:
                    raise Lost(f"{video_id} has other bytes than an undisturbed one")
            listed = json.loads(house.fetch("/v1/videos?limit=100"))["data"] if rounds <= 100 else []
            if listed and len(listed) != rounds:
                raise Lost(f"{rounds} videos were asked for, {len(listed)} are there")
        except BaseException:
            house.kill(True, range(2))
            raise
        house.stop()
        check = subprocess.run([str(prax), "audit", "verify", *house.place, "--json"], capture_output=True, text=True)
        if check.returncode != 0:
            raise Lost(f"the audit log is broken: {check.stdout}{check.stderr}")
        entries = subprocess.run([str(prax), "audit", "show", *house.place, "--json"], capture_output=True, text=True)
        done = collections.Counter(json.loads(line)["subject"] for line in entries.stdout.splitlines()
                                   if '"job.completed"' in line)
        if len(done) != rounds or set(done.values()) != {1}:
            raise Lost(f"the log has {len(done)} completed, more than once: "
                       f"{[each for each, times in done.items() if times > 1]}")
    disturbed = ", ".join(f"{count} times the {what}" for what, count in kills.items())
    return f"{rounds} videos, each there once with the bytes of an undisturbed one; disturbed {disturbed}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prax", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--full-disk", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    cluster = postgres.Postgres() if args.database == "postgresql" else None
    try:
        print(run(args.prax.resolve(), args.rounds, cluster, args.seed, args.full_disk))
    except Lost as problem:
        sys.exit(str(problem))
    finally:
        if cluster:
            cluster.stop()


if __name__ == "__main__":
    main()
