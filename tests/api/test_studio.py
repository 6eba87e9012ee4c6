"""The studio's side of the server: signed-in browsers, its files and their headers."""

import json
import pathlib
import time

import pytest
from conftest import Browser, Server, until

BUILT = {"index.html": b"<!doctype html><title>studio</title>", "assets/app-1a2b.js": b"let a = 1;\n" * 200,
         "assets/app-1a2b.js.br": b"pretend brotli", "assets/app-1a2b.js.gz": b"pretend gzip", "icon.svg": b"<svg/>"}


def within_a_second(test):
    end = time.monotonic() + 1
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    for name, content in BUILT.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def studio(tmp_path_factory, built):
    running = Server(tmp_path_factory.mktemp("studio") / "data", "--workers", "0", "--studio", str(built))
    yield running
    assert running.stop() == 0


def test_sign_in_with_the_printed_address(studio):
    browser = Browser(studio)
    assert browser.send("GET", "/prax/v1/session")[0] == 401
    status, headers, content = browser.send("POST", "/prax/v1/session", {"token": studio.token})
    session = json.loads(content)
    assert status == 200 and session["name"] == "studio" and session["key_id"] == "key_studio"
    assert set(session["scopes"]) == {"create", "read", "delete", "admin"} and session["server"]["keys_required"]
    assert f"prax_session_{studio.port}=" in headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in headers["set-cookie"]
    assert browser.json("GET", "/prax/v1/session")["expires_at"] == session["expires_at"]
    assert browser.json("GET", "/v1/videos")["data"] == []
    assert "studio" in [key["name"] for key in browser.json("GET", "/prax/v1/keys")["data"]]
    assert browser.send("DELETE", "/prax/v1/session")[0] == 204
    assert browser.send("GET", "/prax/v1/session")[0] == 401
    log = (studio.data.parent / "data.log").read_text()
    assert studio.token not in log


def test_signing_out_ends_the_streams_of_all_tabs(studio):
    here, elsewhere = Browser(studio), Browser(studio)
    here.sign_in()
    elsewhere.sign_in()

    def listen(browser):
        connection = studio.connect()
        connection.sendall(f"GET /prax/v1/events HTTP/1.1\r\nHost: x\r\nCookie: {browser.cookie}\r\n\r\n".encode())
        assert b" 200 " in connection.recv(65536)
        return connection
    tabs, other = [listen(here), listen(here)], listen(elsewhere)
    assert here.send("DELETE", "/prax/v1/session")[0] == 204
    for tab in tabs:
        tab.settimeout(5)
        while tab.recv(65536):
            pass
        tab.close()
    other.settimeout(0.7)
    with pytest.raises(TimeoutError):
        while other.recv(65536):
            pass
        raise AssertionError("another browser's stream was ended, too")
    other.close()


def test_wrong_tokens_and_other_origins(studio):
    browser = Browser(studio)
    assert browser.send("POST", "/prax/v1/session", {"token": "0" * 64})[0] == 401
    assert browser.send("POST", "/prax/v1/session", {"key": "prax-wrong"})[0] == 401
    assert browser.send("POST", "/prax/v1/session", {"token": studio.token, "key": "x"})[0] == 400
    assert browser.send("POST", "/prax/v1/session", {"token": studio.token}, site="cross-site")[0] == 403
    browser.sign_in()
    host = f"127.0.0.1:{studio.port}"
    for site, headers, status in (("cross-site", {}, 403), ("same-site", {}, 403), (None, {}, 403),
                                  (None, {"Origin": "http://evil.example"}, 403),
                                  (None, {"Origin": "http://" + host}, 200), ("same-origin", {}, 200)):
        assert browser.send("POST", "/v1/videos", {"prompt": "x"}, site=site, **headers)[0] == status, (site, headers)


