"""Videos that are made of others: cut, joined, blended, enlarged, extended at both ends, told as a storyboard."""

import base64
import io
import pathlib

import av
import pytest
from conftest import Browser, Server, png, wait_in

QUICK = {"steps": 1}
FPS, FRAMES = 12, 25


class Film:
    """What is in a video's file: size, rate, and the mean grey of each frame."""

    def __init__(self, browser, video_id):
        status, _, content = browser.send("GET", f"/v1/videos/{video_id}/content")
        assert status == 200
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            self.size, self.fps = (stream.width, stream.height), stream.average_rate
            self.shades = [self.shade(frame) for frame in container.decode(stream)]

    @staticmethod
    def shade(frame):
        plane = frame.reformat(format="gray").planes[0]
        rows = bytes(plane)
        grey = [rows[y * plane.line_size + x] for y in range(0, frame.height, 7) for x in range(0, frame.width, 7)]
        return sum(grey) / len(grey)


@pytest.fixture(scope="module")
def clips(browser):
    """Two finished clips."""
    made = [browser.json("POST", "/v1/videos", {"prompt": prompt, "seed": seed, **QUICK})["id"]
            for prompt, seed in (("a dark night", 1), ("a bright day", 2))]
    for clip in made:
        wait_in(browser, clip)
    return made


def test_cut_and_join(browser, clips):
    first, second = clips
    made = browser.json("POST", "/prax/v1/videos/cut",
                        {"title": "Both", "parts": [{"video": first, "start": 0.5, "end": 1.5}, {"video": second}]})
    assert made["kind"] == "cut" and made["model"] == "" and made["title"] == "Both"
    assert made["source_video_id"] == first
    done = wait_in(browser, made["id"])
    film = Film(browser, made["id"])
    assert film.size == (128, 128) and len(film.shades) == 12 + FRAMES and film.fps == FPS
    assert done["seconds"] == made["seconds"] and done["num_frames"] == 12 + FRAMES
    edges = browser.json("GET", f"/prax/v1/videos/{made['id']}/family")["edges"]
    assert {(edge["from"], edge["kind"]) for edge in edges} == {(first, "cut"), (second, "cut")}


def test_crossfade(browser, clips):
    first, second = clips
    made = browser.json("POST", "/prax/v1/videos/cut",
                        {"parts": [{"video": first}, {"video": second, "crossfade": 0.5}]})["id"]
    wait_in(browser, made)
    joined, before, after = (Film(browser, video).shades for video in (made, first, second))
    assert len(joined) == 2 * FRAMES - 6
    assert abs(joined[0] - before[0]) < 3 and abs(joined[-1] - after[-1]) < 3
    for k in range(6):
        fresh = (k + 1) / 7
        assert abs(joined[FRAMES - 6 + k] - ((1 - fresh) * before[FRAMES - 6 + k] + fresh * after[k])) < 3


@pytest.mark.parametrize("parts,param", [
    ([], "parts"), ([{"video": "video_none"}], None), ([{"start": 0}], "parts[0].video"),
    (["self", {"start": 9}], "parts"), (["self", {"start": 1, "end": 1}], "parts"), (["self", {"crossfade": 1}], "parts"),
    (["self", {}, {"crossfade": 5}], "parts"), (["self", {"speed": 2}], "parts[0].speed")])
def test_cuts_that_cannot_be(browser, clips, parts, param):
    if parts[:1] == ["self"]:
        parts = [{"video": clips[0], **part} for part in parts[1:]]
    error = browser.json("POST", "/prax/v1/videos/cut", {"parts": parts}, status=400 if param else 404)["error"]
    assert error["param"] == param


def test_only_finished_videos_are_cut(idle_server):
    waiting = Browser(idle_server)
    waiting.sign_in()
    video = waiting.json("POST", "/v1/videos", {"prompt": "x"})["id"]
    error = waiting.json("POST", "/prax/v1/videos/cut", {"parts": [{"video": video}]}, status=400)["error"]
    assert error["code"] == "video_not_ready"


def test_upscale(browser, clips):
    made = browser.json("POST", "/prax/v1/videos/upscale", {"video": clips[0], "factor": 2})
    assert made["kind"] == "upscale" and made["upscaled_by"] == "resize" and made["size"] == "256x256"
    wait_in(browser, made["id"])
    film = Film(browser, made["id"])
    assert film.size == (256, 256) and len(film.shades) == FRAMES and film.fps == FPS
    browser.json("POST", "/prax/v1/videos/upscale", {"video": clips[0], "factor": 9}, status=400)


