"""What holds on each database: two servers are one, and nothing is lost when processes are killed."""

import json
import os
import pathlib
import subprocess
import threading
import time

import kill_loop
import openai
import postgres
import pytest
import small_disk
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


def test_one_file_for_all_and_no_password_in_the_list_of_processes(cluster, tmp_path, serve):
    config = tmp_path / "prax.toml"
    config.write_text(f'database = "{cluster.new_database()}&password=hush"\nstorage = "shared"\nquality = 40\n')
    with_file = ["--config", str(config)]
    server = serve(tmp_path / "first", *with_file)
    client = server.client(server.key("me", *with_file)["key"])

    def make():
        return client.videos.create(prompt="x", extra_body={"steps": 1, "seed": 3})

    def size(video):
        return (tmp_path / "shared" / "results" / video.id).exists() and client.videos.retrieve(video.id).size_bytes
    made = make()
    tasks = pathlib.Path(f"/proc/{server.process.pid}/task")
    pids = [server.process.pid, *(pid for task in tasks.iterdir() for pid in (task / "children").read_text().split())]
    told = [pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    assert len(told) == 2 and b"worker" in told[1] and b"hush" not in b"".join(told)
    wait(client, made.id)
    assert server.stop() == 0

    server = serve(tmp_path / "first", *with_file, "--workers", "0")
    client = server.client(client.api_key)
    for variables, flags in (({}, with_file), ({"PRAX_CONFIG": str(config)}, [])):
        again = make()
        subprocess.run([PRAX, "worker", "--once", "--data", str(tmp_path / "second"), *flags], check=True,
                       env={**os.environ, **variables}, capture_output=True)
        assert client.videos.retrieve(again.id).status == "completed"
        assert size(again) == size(made), "it has another quality"
    listed = subprocess.run([PRAX, "keys", "list", "--json"], check=True, capture_output=True, text=True,
                            env={**os.environ, "PRAX_CONFIG": str(config), "PRAX_DATA": str(tmp_path / "third")})
    assert [key["name"] for key in json.loads(listed.stdout)["keys"] if key["id"] != "key_studio"] == ["me"]
    assert server.stop() == 0


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_processes_lose_nothing(cluster, database):
    assert kill_loop.run(PRAX, 4, cluster if database == "postgresql" else None).startswith("4 videos")


@pytest.mark.skipif(not small_disk.available(), reason="no small file system can be mounted here")
def test_a_full_disk_among_the_kills_loses_nothing():
    assert kill_loop.run(PRAX, 4, full_disk=True).startswith("4 videos")
