"""Ranges, conditions, compression, events, webhooks, draining: what clients other than the SDK rely on."""

import concurrent.futures
import http.server
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request

import pytest
from conftest import Server, until, wait


def fetch(server, key, path, method="GET", **headers):
    request = urllib.request.Request(server.url + path, method=method)
    if key:
        request.add_header("Authorization", "Bearer " + key)
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_ranges(server, key, finished):
    path = f"/v1/videos/{finished.id}/content"
    status, headers, whole = fetch(server, key, path)
    assert status == 200 and headers["accept-ranges"] == "bytes"
    size, etag = len(whole), headers["etag"]
    for asked, first, last in (("bytes=0-9", 0, 9), ("bytes=-5", size - 5, size - 1), ("bytes=100-", 100, size - 1)):
        status, headers, part = fetch(server, key, path, Range=asked)
        assert status == 206 and headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert part == whole[first:last + 1]
    assert fetch(server, key, path, Range=f"bytes={size}-")[0] == 416
    assert fetch(server, key, path, Range="bytes=0-1,3-4")[0] == 200
    assert fetch(server, key, path, If_None_Match=etag)[0] == 304
    assert fetch(server, key, path, Range="bytes=0-9", If_Range='"other"')[0] == 200
    assert fetch(server, key, path, Range="bytes=0-9", If_Range=etag)[0] == 206
    assert fetch(server, key, path, If_Match='"other"')[0] == 412
    status, headers, body = fetch(server, key, path, method="HEAD")
    assert status == 200 and int(headers["content-length"]) == size and body == b""


def test_gzip(server, key, finished):
    status, headers, body = fetch(server, key, "/v1/models", Accept_Encoding="gzip")
    import gzip
    assert headers["content-encoding"] == "gzip" and json.loads(gzip.decompress(body))["object"] == "list"
    _, headers, _ = fetch(server, key, f"/v1/videos/{finished.id}/content", Accept_Encoding="gzip")
    assert "content-encoding" not in headers


def test_operations(server, key):
    assert fetch(server, None, "/healthz")[0] == 200
    assert json.loads(fetch(server, None, "/readyz")[2])["status"] == "ready"
    metrics = fetch(server, None, "/metrics")[2].decode()
    assert 'prax_jobs{status="completed"}' in metrics and "prax_http_request_duration_seconds_bucket" in metrics
    for path in ("queue", "storage", "keys", "key", "audit"):
        assert fetch(server, key, "/prax/v1/" + path)[0] == 200, path
    assert json.loads(fetch(server, None, "/openapi.json")[2])["openapi"] == "3.1.0"


def test_provenance(server, key, finished):
    known = json.loads(fetch(server, key, f"/prax/v1/videos/{finished.id}/provenance")[2])
    assert known["settings"]["seed"] == 7 and known["results"][0]["sha256"]


def events(server, key, path, **headers):
    request = urllib.request.Request(server.url + path, headers={"Authorization": "Bearer " + key, **headers})
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        event = {}
        for line in response:
            line = line.decode().rstrip("\n")
            if line.startswith(":"):
                continue
            if not line and event:
                yield event
                event = {}
            elif line:
                name, value = line.split(": ", 1)
                event[name] = value


def test_events(server, key, client):
    made = client.videos.create(prompt="x", extra_body={"steps": 8})
    seen = list(events(server, key, f"/prax/v1/videos/{made.id}/events"))
    assert seen[-1]["event"] == "video.completed"
    progress = [json.loads(event["data"])["progress"] for event in seen]
    assert progress == sorted(progress) and progress[-1] == 100
    assert len(list(events(server, key, f"/prax/v1/videos/{made.id}/events"))) == 1  # the end again
    assert not list(events(server, key, f"/prax/v1/videos/{made.id}/events", **{"Last-Event-ID": seen[-1]["id"]}))