def test_guessing_is_slow(serve, tmp_path):
    server = serve(tmp_path / "data", "--workers", "0")
    browser, friend = Browser(server), server.key("friend")
    for number in range(20):
        browser.json("POST", "/prax/v1/session", {"token": server.token})
        browser.json("POST", "/prax/v1/session", {"nonsense": number}, status=400)
    answers = [browser.send("POST", "/prax/v1/session", guess) for number in range(10)
               for guess in ({"token": f"{number:064}"}, {"key": "prax-" + str(number)})]
    statuses = [status for status, _, _ in answers]
    assert statuses[:10] == [401] * 10 and 429 in statuses, statuses
    status, headers, content = answers[statuses.index(429)]
    assert 1 <= int(headers["retry-after"]) <= 60 and json.loads(content)["error"]["code"] == "rate_limit_exceeded"
    # Those who are in, and programs, are not concerned.
    assert browser.send("GET", "/prax/v1/session")[0] == 200
    assert server.client(friend["key"]).videos.list().data == []
    time.sleep(int(headers["retry-after"]))
    until(lambda: browser.send("POST", "/prax/v1/session", {"key": friend["key"]})[0] == 200)
    assert server.stop() == 0


def test_sessions_outlive_a_restart_and_die_with_their_key(tmp_path):
    first = Server(tmp_path / "data", "--workers", "0", "--no-studio")
    key = first.key("friend")
    browser = Browser(first)
    assert browser.json("POST", "/prax/v1/session", {"key": key["key"]})["name"] == "friend"
    port, cookie = first.port, browser.cookie
    assert browser.send("GET", "/")[0] == 404
    assert first.stop() == 0
    second = Server(tmp_path / "data", "--workers", "0", "--port", str(port))
    browser = Browser(second)
    browser.cookie = cookie
    assert browser.json("GET", "/prax/v1/session")["name"] == "friend"
    operator = Browser(second)
    operator.sign_in()
    operator.json("DELETE", "/prax/v1/keys/" + key["id"])
    within_a_second(lambda: browser.send("GET", "/prax/v1/session")[0] == 401)
    operator.json("POST", "/prax/v1/keys/key_studio/rotate", status=409)
    operator.json("DELETE", "/prax/v1/keys/key_studio")
    assert operator.send("GET", "/prax/v1/session")[0] == 401
    within_a_second(lambda: operator.send("POST", "/prax/v1/session", {"token": second.token})[0] == 401)
    assert second.stop() == 0


def test_without_keys_everyone_here_is_signed_in(tmp_path):
    server = Server(tmp_path / "data", "--workers", "0", "--no-keys")
    assert server.studio == server.url + "/"
    session = Browser(server).json("GET", "/prax/v1/session")
    assert session["name"] == "local" and not session["server"]["keys_required"] and "admin" in session["scopes"]
    status, headers, content = Browser(server).send("GET", "/")
    if not (pathlib.Path(__file__).parents[2] / "studio/dist/index.html").exists():
        assert status == 200 and b"npm run build" in content
    assert "default-src 'none'" in headers["content-security-policy"]
    assert server.stop() == 0


def test_files(studio):
    browser = Browser(studio)
    status, headers, content = browser.send("GET", "/")
    assert status == 200 and content == BUILT["index.html"] and headers["cache-control"] == "no-cache"
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy and "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer" and headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert browser.send("GET", "/", If_None_Match=headers["etag"])[0] == 304
    for page in ("/library", "/make", "/videos/video_1"):
        assert browser.send("GET", page)[2] == BUILT["index.html"]
    script = "/assets/app-1a2b.js"
    status, headers, content = browser.send("GET", script)
    assert content == BUILT["assets/app-1a2b.js"] and headers["content-type"].startswith("text/javascript")
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    for accepted, coding, ending in (("gzip, br", "br", ".br"), ("gzip", "gzip", ".gz"), ("br;q=0, gzip", "gzip", ".gz")):
        status, headers, content = browser.send("GET", script, Accept_Encoding=accepted)
        assert headers["content-encoding"] == coding and content == BUILT["assets/app-1a2b.js" + ending]
        assert "accept-encoding" in headers["vary"].lower()
    status, headers, content = browser.send("HEAD", script)
    assert status == 200 and content == b"" and int(headers["content-length"]) == len(BUILT["assets/app-1a2b.js"])


@pytest.mark.parametrize("path", ["/assets/none.js", "/assets/", "/assets/../../data/prax.db", "/..%2f..%2fetc/passwd.txt",
                                  "/v1/none", "/prax/v1/none", "/none.html", "/assets/%2e%2e/index.html"])
def test_nothing_else_is_served(studio, path):
    assert Browser(studio).send("GET", path)[0] in (400, 404)


def test_other_methods_of_unknown_addresses(studio):
    for method in ("POST", "DELETE", "PATCH"):
        assert Browser(studio).send(method, "/library")[0] == 404