def test_upscale_by_the_model(tmp_path):
    tiny = pathlib.Path(__file__).parents[1] / "data/cases/ltx_upsample/checkpoint"
    server = Server(tmp_path / "data", "--upscaler", str(tiny), "--no-keys")
    browser = Browser(server)
    clip = browser.json("POST", "/v1/videos", {"prompt": "x", **QUICK})["id"]
    wait_in(browser, clip)
    assert "upscaler" not in [model["id"] for model in browser.json("GET", "/v1/models")["data"]]
    browser.json("POST", "/v1/videos", {"prompt": "x", "model": "upscaler"}, status=400)
    for factor, size in ((2, 256), (3, 384)):
        made = browser.json("POST", "/prax/v1/videos/upscale", {"video": clip, "factor": factor})
        assert made["upscaled_by"] == "model" and made["model"] == "upscaler"
        wait_in(browser, made["id"])
        film = Film(browser, made["id"])
        assert film.size == (size, size) and len(film.shades) == FRAMES and film.fps == FPS
    cut = browser.json("POST", "/prax/v1/videos/cut", {"parts": [{"video": clip, "end": 1}]})["id"]
    wait_in(browser, cut)
    made = browser.json("POST", "/prax/v1/videos/upscale", {"video": cut})
    assert made["upscaled_by"] == "resize", "the upsampler takes whole groups of frames alone"
    assert server.stop() == 0


def test_blend_by_the_model(browser, clips):
    first, second = clips
    made = browser.json("POST", "/prax/v1/videos/blend", {"first": first, "second": second, "seconds": 0.7, **QUICK})
    assert made["kind"] == "blend" and made["joined_by"] == "conditions" and made["model"] == "nano"
    done = wait_in(browser, made["id"])
    blended = Film(browser, made["id"])
    frames = len(blended.shades)
    assert blended.size == (128, 128) and frames > 2 * FRAMES and frames == round(float(done["seconds"]) * FPS) + 1
    assert abs(blended.shades[0] - Film(browser, first).shades[0]) < 3
    assert abs(blended.shades[-1] - Film(browser, second).shades[-1]) < 3


def test_blend_of_what_no_model_made(browser, clips):
    joined = browser.json("POST", "/prax/v1/videos/cut", {"parts": [{"video": clips[0]}]})["id"]
    wait_in(browser, joined)
    made = browser.json("POST", "/prax/v1/videos/blend", {"first": joined, "second": clips[1], "seconds": 0.5})
    assert made["joined_by"] == "crossfade" and made["num_frames"] == 2 * FRAMES - 6
    wait_in(browser, made["id"])


def test_extend_before(browser, clips):
    body = {"video": {"id": clips[0]}, "prompt": "before the night", "seconds": 1, "direction": "before", **QUICK}
    made = browser.json("POST", "/v1/videos/extensions", body)
    assert made["kind"] == "extension" and float(made["seconds"]) > 2
    done = wait_in(browser, made["id"])
    assert done["seconds"] == made["seconds"]
    longer, clip = Film(browser, made["id"]).shades, Film(browser, clips[0]).shades
    assert len(longer) == round(float(done["seconds"]) * FPS) + 1
    assert all(abs(a - b) < 3 for a, b in zip(longer[-(FRAMES - 9):], clip[9:])), "the clip is not at its end"
    browser.json("POST", "/v1/videos/extensions", {**body, "direction": "up"}, status=400)


def joints(browser, cards, **more):
    """A storyboard of these cards: what was answered, and how each card is joined."""
    made = browser.json("POST", "/prax/v1/storyboards", {"model": "nano", "seed": 40, "cards": cards, **QUICK, **more})
    return made, [card["joined_by"] for card in made["cards"]]


def picture_url():
    return "data:image/png;base64," + base64.b64encode(png()).decode()


