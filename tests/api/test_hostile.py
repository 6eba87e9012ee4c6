"""Clients that mean harm get the right status, cost little, and hurt nobody else."""

import os
import threading
import time

import openai
import pytest
from conftest import png


def talk(server, data: bytes, timeout=20) -> bytes:
    with server.connect(timeout) as socket:
        try:
            socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        while chunk := socket.recv(65536):
            answer += chunk
        return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def test_slow_header(server):
    with server.connect() as socket:
        begin = time.monotonic()
        socket.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(20):
            try:
                socket.sendall(b"x-a: b\r\n")
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.2)
        assert status_of(socket.recv(1000)) == 408
        assert time.monotonic() - begin < 6


def test_slow_body(server, key):
    with server.connect() as socket:
        socket.sendall(f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                       "content-type: application/json\r\ncontent-length: 1000000\r\n\r\n{".encode())
        time.sleep(0.1)
        assert status_of(socket.recv(1000)) == 408


@pytest.mark.parametrize("request_bytes,status", [
    (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: 1\r\n" % i for i in range(10000)) + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: 1\r\n" % i for i in range(200)) + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 100000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    (b"GET /%zz HTTP/1.1\r\nhost: x\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET / HTTP/3.0\r\nhost: x\r\n\r\n", 505), (b"nonsense\r\n\r\n", 400),
    (b"GET /v1/videos/../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    (b"GET /v1/videos/%2e%2e%2f%2e%2e%2fetc%2fpasswd/content HTTP/1.1\r\nhost: x\r\n\r\n", 401),
    (b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", 400),
])
def test_odd_requests(server, request_bytes, status):
    with server.connect() as socket:
        try:
            socket.sendall(request_bytes)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert status_of(socket.recv(65536)) == status


def test_huge_bodies(server, key):
    head = (f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
            "content-type: multipart/form-data; boundary=b\r\n").encode()
    assert status_of(talk_until_answer(server, head + b"content-length: 2147483648\r\n\r\n")) == 413
    assert status_of(talk_until_answer(server, head.replace(key.encode(), b"none") +
                                       b"content-length: 2147483648\r\n\r\n")) == 401


def talk_until_answer(server, data):
    """Sends on and on until there is an answer."""
    with server.connect() as socket:
        socket.sendall(data)
        socket.setblocking(False)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                return socket.recv(65536)
            except BlockingIOError:
                try:
                    socket.send(b"a" * 65536)
                except BlockingIOError:
                    time.sleep(0.01)
    raise AssertionError("no answer")


def test_chunked_body_without_end(server, key):
    before = server.memory()
    with server.connect() as socket:
        socket.sendall(f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                       "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        try:
            for _ in range(64):
                socket.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert status_of(socket.recv(65536)) == 413
    assert server.memory() - before < 32e6


@pytest.mark.parametrize("width,height", [(16000, 16000), (60000, 60000), (2**31 - 1, 1)])
def test_decompression_bombs(server, client, width, height):
    bomb = bytearray(png(16, 16))
    if width * height <= 16000**2:
        bomb = png(width, height)
        assert len(bomb) < 1e6
    else:
        import struct, zlib
        bomb[16:24] = struct.pack(">II", width, height)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    before = server.memory()
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create(prompt="x", input_reference=("a.png", bytes(bomb), "image/png"))
    assert error.value.code == "image_too_large"
    assert server.memory() - before < 100e6


@pytest.mark.parametrize("name", ["../../../../tmp/evil.png", "/etc/passwd", "a\\..\\b", "con\u0001.png", "x" * 3000])
def test_file_names_are_no_paths(server, idle_client, idle_server, name):
    made = idle_client.videos.create(prompt="x", input_reference=(name, png(), "image/png"))
    assert made.status == "queued"
    stored = [str(p.relative_to(idle_server.data)) for p in (idle_server.data / "storage").rglob("*.png")]
    assert f"storage/inputs/{made.id}/input_reference.png" in stored
    assert not os.path.exists("/tmp/evil.png")


def test_random_bodies(server, key):
    import random
    source = random.Random(1)
    words = [b"--b", b"--b--", b"\r\n", b"\r\n\r\n", b'content-disposition: form-data; name="prompt"', b"\0", b"[", b"]",
             b'content-disposition: form-data; name="loras[][id]"', b'; filename="a"', b"x" * 100, b"{", b'"a":']
    for _ in range(150):
        body = b"".join(source.choice(words) for _ in range(source.randrange(20)))
        kind = source.choice([b"multipart/form-data; boundary=b", b"application/json"])
        answer = talk(server, b"POST /v1/videos HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer " +
                      key.encode() + b"\r\ncontent-type: " + kind + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert status_of(answer) == 400, (body, answer)


def test_others_are_served_meanwhile(server, client):
    """Two hundred clients that say half a word do not slow down anyone."""
    idle = [server.connect() for _ in range(200)]
    for socket in idle:
        socket.sendall(b"GET /v1")
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        client.videos.list()
        slowest = max(slowest, time.monotonic() - begin)
    for socket in idle:
        socket.close()
    assert slowest < 0.5


def test_many_event_streams(server, key):
    before = server.memory()
    streams = [server.connect() for _ in range(1000)]
    for stream in streams:
        stream.sendall(f"GET /prax/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n".encode())
    assert all(b"200" in stream.recv(400) for stream in streams)
    assert server.memory() < 200e6 and server.memory() - before < 60e6
    for stream in streams:
        stream.close()
