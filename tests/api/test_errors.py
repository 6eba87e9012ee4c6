"""What goes wrong arrives as the SDK's exception classes, with the field that is wrong."""

import time

import openai
import pytest
from conftest import png


@pytest.mark.parametrize("fields,param", [
    ({"prompt": ""}, "prompt"), ({"prompt": "x" * 32001}, "prompt"), ({"size": "12"}, "size"),
    ({"size": "0x0"}, "size"), ({"seconds": "-1"}, "seconds"), ({"seconds": "soon"}, "seconds"),
    ({"model": "sora-3"}, "model"), ({"model": "nano", "size": "100x100"}, "size"),
    ({"input_reference": ("a.png", b"no picture", "image/png")}, "input_reference"),
    ({"input_reference": ("a.png", png()[:60], "image/png")}, "input_reference"),
    ({"extra_body": {"stesp": 3}}, "stesp"), ({"extra_body": {"steps": "many"}}, "steps"),
    ({"extra_body": {"loras": [{"id": "none"}]}}, "loras[0]"), ({"extra_body": {"seed": -1}}, "seed"),
    ({"extra_body": {"webhook_url": "http://127.0.0.1/"}}, "webhook_url"),
    ({"extra_body": {"input_reference": {"image_url": "https://127.0.0.1/a.png"}}}, "input_reference"),
    ({"extra_body": {"input_reference": {"image_url": "file:///etc/passwd"}}}, "input_reference"),
    ({"extra_body": {"input_reference": {"file_id": "file_1"}}}, "input_reference.file_id"),
])
def test_bad_fields(idle_client, fields, param):
    with pytest.raises(openai.BadRequestError) as error:
        idle_client.videos.create(**{"prompt": "x", **fields})
    assert error.value.param == param
    assert error.value.type == "invalid_request_error" and error.value.code
    assert error.value.request_id.startswith("req_")


def test_misspelt_field_is_suggested(idle_client):
    with pytest.raises(openai.BadRequestError, match="did you mean 'steps'"):
        idle_client.videos.create(prompt="x", extra_body={"stesp": 3})


@pytest.mark.parametrize("secret", ["sk-other", "prax-" + "A" * 49])
def test_unknown_key(idle_server, secret):
    client = idle_server.client("x", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as error:
        client.videos.list(extra_headers={"Authorization": f"Bearer {secret}".encode("utf-8")})
    assert error.value.code == "invalid_api_key"


def test_revoked_key(server, client):
    made = server.key("leaked")
    leaked = server.client(made["key"], max_retries=0)
    leaked.videos.list()
    client.delete(f"{server.url}/prax/v1/keys/{made['id']}", cast_to=object)
    time.sleep(1)
    with pytest.raises(openai.AuthenticationError):
        leaked.videos.list()


def test_scope_and_model(idle_server):
    reader = idle_server.client(idle_server.key("reader", "--scopes", "read")["key"], max_retries=0)
    reader.videos.list()
    with pytest.raises(openai.PermissionDeniedError) as error:
        reader.videos.create(prompt="x")
    assert error.value.code == "insufficient_scope"


def test_rate_limit(idle_server):
    client = idle_server.client(idle_server.key("slow", "--rate", "3")["key"], max_retries=0)
    for left in (2, 1, 0):
        assert int(client.videos.with_raw_response.list().headers["x-ratelimit-remaining-requests"]) == left
    with pytest.raises(openai.RateLimitError) as error:
        client.videos.list()
    assert 1 <= int(error.value.response.headers["retry-after"]) <= 60


def test_retries_after_a_rate_limit(idle_server):
    key = idle_server.key("patient", "--rate", "60")["key"]
    client = idle_server.client(key, max_retries=4)
    for _ in range(62):  # the last ones wait for a token
        client.videos.list()


def test_queue_limit_and_quota(idle_server):
    client = idle_server.client(idle_server.key("short", "--max-queued", "1")["key"], max_retries=0)
    client.videos.create(prompt="x")
    with pytest.raises(openai.RateLimitError):
        client.videos.create(prompt="x")
    client = idle_server.client(idle_server.key("poor", "--daily-seconds", "3")["key"], max_retries=0)
    client.videos.create(prompt="x")
    with pytest.raises(openai.RateLimitError) as error:
        client.videos.create(prompt="x")
    assert error.value.code == "insufficient_quota"
    assert error.value.response.headers["x-should-retry"] == "false"


def test_not_ready(idle_client):
    made = idle_client.videos.create(prompt="x")
    with pytest.raises(openai.NotFoundError) as error:
        idle_client.videos.download_content(made.id)
    assert error.value.code == "video_not_ready"
    with pytest.raises(openai.BadRequestError):
        idle_client.videos.remix(made.id, prompt="y")


@pytest.mark.parametrize("video_id", ["video_none", "..", "%2e%2e%2fetc%2fpasswd", "a/b", "x" * 3000])
def test_odd_ids(idle_client, video_id):
    with pytest.raises(openai.NotFoundError):
        idle_client.get(f"/videos/{video_id}", cast_to=object)


def test_unknown_address_and_method(idle_client):
    with pytest.raises(openai.NotFoundError) as error:
        idle_client.get("/images", cast_to=object)
    assert error.value.code == "unknown_url"
    with pytest.raises(openai.APIStatusError) as error:
        idle_client.put("/videos", cast_to=object)
    assert error.value.status_code == 405 and "POST" in error.value.response.headers["allow"]


def test_media_type(idle_client):
    with pytest.raises(openai.APIStatusError) as error:
        idle_client.post("/videos", content=b"prompt", cast_to=object, options={"headers": {"Content-Type": "text/plain"}})
    assert error.value.status_code == 415