def test_storyboard(browser, clips):
    made, how = joints(browser, title="A day", cards=[
        {"prompt": "dawn", "seconds": 1}, {"prompt": "noon", "seconds": 1},
        {"image": picture_url(), "prompt": "a picture", "seconds": 1}, {"video": clips[1], "seconds": 1},
        {"prompt": "dusk", "seconds": 1, "join": "cut"}, {"image": picture_url(), "seconds": 1, "join": "cut"}])
    assert made["id"].startswith("storyboard_")
    assert how == [None, "extension", "conditions", "conditions", "cut", "cut"]
    assert [card["video"]["seed"] for card in made["cards"]][:2] == [40, 41]
    whole, cards = made["video"], [card["video"] for card in made["cards"]]
    assert [card["kind"] for card in cards] == ["create", "extension", "extension", "blend", "create", "create"]
    assert whole["kind"] == "storyboard" and whole["title"] == "A day" and "noon" in whole["prompt"]
    assert whole["status"] == "queued" and len(whole["waits_for"]) == 3
    assert cards[1]["waits_for"] == [cards[0]["id"]] and cards[3]["waits_for"] == [cards[2]["id"]]
    done = wait_in(browser, whole["id"])
    assert done["seconds"] == whole["seconds"]
    film = Film(browser, whole["id"])
    assert len(film.shades) == round(float(done["seconds"]) * FPS) + 1
    # The clip's first second is there as it was; what leads over to it fades into its first nine frames.
    leads = Film(browser, cards[3]["id"]).shades
    assert len(leads) == round(float(cards[3]["seconds"]) * FPS) + 1
    assert all(abs(a - b) < 3 for a, b in zip(leads[-3:], Film(browser, clips[1]).shades[9:12]))
    # The record of the whole says how each card was joined.
    record = [{"video": card["id"], "joined_by": join} for card, join in zip(cards, how)]
    assert done["cards"] == record and cards[0]["cards"] is None
    family = browser.json("GET", f"/prax/v1/videos/{whole['id']}/family")
    kinds = {(edge["from"], edge["to"]): edge["kind"] for edge in family["edges"]}
    assert kinds[cards[0]["id"], cards[1]["id"]] == "extension" and kinds[clips[1], cards[3]["id"]] == "blend"
    assert all(kinds[card["id"], whole["id"]] == "storyboard" for card in cards)
    proof = browser.json("GET", f"/prax/v1/videos/{whole['id']}/provenance")
    assert all(len(entry["sha256"]) == 64 for entry in proof["inputs"])
    assert [card.get("joined_by") for card in proof["settings"]["cards"]] == how
    assert b'joined_by' in browser.send("GET", f"/v1/videos/{whole['id']}/content")[2], "the file does not say it"


def test_a_storyboard_leads_over_to_a_picture(browser, clips):
    """The picture is a condition inside of the extension, a group of frames behind those that are repeated."""
    shown = "data:image/png;base64," + base64.b64encode(png(128, 128, 255)).decode()
    words = {"prompt": "a dark night", "seconds": 1.33}
    made, how = joints(browser, [{"video": clips[0]}, {**words, "image": shown}], steps=8)
    plain, _ = joints(browser, [{"video": clips[0]}, words], steps=8)
    assert how == [None, "conditions"]
    shots = [board["cards"][1]["video"]["id"] for board in (made, plain)]
    for shot in shots:
        wait_in(browser, shot)
    films = [Film(browser, shot).shades for shot in shots]
    assert len(films[0]) == FRAMES + 16, "a shot of 1.33 seconds"
    differ = [abs(a - b) for a, b in zip(*films)]
    assert max(differ[:FRAMES - 9]) < 1 and films[0][-8:] != films[1][-8:], "the picture changes nothing"
    proof = browser.json("GET", f"/prax/v1/videos/{shots[0]}/provenance")
    assert proof["settings"]["conditions"] == [{"input": "input_reference", "frame": 17, "strength": 1.0}]
    assert [entry["media_type"] for entry in proof["inputs"]] == ["video/mp4", "image/png"]


def test_a_storyboard_goes_on_from_part_of_a_clip(browser, clips):
    made, how = joints(browser, [{"video": clips[0], "seconds": 1}, {"prompt": "and then", "seconds": 0.6}])
    assert how == [None, "extension"]
    shot = made["cards"][1]["video"]
    wait_in(browser, made["video"]["id"])
    shades, clip = Film(browser, shot["id"]).shades, Film(browser, clips[0]).shades
    assert len(shades) == 12 + 8 and all(abs(a - b) < 3 for a, b in zip(shades[:3], clip[:3]))


