"""What the studio knows of models and of the videos that were made."""

import io
import json
import time
import zipfile

import pytest
from conftest import PATIENCE, Browser, wait, wait_in

QUICK = {"steps": 1}


@pytest.fixture(scope="module")
def shelf(idle_server):
    """A browser of its own key, with some videos that wait."""
    browser = Browser(idle_server)
    browser.json("POST", "/prax/v1/session", {"key": idle_server.key("shelf")["key"]})
    browser.made = [browser.json("POST", "/v1/videos", {"prompt": prompt, "seed": seed})["id"]
                    for prompt, seed in (("A red BALLOON", 11), ("L'Été à la mer", 12), ("100% wool_sheep", 13))]
    return browser


def ids(answer):
    return [video["id"] for video in answer["data"]]


def test_models_say_what_they_do(browser):
    answer = browser.json("GET", "/prax/v1/models")
    nano = next(model for model in answer["data"] if model["id"] == "nano")
    assert nano["default_size"] == "128x128" and nano["default_steps"] == 8 and nano["default_guidance"] == 1.0
    assert "sora-2" in nano["aliases"] and nano["weights_bytes"] > 1e6 and answer["memory_bytes"] > 1e9
    assert nano["can"]["extend_before"] and nano["can"]["loop"] and nano["can"]["negative_prompt"]
    shapes = {shape["name"]: shape["size"] for shape in nano["shapes"]}
    width, height = map(int, shapes["wide"].split("x"))
    assert shapes["square"] == "128x128" and width > height and width % nano["size_multiple"] == 0


def test_estimates(browser, finished):
    made = browser.json("POST", "/v1/videos", {"prompt": "x", "steps": 2})
    wait_in(browser, made["id"])
    small = browser.json("POST", "/prax/v1/estimate", {"model": "nano", "steps": 2})
    large = browser.json("POST", "/prax/v1/estimate", {"model": "nano", "steps": 20, "prompt": "x"})
    assert small["size"] == "128x128" and small["frames"] == 25 and small["fits"]
    assert 0 < small["expected_seconds"] < large["expected_seconds"] and large["expected_seconds_from"] == "runs"
    assert 1e6 < small["peak_bytes"] < small["memory_bytes"]
    assert browser.json("POST", "/prax/v1/estimate", {"size": "1x1", "model": "nano"}, status=400)["error"]["param"] == "size"


@pytest.mark.parametrize("query,found", [("balloon", 0), ("red balloon", 0), ("balloon red", 0), ("blue balloon", None),
                                         ("%C3%A9t%C3%A9", 1), ("100%25", 2), ("wool_s", 2), ("woolxs", None),
                                         ("seed:13", 2), ("nano 128x128 MER", 1)])
def test_search(shelf, query, found):
    answer = shelf.json("GET", "/prax/v1/library?q=" + query.replace(" ", "%20"))
    assert ids(answer) == ([] if found is None else [shelf.made[found]]), query
    assert answer["total"] == len(answer["data"])


def test_notes_folders_and_pages(shelf):
    first, second, third = shelf.made
    noted = shelf.json("PATCH", f"/prax/v1/videos/{first}", {"title": "Le <b>Ballon</b>", "favourite": True, "folder": "Sky"})
    assert noted["title"] == "Le <b>Ballon</b>" and noted["favourite"] and noted["folder"] == "Sky"
    assert shelf.json("PATCH", f"/prax/v1/videos/{first}", {})["title"] == "Le <b>Ballon</b>"
    assert ids(shelf.json("GET", "/prax/v1/library?q=le%20ballon")) == [first]
    assert ids(shelf.json("GET", "/prax/v1/library?favourite=true")) == [first]
    assert ids(shelf.json("GET", "/prax/v1/library?favourite=false")) == [third, second]
    answer = shelf.json("GET", "/prax/v1/library?folder=Sky")
    assert ids(answer) == [first] and answer["folders"] == [{"name": "Sky", "count": 1}]
    page = shelf.json("GET", "/prax/v1/library?limit=2")
    assert ids(page) == [third, second] and page["has_more"] and page["total"] == 3
    rest = shelf.json("GET", f"/prax/v1/library?limit=2&after={second}")
    assert ids(rest) == [first] and not rest["has_more"]
    assert ids(shelf.json("GET", "/prax/v1/library?order=oldest")) == [first, second, third]
    assert ids(shelf.json("GET", "/prax/v1/library?status=completed")) == []
    assert ids(shelf.json("GET", "/prax/v1/library?kind=create&model=nano&status=queued")) == [third, second, first]
    for wrong in ("limit=0", "order=up", "status=done", "kind=poem", "after=video_none", "favourite=maybe", "colour=red"):
        assert "error" in shelf.json("GET", "/prax/v1/library?" + wrong, status=400)
    shelf.json("PATCH", f"/prax/v1/videos/{first}", {"stars": 5}, status=400)
    shelf.json("PATCH", "/prax/v1/videos/video_none", {"title": "x"}, status=404)


