#!/usr/bin/env python3
"""How the server holds up: idle event streams and polling clients while jobs render. Prints one JSON object.

usage: bench/server_load.py [--prax build/release/apps/prax/prax] [--streams 1000] [--pollers 200] [--seconds 30]
                            [--interval 1.0]
"""

import argparse
import asyncio
import json
import pathlib
import random
import resource
import subprocess
import tempfile
import time


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prax", default="build/release/apps/prax/prax")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--pollers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two requests of a client")
    return parser.parse_args()


async def answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    return status, await reader.readexactly(length)


class Load:
    def __init__(self, options, port, key):
        self.options, self.port = options, port
        self.head = f"host: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        self.times = {"list": [], "retrieve": []}
        self.bad = 0
        self.events = 0

    async def ask(self, connection, method, path, body=b""):
        reader, writer = connection
        extra = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
        writer.write(f"{method} {path} HTTP/1.1\r\n{self.head}{extra}\r\n".encode() + body)
        return await answer(reader)

    async def open(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def listen(self):
        reader, writer = await self.open()
        writer.write(f"GET /prax/v1/events HTTP/1.1\r\n{self.head}\r\n".encode())
        try:
            while piece := await reader.read(65536):
                self.events += piece.count(b"\nevent: ")
        except ConnectionError:
            pass

    async def poll(self, video, until):
        connection = await self.open()
        await asyncio.sleep(random.random() * self.options.interval)
        while time.monotonic() < until:
            kind = random.choice(("list", "retrieve"))
            begin = time.perf_counter()
            status, _ = await self.ask(connection, "GET", "/v1/videos" if kind == "list" else f"/v1/videos/{video}")
            self.times[kind].append(time.perf_counter() - begin)
            self.bad += status != 200
            await asyncio.sleep(self.options.interval)

    async def run(self, pid):
        control = await self.open()
        body = json.dumps({"prompt": "a red balloon rises over the sea", "steps": 1000}).encode()
        videos = []
        for _ in range(20):
            status, made = await self.ask(control, "POST", "/v1/videos", body)
            assert status == 200, made
            videos.append(json.loads(made)["id"])
        listeners = [asyncio.create_task(self.listen()) for _ in range(self.options.streams)]
        await asyncio.sleep(2)
        until = time.monotonic() + self.options.seconds
        await asyncio.gather(*(self.poll(random.choice(videos), until) for _ in range(self.options.pollers)))
        memory = int(pathlib.Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
        queue = json.loads((await self.ask(control, "GET", "/prax/v1/queue"))[1])
        alive = sum(not listener.done() for listener in listeners)
        for listener in listeners:
            listener.cancel()
        return memory, queue, alive


def milliseconds(times, share):
    return round(sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000, 2)


def main():
    options = parse()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as data:
        key = json.loads(subprocess.run([options.prax, "keys", "create", "load", "--data", data, "--json"], check=True,
                                        capture_output=True, text=True).stdout)["key"]
        server = subprocess.Popen([options.prax, "serve", "--data", data, "--port", "0", "--log-level", "warning"],
                                  stdout=subprocess.PIPE, text=True)
        try:
            port = int(server.stdout.readline().strip().rsplit(":", 1)[1])
            load = Load(options, port, key)
            memory, queue, alive = asyncio.run(load.run(server.pid))
        finally:
            server.terminate()
            server.wait(timeout=60)
    result = {"streams": options.streams, "streams_alive": alive, "pollers": options.pollers,
              "requests": sum(map(len, load.times.values())), "not_ok": load.bad, "events": load.events,
              "peak_memory_mb": round(memory / 1e6, 1),
              "jobs": {name: queue[name] for name in ("queued", "in_progress", "completed", "failed")}}
    for kind, times in load.times.items():
        result[kind] = {"p50_ms": milliseconds(times, 0.5), "p99_ms": milliseconds(times, 0.99),
                        "max_ms": milliseconds(times, 1)}
    print(json.dumps(result, indent=2))


main()
