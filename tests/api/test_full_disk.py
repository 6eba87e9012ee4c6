"""A full disk: what was accepted waits or fails with a reason, what cannot be kept is refused, and nobody falls over."""

import os
import time
import urllib.error
import urllib.request

import openai
import pytest
from conftest import png, until, wait
from small_disk import SmallDisk, available

pytestmark = pytest.mark.skipif(not available(), reason="no small file system can be mounted here")
PROMPT = "a red balloon rises over the sea"


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "small", "8m")
    yield disk
    disk.unmount()


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as answer:
        return answer.code


def refused_for_the_disk(call):
    with pytest.raises(openai.APIStatusError) as refusal:
        call()
    assert refusal.value.status_code == 507, refusal.value
    assert refusal.value.code == "storage_full"
    return True


def picture(width=128, height=128):
    """One that is too large to be kept in memory on its way."""
    noise = os.urandom(200_000)
    return ("picture.png", png(width, height) + noise, "image/png")


def test_a_full_disk_with_everything_on_it(serve, work, small_disk):
    data = small_disk.folder / "data"
    server = serve(data, "--workers", "0")
    client = server.client(server.key()["key"], max_retries=0)

    def create(**more):
        return client.videos.create(prompt=PROMPT, extra_body={"seed": 5, "steps": 30}, **more)
    worker = work(data, "--retry-after", "1", "--max-attempts", "1000")
    expected = client.videos.download_content(wait(client, create().id).id).read()
    accepted = [create().id for _ in range(3)]
    until(lambda: client.videos.retrieve(accepted[0]).status == "in_progress")
    small_disk.fill()

    until(lambda: refused_for_the_disk(create))
    assert refused_for_the_disk(lambda: create(input_reference=picture()))
    assert status_of(server.url + "/healthz") == 200 and status_of(server.url + "/readyz") == 503
    until(lambda: "disk is full" in worker.log.read_text())
    time.sleep(3)
    assert worker.process.poll() is None and server.process.poll() is None
    assert {video.id for video in client.videos.list()} >= set(accepted)
    assert client.videos.retrieve(accepted[-1]).status in ("queued", "in_progress")

    small_disk.free()
    for video_id in accepted:
        assert client.videos.download_content(wait(client, video_id).id).read() == expected
    assert client.videos.download_content(wait(client, create().id).id).read() == expected
    assert status_of(server.url + "/readyz") == 200
    assert len(list(client.videos.list())) == len(accepted) + 2, "what was refused is not there"
    assert worker.stop() == 0 and server.stop() == 0


def test_a_full_disk_of_results(serve, work, small_disk, tmp_path):
    data, results = tmp_path / "data", ["--storage", str(small_disk.folder / "results")]
    server = serve(data, "--workers", "0", *results)
    client = server.client(server.key()["key"], max_retries=0)

    def create(steps=1, **more):
        return client.videos.create(prompt=PROMPT, extra_body={"seed": 5, "steps": steps}, **more)
    worker = work(data, *results, "--retry-after", "1", "--max-attempts", "2")
    kept = wait(client, create().id).id
    expected = client.videos.download_content(kept).read()
    rendering = create(steps=45).id
    until(lambda: client.videos.retrieve(rendering).progress > 10)
    small_disk.fill()

    # The queue is elsewhere: it takes what brings no files, and says in the end why nothing came of it.
    doomed = [rendering, create().id]
    assert refused_for_the_disk(lambda: create(input_reference=picture()))
    assert client.videos.download_content(kept).read() == expected
    for video_id in doomed:
        until(lambda: client.videos.retrieve(video_id).status == "failed")
        error = client.videos.retrieve(video_id).error
        assert error.code == "disk_full" and "full" in error.message, error
    assert worker.process.poll() is None
    client.videos.delete(kept)  # makes room, but not enough to speak of

    small_disk.free()
    again = wait(client, create(input_reference=picture()).id)
    assert client.videos.download_content(again.id).read()[4:8] == b"ftyp"
    assert client.videos.download_content(wait(client, create().id).id).read() == expected
    assert worker.stop() == 0 and server.stop() == 0
    assert sorted(os.listdir(small_disk.folder / "results" / "runs")) == []