def test_others_see_no_notes_and_no_presets(idle_server, shelf):
    other = Browser(idle_server)
    other.json("POST", "/prax/v1/session", {"key": idle_server.key("nosy")["key"]})
    assert other.json("GET", "/prax/v1/library")["total"] == 0
    other.json("PATCH", f"/prax/v1/videos/{shelf.made[0]}", {"title": "mine"}, status=404)
    other.json("GET", f"/prax/v1/videos/{shelf.made[0]}/family", status=404)


def test_presets(idle_server, shelf):
    settings = {"model": "nano", "steps": 4, "negative_prompt": "blur"}
    made = shelf.json("POST", "/prax/v1/presets", {"name": "Draft", "settings": settings})
    assert made["settings"] == settings
    assert shelf.json("PATCH", f"/prax/v1/presets/{made['id']}", {"name": "Sketch"})["settings"] == settings
    assert [preset["name"] for preset in shelf.json("GET", "/prax/v1/presets")["data"]] == ["Sketch"]
    shelf.json("POST", "/prax/v1/presets", {"name": "x"}, status=400)
    other = Browser(idle_server)
    other.json("POST", "/prax/v1/session", {"key": idle_server.key("curious")["key"]})
    assert other.json("GET", "/prax/v1/presets")["data"] == []
    other.json("DELETE", f"/prax/v1/presets/{made['id']}", status=404)
    shelf.json("DELETE", f"/prax/v1/presets/{made['id']}")
    assert shelf.json("GET", "/prax/v1/presets")["data"] == []


def test_family(browser):
    root = wait_in(browser, browser.json("POST", "/v1/videos", {"prompt": "a seed", **QUICK})["id"])["id"]
    child = browser.json("POST", f"/v1/videos/{root}/remix", {"prompt": "a flower", **QUICK})["id"]
    again = browser.json("POST", "/v1/videos", {"prompt": "a seed", "again_of": root, **QUICK})["id"]
    family = browser.json("GET", f"/prax/v1/videos/{child}/family")
    assert {video["id"] for video in family["videos"]} == {root, child}
    assert family["edges"] == [{"from": root, "to": child, "kind": "remix"}]
    edges = browser.json("GET", f"/prax/v1/videos/{root}/family")["edges"]
    assert {(edge["to"], edge["kind"]) for edge in edges} == {(child, "remix"), (again, "again")}
    wait_in(browser, child)
    browser.json("DELETE", f"/v1/videos/{root}")
    assert {"id": root, "deleted": True} in browser.json("GET", f"/prax/v1/videos/{child}/family")["videos"]


def download(browser, path):
    """Asks until the file is there."""
    end = time.monotonic() + 120 * PATIENCE
    while time.monotonic() < end:
        status, headers, content = browser.send("GET", path)
        if status != 202:
            return status, headers, content
        assert headers["retry-after"] == "1" and json.loads(content)["status"] == "making"
        time.sleep(0.1)
    raise AssertionError("it is never made")