def test_nothing_is_missed_by_who_was_away(tmp_path, serve):
    """More changes than the server reads at once, and more than it holds for a client."""
    server = serve(tmp_path / "data", "--workers", "0")
    key = server.key("away")["key"]
    client = server.client(key)

    def make(_):
        return client.videos.create(prompt="x" * 500).id

    seen = next(events(server, key, f"/prax/v1/videos/{make(0)}/events"))["id"]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        made = list(threads.map(make, range(1100)))
    for gone in made[500:503]:
        client.videos.delete(gone)
    made = set(made)
    told, visits = set(), 0
    while told != made:
        visits += 1
        assert visits < 20
        for event in events(server, key, "/prax/v1/events", **{"Last-Event-ID": seen}):
            assert int(event["id"]) > int(seen)
            seen = event["id"]
            told.add(json.loads(event["data"])["id"])
            if told == made:
                break
    assert visits > 1


def test_cancel(server, key, client):
    made = client.videos.create(prompt="x", extra_body={"steps": 500})
    while client.videos.retrieve(made.id).status == "queued":
        time.sleep(0.1)
    assert fetch(server, key, f"/prax/v1/videos/{made.id}/cancel", method="POST")[0] == 200
    video = client.videos.retrieve(made.id)
    assert video.status == "failed" and video.error.code == "cancelled"
    assert fetch(server, key, f"/prax/v1/videos/{made.id}/cancel", method="POST")[0] == 409


def test_streams_of_a_revoked_key_end(server, client):
    made = server.key("listener")
    stream = events(server, made["key"], "/prax/v1/events")
    ended = threading.Event()
    threading.Thread(target=lambda: (list(stream), ended.set()), daemon=True).start()
    time.sleep(0.5)
    client.delete(f"{server.url}/prax/v1/keys/{made['id']}", cast_to=object)
    assert ended.wait(1.5)


