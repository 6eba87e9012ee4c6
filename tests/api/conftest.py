"""A real server with the embedded model, for all tests of a run."""

import http.client
import json
import os
import pathlib
import socket
import struct
import subprocess
import time
import zlib

import openai
import pytest

# How many times as long as usual everything may take: a program under a sanitizer needs several.
PATIENCE = float(os.environ.get("PRAX_PATIENCE", "1"))
PRAX = os.environ.setdefault("PRAX_BINARY", os.path.abspath("build/release/apps/prax/prax"))


class Server:
    def __init__(self, data: pathlib.Path, *flags: str):
        self.data = data
        self.log = open(data.parent / (data.name + ".log"), "wb")
        self.process = subprocess.Popen(
            [PRAX, "serve", "--data", str(data), *([] if "--port" in flags else ["--port", "0"]), *flags],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), self.log_text()
        self.url = line.split()[-1]
        self.studio = "" if "--no-studio" in flags else self.process.stdout.readline().split()[-1]
        self.token = self.studio.partition("?token=")[2]
        self.port = int(self.url.rsplit(":", 1)[1])

    def key(self, name="test", *flags):
        made = subprocess.run([PRAX, "keys", "create", name, "--data", str(self.data), "--json", *flags],
                              check=True, capture_output=True, text=True)
        return json.loads(made.stdout)

    def client(self, key: str, **options) -> openai.OpenAI:
        return openai.OpenAI(api_key=key, base_url=self.url + "/v1", **options)

    def connect(self, timeout=20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def children(self) -> list[int]:
        """Its worker processes."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]

    def log_text(self) -> str:
        return pathlib.Path(self.log.name).read_text()

    def memory(self) -> int:
        """Resident bytes of the server's own process."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The most of them since its start, or since that was forgotten."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=40 * PATIENCE)
        finally:
            self.process.kill()
            self.log.close()


class Worker:
    """A worker of its own; what it says goes to `log`."""

    def __init__(self, data, *flags, environment=None):
        self.log = data.parent / f"worker-{time.monotonic_ns()}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([PRAX, "worker", "--data", str(data), "--lease", "1", *flags], stderr=log,
                                            env=environment)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(60 * PATIENCE)


class Browser:
    """Requests as a page makes them, with the cookie that it was given."""

    def __init__(self, server):
        self.server, self.cookie = server, None

    def send(self, method, path, body=None, site="same-origin", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            headers["Cookie"] = "theme=dark; " + self.cookie
        if site:
            headers["Sec-Fetch-Site"] = site
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if set_cookie := answer.headers.get("set-cookie"):
            self.cookie = set_cookie.split(";")[0]
        connection.close()
        return answer.status, answer.headers, content

    def json(self, method, path, body=None, status=200, **headers):
        got, _, content = self.send(method, path, body, **headers)
        assert got == status, content
        return json.loads(content) if content else None

    def sign_in(self):
        return self.json("POST", "/prax/v1/session", {"token": self.server.token})


@pytest.fixture
def serve():
    """Starts servers that do not outlive the test, however it ends."""
    running = []

    def start(*arguments):
        running.append(Server(*arguments))
        return running[-1]
    yield start
    for each in running:
        each.process.kill()


@pytest.fixture
def work():
    """Starts workers that do not outlive the test, however it ends."""
    running = []

    def start(*arguments, **options):
        running.append(Worker(*arguments, **options))
        return running[-1]
    yield start
    for each in running:
        each.process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server") / "data", "--private-addresses", "--header-timeout", "2s",
                     "--body-timeout", "2s", "--heartbeat", "1s")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def browser(server):
    """The operator's browser, signed in."""
    signed_in = Browser(server)
    signed_in.sign_in()
    return signed_in


@pytest.fixture(scope="session")
def idle_server(tmp_path_factory):
    """One without workers that reaches no private addresses."""
    running = Server(tmp_path_factory.mktemp("idle") / "data", "--workers", "0", "--max-queued", "200")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def key(server):
    return server.key("test", "--scopes", "create,read,delete,admin")["key"]


@pytest.fixture(scope="session")
def client(server, key):
    return server.client(key)


@pytest.fixture(scope="session")
def idle_client(idle_server):
    return idle_server.client(idle_server.key()["key"], max_retries=0)


@pytest.fixture(scope="session")
def finished(client):
    """A finished video."""
    made = client.videos.create(prompt="a red balloon rises over the sea", extra_body={"steps": 2, "seed": 7})
    return wait(client, made.id)


def until(what, seconds=120):
    """The first true value of what()."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds * PATIENCE:g} seconds: {what.__doc__ or what}")


def wait(client, video_id, seconds=120):
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        video = client.videos.retrieve(video_id)
        if video.status in ("completed", "failed"):
            assert video.status == "completed", video.error
            return video
        time.sleep(0.2)
    raise AssertionError(f"{video_id} is {video.status} after {seconds * PATIENCE:g} s")


def png(width=64, height=64, shade=128) -> bytes:
    """A grey picture; of any size in a few bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(9)
    row = b"\0" + bytes([shade]) * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", data) + chunk(b"IEND", b""))


def wait_in(browser, video_id, status="completed", seconds=120):
    """The video once it is finished, as the browser sees it."""
    end = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < end:
        video = browser.json("GET", f"/v1/videos/{video_id}")
        if video["status"] in ("completed", "failed"):
            assert video["status"] == status, video["error"]
            return video
        time.sleep(0.2)
    raise AssertionError(f"{video_id} is {video['status']} after {seconds * PATIENCE:g} s")
