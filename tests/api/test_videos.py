"""Every method of the official SDK, as code written for OpenAI calls it."""

import io

import openai
import pytest
from conftest import png, wait
from openai import omit
from openai.types import Video

QUICK = {"steps": 1}


def test_create_and_poll_and_download(client):
    video = client.videos.create_and_poll(model="sora-2", prompt="a boat on a lake", size="1280x720", seconds="4",
                                          extra_body=QUICK)
    assert video.status == "completed" and video.progress == 100 and video.error is None
    assert video.object == "video" and video.model == "nano" and video.requested_model == "sora-2"
    assert video.completed_at >= video.created_at
    width, height = map(int, video.size.split("x"))
    assert width > height and float(video.seconds) > 0
    assert video.inference_time_s > 0 and video.peak_memory_mb > 0


def test_create_answers_at_once(idle_client):
    raw = idle_client.videos.with_raw_response.create(prompt="x")
    video = raw.parse()
    assert video.status == "queued" and video.progress == 0
    assert raw.elapsed.total_seconds() < 1
    assert 500 <= int(raw.headers["openai-poll-after-ms"]) <= 10000
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.http_response.headers["openai-processing-ms"].isdigit()


@pytest.mark.parametrize("variant,kind,magic", [("video", "video/mp4", b"ftyp"), ("thumbnail", "image/webp", b"WEBP"),
                                                 ("spritesheet", "image/jpeg", b"\xff\xd8\xff")])
def test_variants(client, finished, variant, kind, magic):
    content = client.videos.download_content(finished.id, variant=variant)
    assert content.response.headers["content-type"] == kind
    assert magic in content.read()[:16]


def test_streaming_download(client, finished, tmp_path):
    whole = client.videos.download_content(finished.id).read()
    with client.videos.with_streaming_response.download_content(finished.id) as response:
        response.stream_to_file(tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == whole


def test_extensions_are_echoed_and_reproducible(client, finished):
    again = client.videos.create(prompt=finished.prompt, extra_body={"steps": 2, "seed": 7})
    assert again.seed == 7 and again.steps == 2
    again = wait(client, again.id)
    assert client.videos.download_content(again.id).read() == client.videos.download_content(finished.id).read()


def test_input_reference(client):
    video = client.videos.create(prompt="x", input_reference=("a.png", png(), "image/png"), extra_body=QUICK)
    untyped = client.videos.create(prompt="x", input_reference=io.BytesIO(png()), extra_body=QUICK)
    for made in (video, untyped):
        wait(client, made.id)


def test_input_reference_by_data_url(client):
    import base64
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    made = client.post("/videos", body={"prompt": "x", "input_reference": {"image_url": url}, **QUICK}, cast_to=Video)
    wait(client, made.id)


def test_remix(client, finished):
    remix = client.videos.remix(finished.id, prompt="now at night", extra_body=QUICK)
    assert remix.remixed_from_video_id == finished.id and remix.size == finished.size
    wait(client, remix.id)


def test_edit_by_id_by_json_and_by_upload(client, finished):
    clip = client.videos.download_content(finished.id).read()
    made = [client.videos.edit(prompt="snow", video=omit, extra_body={"video": {"id": finished.id}, **QUICK}),
            client.post("/videos/edits", body={"prompt": "snow", "video": {"id": finished.id}, **QUICK}, cast_to=Video),
            client.videos.edit(prompt="snow", video=io.BytesIO(clip), extra_body=QUICK)]
    for video in made:
        assert video.remixed_from_video_id is None
        wait(client, video.id)


def test_extend(client, finished):
    longer = client.videos.extend(prompt="it flies on", seconds="4", video=omit,
                                  extra_body={"video": {"id": finished.id}, **QUICK})
    assert float(longer.seconds) > float(finished.seconds)
    longer = wait(client, longer.id)
    assert float(longer.seconds) > float(finished.seconds)


def test_characters(client, finished):
    clip = client.videos.download_content(finished.id).read()
    character = client.videos.create_character(name="Ballon rouge 🎈", video=io.BytesIO(clip))
    assert client.videos.get_character(character.id).name == "Ballon rouge 🎈"
    made = client.videos.create(prompt="x", extra_body={"character": character.id, **QUICK})
    assert made.characters == [{"id": character.id, "name": "Ballon rouge 🎈"}]
    wait(client, made.id)
    with pytest.raises(openai.NotFoundError):
        client.videos.get_character("char_none")


def test_shots_conditions_and_loop(client):
    import base64
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    for extra in ({"shots": [{"prompt": "a sea", "seconds": 1}, {"prompt": "a hill", "seconds": 2}]},
                  {"conditions": [{"image_url": url, "frame": 8, "strength": 0.9}]}, {"loop": True}):
        made = client.post("/videos", body={"prompt": "x", **extra, "steps": 2}, cast_to=Video)
        wait(client, made.id)


def test_list_pages(idle_server):
    client = idle_server.client(idle_server.key("pages")["key"])
    made = [client.videos.create(prompt=str(i)).id for i in range(7)]
    assert [v.id for v in client.videos.list(limit=3)] == made[::-1]
    assert [v.id for v in client.videos.list(limit=2, order="asc")] == made
    page = client.videos.list(limit=3, after=made[4])
    assert [v.id for v in page.data] == [made[3], made[2], made[1]] and page.has_more is True
    assert page.last_id == made[1]
    with pytest.raises(openai.BadRequestError) as error:
        client.videos.list(after="video_none")
    assert error.value.param == "after"


def test_others_see_nothing(server, client, finished):
    other = server.client(server.key("other")["key"])
    assert other.videos.list().data == []
    for call in (other.videos.retrieve, other.videos.delete, other.videos.download_content):
        with pytest.raises(openai.NotFoundError):
            call(finished.id)


def test_delete(client):
    made = client.videos.create(prompt="x", extra_body=QUICK)
    deleted = client.videos.delete(made.id)
    assert deleted.deleted and deleted.id == made.id and deleted.object == "video.deleted"
    for call in (client.videos.delete, client.videos.retrieve):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


def test_models(client):
    names = [m.id for m in client.models.list()]
    assert "nano" in names and "sora-2" in names
    assert client.models.retrieve("sora-2").resolves_to == "nano"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_idempotency_key(idle_client):
    send = lambda prompt: idle_client.videos.create(prompt=prompt, extra_headers={"Idempotency-Key": "one"})
    assert send("x").id == send("x").id
    with pytest.raises(openai.ConflictError):
        send("another")


def test_async_client(server, key):
    import asyncio

    async def run():
        async with openai.AsyncOpenAI(api_key=key, base_url=server.url + "/v1") as client:
            made = await client.videos.create(prompt="x", extra_body=QUICK)
            return await client.videos.poll(made.id)
    assert asyncio.run(run()).status == "completed"