def test_conversions_hold_nothing_up(browser, server):
    """Ten at once: each asked for many times and made once, while other requests are answered."""
    long = browser.json("POST", "/v1/videos", {"prompt": "a slow train", **QUICK})["id"]
    wait_in(browser, long)
    parts = [{"video": long}] * 12
    films = [browser.json("POST", "/prax/v1/videos/cut", {"parts": parts})["id"] for _ in range(5)]
    for film in films:
        wait_in(browser, film)
    asked = time.monotonic()
    for _ in range(4):
        for film in films:
            for form in ("webm", "png"):
                answer = browser.json("POST", f"/prax/v1/videos/{film}/conversions", {"format": form})
                assert answer["status"] in ("making", "ready") and answer["error"] is None
                assert browser.send("GET", f"/prax/v1/videos/{film}/download?format={form}")[0] in (200, 202)
    slowest = 0
    for _ in range(20):
        begin = time.monotonic()
        browser.json("GET", "/prax/v1/library?limit=1")
        slowest = max(slowest, time.monotonic() - begin)
    assert time.monotonic() - asked < 20 * PATIENCE and slowest < 2 * PATIENCE
    for film in films:
        for form in ("webm", "png"):
            assert download(browser, f"/prax/v1/videos/{film}/download?format={form}")[0] == 200
        made = browser.json("POST", f"/prax/v1/videos/{film}/conversions", {"format": "webm"})
        assert made["status"] == "ready" and made["progress"] == 100 and made["bytes"] > 0
        times = [(server.data / f"storage/results/{film}/formats/video.{ending}").stat().st_mtime for ending in ("webm", "zip")]
        assert download(browser, f"/prax/v1/videos/{film}/download?format=webm")[0] == 200
        assert (server.data / f"storage/results/{film}/formats/video.webm").stat().st_mtime == times[0], "made twice"
    browser.json("POST", f"/prax/v1/videos/{films[0]}/conversions", {"format": "mp4"}, status=400)


def test_family_of_a_character(client, browser):
    """A video made with a character points to the video whose file the character was made from."""
    root = client.videos.create(prompt="a fox", extra_body=QUICK)
    wait(client, root.id)
    file = ("fox.mp4", client.videos.download_content(root.id).read(), "video/mp4")
    fox = client.videos.create_character(name="Fox", video=file)
    made = client.videos.create(prompt="the fox runs", extra_body={"character": fox.id, **QUICK})
    family = browser.json("GET", f"/prax/v1/videos/{made.id}/family")
    assert family["edges"] == [{"from": root.id, "to": made.id, "kind": "character"}]
    assert {video["id"] for video in family["videos"]} == {root.id, made.id}


def test_downloads(browser, server, tmp_path):
    made = wait_in(browser, browser.json("POST", "/v1/videos", {"prompt": "a kite", "title": "Kite é", "seed": 5, **QUICK})["id"])
    path = f"/prax/v1/videos/{made['id']}/download?format="
    sizes = {}
    for form, kind, magic in (("mp4", "video/mp4", b"ftyp"), ("webm", "video/webm", b"\x1aE\xdf\xa3"),
                              ("gif", "image/gif", b"GIF89a"), ("png", "application/zip", b"PK\x03\x04")):
        status, headers, content = download(browser, path + form)
        assert status == 200 and headers["content-type"] == kind and magic in content[:16], form
        assert headers["content-disposition"].startswith("attachment") and "Kite" in headers["content-disposition"]
        # The same file again, and parts of it.
        assert browser.send("GET", path + form, If_None_Match=headers["etag"])[0] == 304
        assert browser.send("GET", path + form, Range="bytes=0-3")[2] == content[:4]
        sizes[form] = len(content)
        if form == "png":
            frames = zipfile.ZipFile(io.BytesIO(content))
            assert frames.testzip() is None and "frame_00024.png" in frames.namelist()
            assert json.loads(frames.read("settings.json"))["prompt"] == "a kite"
            assert b"prax:prompt" in frames.read("frame_00000.png")
        else:
            assert b"a kite" in content
    folder = server.data / "storage/results" / made["id"]
    assert (folder / "formats/video.webm").stat().st_size == sizes["webm"]
    assert browser.json("GET", f"/v1/videos/{made['id']}")["size_bytes"] > sum(sizes.values()) - sizes["mp4"]
    assert browser.send("GET", path + "avi")[0] == 400
    browser.json("DELETE", f"/v1/videos/{made['id']}")
    assert browser.send("GET", path + "gif")[0] == 404
