"""Results in an S3-compatible store: server and worker are processes of their own, with nothing in common but that store
and the database."""

import urllib.request

import openai
import pytest
from conftest import png, until, wait
from moto.server import ThreadedMotoServer


class Bucket:
    """A store that can go away and come back with what it had."""

    def __init__(self):
        self.port = 0
        self.start()
        urllib.request.urlopen(urllib.request.Request(self.url + "/videos", method="PUT")).close()
        self.place = f"s3://videos/some/prefix?endpoint={self.url}"

    def start(self):
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.server.stop()

    def keys(self):
        with urllib.request.urlopen(self.url + "/videos?list-type=2") as answer:
            return [part.split("</Key>")[0] for part in answer.read().decode().split("<Key>")[1:]]


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    running = Bucket()
    yield running
    running.stop()


def test_results_in_a_bucket(serve, work, bucket, tmp_path):
    server = serve(tmp_path / "server", "--workers", "0", "--storage", bucket.place)
    key = server.key()["key"]
    client = server.client(key, max_retries=0)
    elsewhere = ["--database", str(server.data / "prax.db"), "--storage", bucket.place, "--retry-after", "1"]
    worker = work(tmp_path / "worker", *elsewhere)

    def create(steps=2, **more):
        return client.videos.create(prompt="a red balloon", extra_body={"seed": 5, "steps": steps}, **more)

    video = wait(client, create(input_reference=("red.png", png(128, 128), "image/png")).id)
    content = client.videos.download_content(video.id).read()
    assert content[4:8] == b"ftyp" and len(content) == video.model_extra["size_bytes"] - sum(
        len(client.videos.download_content(video.id, variant=variant).read()) for variant in ("thumbnail", "spritesheet"))
    headers = {"authorization": f"Bearer {key}", "range": "bytes=100-299"}
    request = urllib.request.Request(f"{server.url}/v1/videos/{video.id}/content", headers=headers)
    with urllib.request.urlopen(request) as part:
        assert part.status == 206 and part.headers["content-range"] == f"bytes 100-299/{len(content)}"
        assert part.read() == content[100:300]
    assert client.videos.download_content(video.id, variant="thumbnail").read()[8:12] == b"WEBP"
    assert {key.rsplit("/", 1)[1] for key in bucket.keys()} == {
        "video.mp4", "thumbnail.webp", "spritesheet.jpg", "input_reference.png"}
    assert all(key.startswith("some/prefix/") and video.id in key for key in bucket.keys())
    assert not list((server.data / "storage").rglob("*.mp4")) and not list((tmp_path / "worker").rglob("*.mp4"))

    # The store goes away while a video is made, and comes back.
    kept, making = create(), create(steps=100)
    wait(client, kept.id)
    until(lambda: client.videos.retrieve(making.id).status == "in_progress")
    bucket.stop()
    with pytest.raises(openai.APIStatusError) as away:
        client.videos.download_content(kept.id)
    assert away.value.status_code == 503
    assert client.videos.retrieve(kept.id).status == "completed"
    until(lambda: "is tried again" in worker.log.read_text())
    assert client.videos.retrieve(making.id).status == "in_progress"
    bucket.start()
    wait(client, making.id)
    assert client.videos.download_content(making.id).read()[4:8] == b"ftyp"

    for each in (video, kept, making):
        client.videos.delete(each.id)
    until(lambda: not bucket.keys())
    assert worker.stop() == 0 and server.stop() == 0