def test_a_storyboard_cuts_where_the_model_joins_nothing(tmp_path, serve):
    tiny = pathlib.Path(__file__).parents[1] / "data/cases/cogvideox_5b_i2v/checkpoint"
    browser = Browser(serve(tmp_path / "data", "--model", f"tiny={tiny}", "--no-keys", "--workers", "0"))
    able = next(model for model in browser.json("GET", "/prax/v1/models")["data"] if model["id"] == "tiny")
    assert not able["can"]["extend"] and able["most_new_frames"] == 0
    card = {"image": picture_url(), "prompt": "x", "seconds": 1}
    made = browser.json("POST", "/prax/v1/storyboards", {"model": "tiny", "cards": [card, card]})
    assert [card["joined_by"] for card in made["cards"]] == [None, "cut"]


def test_a_storyboard_fails_with_its_card(idle_server):
    browser = Browser(idle_server)
    browser.sign_in()
    made = browser.json("POST", "/prax/v1/storyboards",
                        {"cards": [{"prompt": "one", "seconds": 1}, {"prompt": "two", "seconds": 1}]})
    first, second = (card["video"]["id"] for card in made["cards"])
    browser.json("POST", f"/prax/v1/videos/{first}/cancel")
    for waiting in (second, made["video"]["id"]):
        ended = browser.json("GET", "/v1/videos/" + waiting)
        assert ended["status"] == "failed" and ended["error"]["code"] == "source_failed"


def test_storyboards_are_made_once(idle_server):
    browser = Browser(idle_server)
    browser.sign_in()
    total = lambda: browser.json("GET", "/prax/v1/library")["total"]
    picture = "data:image/png;base64," + base64.b64encode(png()).decode()
    body = {"cards": [{"prompt": "one", "seconds": 1}, {"prompt": "two", "seconds": 1},
                      {"image": picture, "seconds": 1}]}
    before = total()
    make = lambda body, **more: browser.json("POST", "/prax/v1/storyboards", body, Idempotency_Key="a board", **more)
    first = make(body)
    assert total() == before + 4
    stored = sorted((idle_server.data / "storage/inputs").iterdir())
    again = make(body)
    assert again == first and total() == before + 4
    assert sorted((idle_server.data / "storage/inputs").iterdir()) == stored, "a picture was left behind"
    assert make({**body, "title": "x"}, status=409)["error"]["code"] == "idempotency_mismatch"
    # As the videos are now, one of which is gone.
    ids = [card["video"]["id"] for card in first["cards"]]
    browser.json("DELETE", "/v1/videos/" + ids[2])
    cards = make(body)["cards"]
    assert [card["video"]["id"] for card in cards] == ids and cards[2]["video"]["deleted"]
    assert [card["joined_by"] for card in cards] == [None, "extension", "conditions"]
    assert browser.json("POST", "/prax/v1/storyboards", body)["id"] != first["id"]


def test_a_refused_storyboard_leaves_nothing(idle_server):
    browser = Browser(idle_server)
    browser.json("POST", "/prax/v1/session", {"key": idle_server.key("narrow", "--max-queued", "2")["key"]})
    body = {"cards": [{"prompt": "one", "seconds": 1}, {"prompt": "two", "seconds": 1}]}
    browser.json("POST", "/prax/v1/storyboards", body, status=429)
    assert browser.json("GET", "/prax/v1/library")["total"] == 0


def test_storyboards_that_cannot_be(idle_server):
    browser = Browser(idle_server)
    browser.sign_in()
    before = browser.json("GET", "/prax/v1/library")["total"]
    for body, param in (({"cards": []}, "cards"), ({"cards": [{"seconds": 1}]}, "cards[0].prompt"),
                        ({"cards": [{"prompt": "x"}]}, "cards[0].seconds"),
                        ({"cards": [{"prompt": "x", "seconds": 1, "join": "glue"}]}, "cards[0].join"),
                        ({"cards": [{"image": "data:,x", "seconds": 1}]}, "cards[0].image"),
                        ({"cards": [{"prompt": "x", "seconds": 1}] * 33}, "cards")):
        assert browser.json("POST", "/prax/v1/storyboards", body, status=400)["error"]["param"] == param
    assert browser.json("GET", "/prax/v1/library")["total"] == before, "half a storyboard was left behind"