@pytest.fixture
def receiver():
    """Answers 500 at first, then 200."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(500 if len(got) == 1 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listener.server_port}/hook", got
    listener.shutdown()


def test_webhooks(server, client, receiver):
    url, got = receiver
    endpoint = client.webhooks.create(name="mine", url=url, event_types=["video.completed"])
    assert [e.id for e in client.webhooks.list()] == [endpoint.id]
    made = client.videos.create(prompt="x", extra_body={"steps": 1})
    wait(client, made.id)
    until(lambda: len(got) >= 2)
    assert got[0][1] == got[1][1] and got[0][0]["webhook-id"] == got[1][0]["webhook-id"]
    event = client.webhooks.unwrap(got[1][1], got[1][0], secret=endpoint.signing_secret)
    assert event.type == "video.completed" and event.data.id == made.id
    rotated = client.webhooks.rotate_secret(endpoint.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != endpoint.signing_secret
    assert client.webhooks.test(endpoint.id, event_type="video.failed").status_code == 200
    for secret in (rotated.signing_secret, endpoint.signing_secret):
        assert client.webhooks.unwrap(got[-1][1], got[-1][0], secret=secret).type == "video.failed"
    assert client.webhooks.update(endpoint.id, name="yours").name == "yours"
    assert client.webhooks.retrieve(endpoint.id).name == "yours"
    assert client.webhooks.event_types.list().data == ["video.completed", "video.failed"]
    assert client.webhooks.delete(endpoint.id).deleted


def test_a_worker_that_dies_is_replaced(server, key, client):
    made = client.videos.create(prompt="x", extra_body={"steps": 100})
    until(lambda: client.videos.retrieve(made.id).status == "in_progress")
    worker, = server.children()
    os.kill(worker, signal.SIGKILL)
    assert client.videos.retrieve(made.id).status == "in_progress"
    # The next one goes on with the job at once, and not when the lease of thirty seconds is over.
    until(lambda: json.loads(fetch(server, key, f"/prax/v1/videos/{made.id}/provenance")[2])["attempts"] == 2, 15)
    wait(client, made.id)


def test_drain(tmp_path):
    server = Server(tmp_path / "data", "--drain-time", "10s")
    key = server.key()["key"]
    client = server.client(key)
    made = client.videos.create(prompt="x", extra_body={"steps": 1000})
    while client.videos.retrieve(made.id).status == "queued":
        time.sleep(0.1)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 9


def test_refuses_to_start_without_keys_beyond_loopback(tmp_path):
    import subprocess
    from conftest import PRAX
    for flags, words in ((["--host", "0.0.0.0"], "there is no key yet"), (["--host", "0.0.0.0", "--no-keys"], "--no-keys"),
                         (["--prot", "1"], "did you mean --port"), (["--max-body", "much"], "--max-body")):
        run = subprocess.run([PRAX, "serve", "--data", str(tmp_path / "d"), *flags], capture_output=True, text=True)
        assert run.returncode == 2 and words in run.stderr, run.stderr
    (tmp_path / "c.toml").write_text("prot = 1\n")
    run = subprocess.run([PRAX, "serve", "--config", str(tmp_path / "c.toml")], capture_output=True, text=True)
    assert run.returncode == 2 and "did you mean port" in run.stderr


def test_without_keys(tmp_path):
    server = Server(tmp_path / "data", "--no-keys", "--workers", "0", "--cors-origins", "https://studio.example")
    assert server.client("anything").videos.list().data == []
    assert fetch(server, None, "/v1/videos")[0] == 200
    assert fetch(server, None, "/v1/videos", Host="evil.example")[0] == 421
    assert fetch(server, None, "/v1/videos", Origin="https://evil.example")[0] == 403
    status, headers, _ = fetch(server, None, "/v1/videos", Origin="https://studio.example")
    assert status == 200 and headers["access-control-allow-origin"] == "https://studio.example"
    status, headers, _ = fetch(server, None, "/v1/videos", method="OPTIONS", Origin="https://studio.example",
                               Access_Control_Request_Method="POST",
                               Access_Control_Request_Headers="authorization, x-stainless-os, x-evil")
    assert status == 204 and headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert server.stop() == 0


def test_tls(tmp_path):
    import ssl
    import subprocess
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   cwd=tmp_path, check=True, capture_output=True)
    server = Server(tmp_path / "data", "--no-keys", "--workers", "0", "--tls-certificate", str(tmp_path / "cert.pem"),
                    "--tls-key", str(tmp_path / "key.pem"))
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    for _ in range(3):
        with urllib.request.urlopen(server.url + "/v1/models", context=context) as response:
            assert json.load(response)["object"] == "list"
    with server.connect() as plain:  # no TLS: nothing happens, to nobody else either
        plain.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        plain.recv(100)
    with urllib.request.urlopen(server.url + "/healthz", context=context) as response:
        assert response.status == 200
    assert server.stop() == 0


def test_review(tmp_path):
    program = tmp_path / "review"
    program.write_text("#!/bin/sh\ngrep -q forbidden && { echo 'not in this house'; exit 1; }\nexit 0\n")
    program.chmod(0o755)
    server = Server(tmp_path / "data", "--review-program", str(program))
    client = server.client(server.key()["key"])
    good = client.videos.create(prompt="x", extra_body={"steps": 1})
    bad = client.videos.create(prompt="a forbidden thing", extra_body={"steps": 1})
    wait(client, good.id)
    until(lambda: client.videos.retrieve(bad.id).status == "failed")
    refused = client.videos.retrieve(bad.id).error
    assert refused.code == "refused_by_policy" and "not in this house" in refused.message
    assert server.stop() == 0


def test_retention_and_quota(tmp_path):
    server = Server(tmp_path / "data", "--retention", "1s", "--quota", "1")
    key = server.key()["key"]
    client = server.client(key, max_retries=0)
    made = client.videos.create(prompt="x", extra_body={"steps": 1})
    until(lambda: client.videos.retrieve(made.id).status == "completed")
    with pytest.raises(Exception) as error:
        client.videos.create(prompt="x")
    assert error.value.status_code == 507
    until(lambda: client.videos.retrieve(made.id).expired)
    assert fetch(server, key, f"/v1/videos/{made.id}/content")[0] == 410
    assert not list((server.data / "storage").rglob("*.mp4"))
    assert server.stop() == 0
