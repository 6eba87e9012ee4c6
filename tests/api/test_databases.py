"""What holds on each database: two servers are one, and nothing is lost when processes are killed."""

import threading
import time

import kill_loop
import openai
import postgres
import pytest
import small_disk
from conftest import PRAX, wait
from test_http import events


@pytest.fixture(scope="module")
def cluster():
    if postgres.programs() is None:
        pytest.fail("PostgreSQL's server is not installed: apt-get install postgresql")
    running = postgres.Postgres()
    yield running
    running.stop()


def test_two_servers_on_postgresql_are_one(cluster, tmp_path, serve):
    shared = ["--database", cluster.new_database(), "--storage", str(tmp_path / "storage")]
    first = serve(tmp_path / "first", *shared)
    second = serve(tmp_path / "second", *shared, "--workers", "0")
    made = first.key("both", *shared[:2])
    here, there = first.client(made["key"]), second.client(made["key"], max_retries=0)
    video = there.videos.create(prompt="a red balloon", extra_body={"steps": 2})
    assert wait(here, video.id).status == "completed"
    assert there.videos.download_content(video.id).read()[4:8] == b"ftyp"
    assert [v.id for v in here.videos.list()] == [video.id]

    ended = threading.Event()
    stream = events(second, made["key"], "/prax/v1/events")
    threading.Thread(target=lambda: (list(stream), ended.set()), daemon=True).start()
    time.sleep(0.5)
    admin = first.client(first.key("admin", *shared[:2], "--scopes", "admin")["key"])
    admin.delete(f"{first.url}/prax/v1/keys/{made['id']}", cast_to=object)
    revoked = time.monotonic()
    while time.monotonic() < revoked + 5:
        try:
            there.videos.list()
        except openai.AuthenticationError:
            break
        time.sleep(0.02)
    assert time.monotonic() - revoked < 1.1
    assert ended.wait(1.5)
    assert first.stop() == 0 and second.stop() == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_processes_lose_nothing(cluster, database):
    assert kill_loop.run(PRAX, 4, cluster if database == "postgresql" else None).startswith("4 videos")


@pytest.mark.skipif(not small_disk.available(), reason="no small file system can be mounted here")
def test_a_full_disk_among_the_kills_loses_nothing():
    assert kill_loop.run(PRAX, 4, full_disk=True).startswith("4 videos")
