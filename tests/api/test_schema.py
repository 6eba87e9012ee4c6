"""The OpenAPI document is true: schemathesis asks what it allows and what it forbids. PRAX_SCHEMA_EXAMPLES says how many
questions each operation gets (a few by default; 60 make several thousand requests)."""

import os
import pathlib
import subprocess
import sys

from conftest import Server


# A form knows only texts: a number that a name became is a name.
CONFIG = """
[[operations]]
include-path = "/v1/videos/characters"
checks.negative_data_rejection.enabled = false
"""


def test_the_document_is_true(tmp_path):
    server = Server(tmp_path / "data", "--workers", "0", "--max-queued", "1000000")
    key = server.key("schema", "--scopes", "create,read,delete,admin")["key"]
    examples = os.environ.get("PRAX_SCHEMA_EXAMPLES", "4")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    run = subprocess.run(
        [pathlib.Path(sys.executable).with_name("schemathesis"), "run", server.url + "/openapi.json",
         "--header", "Authorization: Bearer " + key, "--max-examples", examples, "--seed", "1",
         # Streams of events do not end, and the key must outlive the run.
         "--exclude-path-regex", "/events$|/keys/",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
                     "negative_data_rejection,unsupported_method",
         "--phases", "examples,coverage,fuzzing", "--request-timeout", "20", "--suppress-health-check", "all"],
        capture_output=True, text=True, cwd=tmp_path)
    print(run.stdout[-6000:])
    assert server.stop() == 0
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
