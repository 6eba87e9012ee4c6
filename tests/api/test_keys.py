"""The routes of keys, as an operator's own tools use them."""

import openai
import pytest


@pytest.fixture
def house(tmp_path, serve):
    return serve(tmp_path / "data", "--workers", "0")


def admin(house):
    made = house.key("admin", "--scopes", "create,read,delete,admin")
    return made, house.client(made["key"], max_retries=0)


def own(house, path):
    return f"{house.url}/prax/v1/{path}"


def test_all_keys_are_revoked(house):
    _, operator = admin(house)
    user = house.client(house.key("user")["key"], max_retries=0)
    video = user.videos.create(prompt="x")
    with pytest.raises(openai.PermissionDeniedError):
        user.post(own(house, "keys/revoke_all"), cast_to=object)
    with pytest.raises(openai.BadRequestError):
        operator.post(own(house, "keys/revoke_all?cancel_jobs=perhaps"), cast_to=object)
    answer = operator.post(own(house, "keys/revoke_all?cancel_jobs=true"), cast_to=object)
    # The studio's key is one of them.
    assert answer == {"object": "prax.keys.revoked", "revoked": 3, "cancelled_jobs": 1}
    for client in (operator, user):
        until_refused(client)
    _, operator = admin(house)
    keys = operator.get(own(house, "keys"), cast_to=object)["data"]
    assert [key["name"] for key in keys if not key["revoked_at"]] == ["admin"] and len(keys) == 4
    entries = operator.get(own(house, "audit?limit=1000"), cast_to=object)["data"]
    assert {"job.cancelled", "key.revoked"} <= {entry["action"] for entry in entries if entry["subject"] == video.id or
                                                entry["details"].get("all")}


def test_all_but_ones_own(house):
    mine, operator = admin(house)
    other = house.client(house.key("other")["key"], max_retries=0)
    mine_waits = operator.videos.create(prompt="x")
    answer = operator.post(own(house, "keys/revoke_all?keep_own=true&cancel_jobs=true"), cast_to=object)
    assert answer["revoked"] == 2 and answer["cancelled_jobs"] == 0
    until_refused(other)
    assert operator.videos.retrieve(mine_waits.id).status == "queued"
    keys = operator.get(own(house, "keys"), cast_to=object)["data"]
    assert [key["id"] for key in keys if not key["revoked_at"]] == [mine["id"]]


def until_refused(client):
    import time
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        try:
            client.videos.list()
        except openai.AuthenticationError:
            return
        time.sleep(0.05)
    raise AssertionError("the key is still accepted")


def test_usage_is_told_as_documented(house):
    mine, operator = admin(house)
    operator.videos.create(prompt="x")
    document = operator.get(house.url + "/openapi.json", cast_to=object)
    schemas = document["components"]["schemas"]
    usage = schemas["Key"]["properties"]["usage"]
    one = operator.get(own(house, f"keys/{mine['id']}"), cast_to=object)
    listed = next(key for key in operator.get(own(house, "keys"), cast_to=object)["data"] if key["id"] == mine["id"])
    for key in (one, listed):
        assert set(usage["required"]) == set(usage["properties"]) == set(key["usage"])
        assert set(schemas["Key"]["required"]) == set(key) and key["usage"]["seconds_today"] > 0
        assert set(schemas["Key"]["properties"]["limits"]["required"]) == set(key["limits"])
    path = document["paths"]["/prax/v1/keys/revoke_all"]["post"]
    assert {parameter["name"] for parameter in path["parameters"]} == {"cancel_jobs", "keep_own"}
