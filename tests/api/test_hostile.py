"""Clients that mean harm get the right status, cost little, and hurt nobody else."""

import io
import os
import struct
import threading
import time
import zlib

import av
import openai
import pytest
from conftest import PATIENCE, png, until


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


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def of_zeros(megabytes):
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def box(kind, data):
    return struct.pack(">I", 8 + len(data)) + kind + data


def gif(width=16, height=16, frames=20) -> bytes:
    """Pictures of clear codes and zeros alone."""
    codes = [4] + [0] + sum(([4, 0] for _ in range(width * height - 1)), []) + [5]
    bits = sum(code << 3 * i for i, code in enumerate(codes))
    data = bits.to_bytes(len(codes) * 3 // 8 + 1, "little")
    blocks = b"".join(bytes([len(data[i:i + 255])]) + data[i:i + 255] for i in range(0, len(data), 255)) + b"\0"
    frame = b"\x21\xf9\4\0\x0a\0\0\0" + b"\x2c" + struct.pack("<HHHH", 0, 0, width, height) + b"\0\2" + blocks
    return (b"GIF89a" + struct.pack("<HH", width, height) + b"\xf0\0\0" + bytes(3) + b"\xff" * 3 + frame * frames + b";")


def mp4_of_samples(count, tracks=1):
    """A few hundred bytes that say that they are an index of so many pictures."""
    def full(kind, data):
        return box(kind, bytes(4) + data)
    table = (full(b"stsd", struct.pack(">I", 1) + box(b"mp4v", bytes(6) + b"\0\1" + bytes(16) + struct.pack(
                 ">HH", 64, 64) + bytes(42) + b"\0\x18\xff\xff"))
             + full(b"stts", struct.pack(">III", 1, count, 1)) + full(b"stsc", struct.pack(">IIII", 1, 1, count, 1))
             + full(b"stsz", struct.pack(">II", 1, count)) + full(b"stco", struct.pack(">II", 1, 40)))
    media = box(b"mdia", full(b"mdhd", struct.pack(">IIIII", 0, 0, 1000, count, 0))
                + full(b"hdlr", bytes(4) + b"vide" + bytes(14))
                + box(b"minf", full(b"vmhd", bytes(8)) + box(b"stbl", table)))
    tracks = b"".join(box(b"trak", full(b"tkhd", struct.pack(">IIIII", 0, 0, i + 1, 0, count) + bytes(60)
                                        + struct.pack(">II", 64 << 16, 64 << 16)) + media) for i in range(tracks))
    return box(b"ftyp", b"isom\0\0\2\0isom") + box(b"mdat", bytes(1000)) + box(
        b"moov", full(b"mvhd", struct.pack(">IIIII", 0, 0, 1000, count, 0x10000) + bytes(76)) + tracks)


@pytest.mark.parametrize("kind,before", [(b"zTXt", b"Comment\0\0"), (b"iCCP", b"p\0\0")])
def test_bombs_beside_the_picture(idle_server, idle_client, kind, before):
    """What is packed in them is never unpacked."""
    plain = png()
    bomb = plain[:33] + chunk(kind, before + of_zeros(1500)) + plain[33:]
    used = idle_server.memory()
    idle_server.forget_peak()
    begin = time.monotonic()
    assert idle_client.videos.create(prompt="x", input_reference=("a.png", bomb, "image/png")).status == "queued"
    assert time.monotonic() - begin < 5 * PATIENCE
    assert idle_server.peak() - used < 100e6


@pytest.mark.parametrize("count,tracks", [(40_000_000, 1), (4_000_000, 20)])
def test_clips_that_are_all_index(server, client, count, tracks):
    used = server.memory()
    server.forget_peak()
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.create_character(name="x", video=("a.mp4", mp4_of_samples(count, tracks), "video/mp4"))
    assert error.value.code == "invalid_video"
    assert server.peak() - used < 100e6


def test_json_that_explodes(server, key):
    def post(body):
        return talk(server, b"POST /v1/videos HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer " +
                    key.encode() + b"\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    used = server.memory()
    server.forget_peak()
    deep = b'{"prompt":"x","extra_params":{"a":' + b"[" * 5_000_000 + b"]" * 5_000_000 + b"}}"
    many = b'{"prompt":"x","extra_params":{"a":[' + b"{}," * 5_000_000 + b"0]}}"
    large = b'{"prompt":"x","extra_params":{"a":"' + b"a" * 5_000_000 + b'"}}'
    named = b'{"prompt":"x","' + b"a" * 5_000_000 + b'":1}'
    for body, code in ((deep, b"json_too_complex"), (many, b"json_too_complex"), (large, b"64 KiB"),
                       (named, b"unknown_parameter")):
        begin = time.monotonic()
        answer = post(body)
        assert status_of(answer) == 400 and code in answer, answer
        assert time.monotonic() - begin < 5 * PATIENCE
    assert server.peak() - used < 150e6


def test_rebinding(tmp_path, serve):
    """A page that a browser shows under a name of its maker's, which leads to this machine."""
    server = serve(tmp_path / "data", "--no-keys", "--workers", "0")
    for host, status in (("127.0.0.1:1", 200), ("127.0.0.1.evil.example:1", 421), ("127.evil.example", 421)):
        for path in ("/v1/videos", "/metrics"):
            answer = talk(server, f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            assert status_of(answer) == status, (host, path, answer)


def test_the_log_is_no_terminal_program(tmp_path, serve):
    server = serve(tmp_path / "data", "--workers", "0", "--no-studio")
    talk(server, "GET /\u009b2J\u202e HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
    assert server.stop() == 0
    log = (tmp_path / "data.log").read_bytes()
    assert b'path="/\\u009b2J\\u202e"' in log and all(b in b"\n" or 32 <= b < 127 for b in log), log


def test_characters_count_for_the_quota(tmp_path, serve):
    clip = gif()
    server = serve(tmp_path / "data", "--workers", "0", "--quota", str(len(clip) + 10))
    client = server.client(server.key()["key"], max_retries=0)
    client.videos.create_character(name="first", video=("a.gif", clip, "image/gif"))
    with pytest.raises(openai.InternalServerError) as error:
        client.videos.create_character(name="second", video=("a.gif", clip, "image/gif"))
    assert error.value.status_code == 507


def test_uploads_on_their_way_count_for_the_quota(tmp_path, serve):
    server = serve(tmp_path / "data", "--workers", "0", "--quota", "1000000")
    key = server.key()["key"]
    client = server.client(key, max_retries=0)

    def begin(announced):
        length = f"content-length: {announced}" if announced else "transfer-encoding: chunked"
        connection = server.connect()
        connection.sendall(f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n{length}\r\n"
                           "expect: 100-continue\r\ncontent-type: multipart/form-data; boundary=b\r\n\r\n".encode())
        return connection, status_of(connection.recv(65536))

    under_way = [begin(300_000) for _ in range(3)]
    assert [status for _, status in under_way] == [100] * 3
    assert begin(300_000)[1] == 507
    assert begin(90_000)[1] == 100
    # One that does not say how much is to come goes as far as there is room.
    long, status = begin(None)
    head = b'--b\r\ncontent-disposition: form-data; name="input_reference"; filename="a"\r\n\r\n'
    long.sendall(b"%x\r\n" % (len(head) + 500_000) + head + bytes(500_000) + b"\r\n")
    assert status == 100 and status_of(long.recv(65536)) == 507
    # What needs no room is answered as ever, and what is given up makes room.
    assert client.videos.create(prompt="x").status == "queued"
    for connection, _ in under_way:
        connection.close()
    picture = ("a.png", png() + os.urandom(300_000), "image/png")

    def create():
        try:
            return client.videos.create(prompt="x", input_reference=picture)
        except openai.InternalServerError as error:
            assert error.status_code == 507 and error.code == "storage_full", error
    made = [until(create) for _ in range(3)]
    assert create() is None
    client.videos.delete(made[0].id)
    until(create)
    assert sum(file.stat().st_size for file in (server.data / "storage").rglob("*") if file.is_file()) <= 1_000_000


def test_pictures_of_characters_are_made_elsewhere(idle_server, idle_client):
    """A clip of a few kilobytes, whose first picture takes a hundred megabytes and more to decode and to write."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width, stream.height = 4000, 3000
        frame = av.VideoFrame(4000, 3000, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = target.getvalue()
    assert len(clip) < 200_000
    character = idle_client.videos.create_character(name="Large", video=("a.mp4", clip, "video/mp4")).id
    used = idle_server.memory()
    idle_server.forget_peak()
    made = idle_client.videos.create(prompt="x", extra_body={"characters": [character]})
    assert made.characters[0]["name"] == "Large"
    assert idle_server.peak() - used < 60e6
