"""What holds on each database: two servers are one, and nothing is lost when processes are killed."""

import json
import threading
import time

import kill_loop
import openai
import postgres
import pytest
from conftest import PRAX, wait
from test_http import events, until


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
def test_deletions_are_told_by_every_server(cluster, database, tmp_path, serve):
    place = ["--database", cluster.new_database()] if database == "postgresql" else []
    first = serve(tmp_path / "data", "--workers", "0", *place)
    second = serve(tmp_path / "data", "--workers", "0", *place)
    owner, other = (first.key(name, *place)["key"] for name in ("owner", "other"))
    client = first.client(owner)
    video, kept = client.videos.create(prompt="x").id, client.videos.create(prompt="y").id
    heard = {"own": [], "others": [], "one": []}

    def listen(name, key, path):
        stream = events(second, key, path)
        thread = threading.Thread(target=lambda: [heard[name].append(event) for event in stream], daemon=True)
        thread.start()
        return thread
    listen("own", owner, "/prax/v1/events")
    listen("others", other, "/prax/v1/events")
    of_one = listen("one", owner, f"/prax/v1/videos/{video}/events")
    time.sleep(0.5)
    client.videos.delete(video)
    of_one.join(2)
    told = [event for event in heard["one"] if event["event"] == "video.deleted"]
    assert len(told) == 1 and json.loads(told[0]["data"]) == {"id": video, "object": "video.deleted", "deleted": True}
    until(lambda: [json.loads(e["data"])["id"] for e in heard["own"] if e["event"] == "video.deleted"] == [video], 3)
    # Who was away hears of it when he is back.
    client.videos.delete(kept)
    again = events(second, owner, "/prax/v1/events", **{"Last-Event-ID": told[0]["id"]})
    for event in again:
        if event["event"] == "video.deleted":
            assert json.loads(event["data"])["id"] == kept and int(event["id"]) > int(told[0]["id"])
            break
    assert not heard["others"]
    assert first.stop() == 0 and second.stop() == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_processes_lose_nothing(cluster, database):
    assert kill_loop.run(PRAX, 4, cluster if database == "postgresql" else None).startswith("4 videos")
