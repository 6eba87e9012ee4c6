"""Characters: kept under a name, named in prompts or listed by id, and then to be seen in the video."""

import base64
import io

import av
import openai
import pytest
from conftest import png, wait
from openai.types import Video
from test_cuts import Film

QUICK = {"steps": 1}


def clip(shade, frames=6):
    """An MP4 of one grey."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=12)
        stream.width = stream.height = 64
        for _ in range(frames):
            frame = av.VideoFrame(64, 64, "gray")
            frame.planes[0].update(bytes([shade]) * (frame.planes[0].line_size * 64))
            container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    return target.getvalue()


@pytest.fixture(scope="module")
def owner(server):
    """A key with two characters, one dark and one bright."""
    client = server.client(server.key("owner")["key"], max_retries=0)
    client.server = server
    client.dark = client.videos.create_character(name="Mossy", video=io.BytesIO(clip(40))).id
    client.bright = client.videos.create_character(name="Old Lamp", video=io.BytesIO(clip(220))).id
    return client


@pytest.fixture
def shades(owner):
    class Reader:  # as Film needs it
        @staticmethod
        def send(_, path):
            return 200, None, owner.videos.download_content(path.split("/")[3]).read()

    def of(video):
        wait(owner, video.id)
        return Film(Reader, video.id).shades
    return of


def shown(video):
    return [character["name"] for character in video.characters]


def test_a_name_in_the_prompt(owner, shades):
    video = owner.videos.create(prompt="Mossy crosses the street", extra_body=QUICK)
    assert video.characters == [{"id": owner.dark, "name": "Mossy"}]
    assert shades(video)[0] < 70
    video = owner.videos.create(prompt="a street at night, then @Old Lamp", extra_body=QUICK)
    assert shown(video) == ["Old Lamp"] and shades(video)[0] > 185
    assert shown(owner.videos.create(prompt=f"@{owner.bright} glows", extra_body=QUICK)) == ["Old Lamp"]
    assert shown(owner.videos.create(prompt="a mossy wall, an old lamp", extra_body=QUICK)) == []
    assert shown(owner.post("/videos", body={"prompt": "Mossy", "characters": [], **QUICK}, cast_to=Video)) == []


def test_two_characters_open_and_end_the_video(owner, shades):
    for prompt, extra in (("Old Lamp lights up for Mossy", {}),
                          ("x", {"characters": [{"id": owner.bright}, {"id": owner.dark}]}),
                          ("x", {"characters": [owner.bright, owner.dark]})):
        video = owner.videos.create(prompt=prompt, extra_body={**extra, **QUICK})
        assert shown(video) == ["Old Lamp", "Mossy"]
        seen = shades(video)
        assert seen[0] > 185 and seen[-1] < seen[0] - 60, seen
    # The other way round, in JSON.
    body = {"prompt": "x", "characters": [{"id": owner.dark}, owner.bright], **QUICK}
    video = owner.post("/videos", body=body, cast_to=Video)
    seen = shades(video)
    assert shown(video) == ["Mossy", "Old Lamp"] and seen[0] < 70 and seen[-1] > seen[0] + 60, seen


def test_a_given_picture_comes_first(owner, shades):
    video = owner.videos.create(prompt="Mossy", input_reference=("a.png", png(shade=220), "image/png"), extra_body=QUICK)
    assert shown(video) == [], "the picture says what the video shows"
    video = owner.videos.create(prompt="x", input_reference=("a.png", png(shade=220), "image/png"),
                                extra_body={"characters": [owner.dark], **QUICK})
    seen = shades(video)
    assert seen[0] > 185 and seen[-1] < seen[0] - 60, seen


def test_characters_that_cannot_be(owner):
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    for fields, param in (({"characters": [owner.dark, owner.dark]}, "characters"), ({"characters": owner.dark}, "characters"),
                          ({"characters": [{"name": "Mossy"}]}, "characters[0].id"),
                          ({"characters": [owner.dark] * 5}, "characters"),
                          ({"characters": [owner.dark], "character": owner.dark}, None),
                          ({"characters": [owner.dark], "shots": [{"prompt": "x", "seconds": 1}]}, "characters")):
        with pytest.raises(openai.BadRequestError) as error:
            owner.post("/videos", body={"prompt": "x", **fields}, cast_to=Video)
        assert param is None or error.value.param == param, fields
    with pytest.raises(openai.NotFoundError):
        owner.post("/videos", body={"prompt": "x", "characters": ["char_none"]}, cast_to=Video)
    # Words are words where the request says itself what is to be seen.
    for fields in ({"conditions": [{"image_url": url}]}, {"loop": True}, {"shots": [{"prompt": "Mossy", "seconds": 1}]}):
        assert shown(owner.post("/videos", body={"prompt": "Mossy", **fields, **QUICK}, cast_to=Video)) == []


def test_others_have_other_characters(owner, server):
    other = server.client(server.key("stranger")["key"], max_retries=0)
    assert shown(other.videos.create(prompt="Mossy walks", extra_body=QUICK)) == []
    with pytest.raises(openai.NotFoundError):
        other.videos.create(prompt="x", extra_body={"characters": [owner.dark], **QUICK})
    with pytest.raises(openai.NotFoundError):
        other.delete(f"{server.url}/prax/v1/characters/{owner.dark}", cast_to=object)
    assert other.get(server.url + "/prax/v1/characters", cast_to=object)["data"] == []


def test_list_and_delete(server):
    client = server.client(server.key("keeper")["key"], max_retries=0)
    made = [client.videos.create_character(name=name, video=io.BytesIO(clip(90))).id for name in ("Ann", "Ann", "Bo")]
    listed = client.get(server.url + "/prax/v1/characters", cast_to=object)["data"]
    assert {character["id"] for character in listed} == set(made)
    video = client.videos.create(prompt="Ann and Bo", extra_body=QUICK)
    assert shown(video) == ["Ann", "Bo"] and video.characters[0]["id"] == listed[[c["name"] for c in listed].index("Ann")]["id"]
    for character in made:
        deleted = client.delete(f"{server.url}/prax/v1/characters/{character}", cast_to=object)
        assert deleted == {"id": character, "object": "prax.character.deleted", "deleted": True}
        assert not (server.data / "storage/inputs" / character).exists()
    with pytest.raises(openai.NotFoundError):
        client.videos.get_character(made[0])
    assert shown(client.videos.create(prompt="Ann and Bo", extra_body=QUICK)) == []
    assert shown(wait(client, video.id)) == ["Ann", "Bo"], "a video that waited kept what it needed"
