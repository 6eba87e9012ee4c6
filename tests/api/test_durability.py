"""What is accepted is made, once and whole, whatever ends meanwhile: the worker, the server, the disk's room."""

import json
import os
import signal
import struct
import threading

from conftest import PATIENCE, until, wait
from test_http import events


def saved_run(data, video_id):
    """What the saved run of a job says of itself (its file is a safetensors file); None when there is none."""
    try:
        with open(data / "storage" / "runs" / video_id / "run.prax", "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    except FileNotFoundError:
        return None
    return json.loads(header["__metadata__"]["run"])


def test_a_killed_worker_is_followed_at_the_last_saved_step(serve, work, tmp_path):
    server = serve(tmp_path / "data", "--workers", "0")
    key = server.key()["key"]
    client = server.client(key)
    steps = 300  # several times as long as there is between two saves
    settings = {"prompt": "a red balloon rises over the sea", "extra_body": {"seed": 5, "steps": steps}}

    calm, worker = client.videos.create(**settings), work(server.data)
    expected = client.videos.download_content(wait(client, calm.id).id).read()
    video = client.videos.create(**settings)
    until(lambda: saved_run(server.data, video.id))
    worker.kill()
    saved = saved_run(server.data, video.id)["step"]
    assert 0 < saved < steps

    seen, listening = [], threading.Event()

    def listen():
        for event in events(server, key, f"/prax/v1/videos/{video.id}/events"):
            seen.append(json.loads(event["data"]))
            listening.set()
    listener = threading.Thread(target=listen)
    listener.start()
    assert listening.wait(10 * PATIENCE)
    begun = len(seen)
    worker = work(server.data)
    assert client.videos.download_content(wait(client, video.id).id).read() == expected
    listener.join(10 * PATIENCE)
    # That the job has a new worker is told with what the one before had said last.
    told = [each["step"] for each in seen[begun:] if each["stage"] == "denoise" and each["step"] != seen[0]["step"]]
    assert told and min(told) >= saved, (saved, told)
    assert f"{video.id} goes on after step {saved} of {steps}" in worker.log.read_text()
    assert worker.stop() == 0 and server.stop() == 0


def test_a_killed_server_leaves_its_port_and_its_clients_whatever_its_worker_does(serve, tmp_path):
    server = serve(tmp_path / "data", "--no-studio")
    first = until(lambda: server.children())[0]
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        # The next worker is started while the client is there.
        os.kill(first, signal.SIGKILL)
        worker = until(lambda: [child for child in server.children() if child != first])[0]
        until(lambda: "working for" in server.log_text().rsplit("another is started", 1)[-1])
        os.kill(worker, signal.SIGSTOP)  # as in a step that takes long
        try:
            server.process.kill()
            client.settimeout(5)
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
            again = serve(tmp_path / "data", "--no-studio", "--workers", "0", "--port", str(server.port))
            assert again.port == server.port and again.stop() == 0
        finally:
            os.kill(worker, signal.SIGKILL)
