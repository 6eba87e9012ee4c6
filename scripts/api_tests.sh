#!/usr/bin/env bash
# Runs the tests of the server that speak to it as its users do: with the official Python and Node clients. What they need
# is installed under build/, nowhere else. usage: scripts/api_tests.sh PRAX_BINARY [PYTEST OPTIONS...]
set -euo pipefail
cd "$(dirname "$0")/.."

PRAX_BINARY=$(realpath "$1")
export PRAX_BINARY
shift
venv=build/api-venv
stamp=$venv/requirements.txt
if ! cmp -s tests/api/requirements.txt "$stamp"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/api/requirements.txt
  cp tests/api/requirements.txt "$stamp"
fi
"$venv/bin/python" -m pytest -q -p no:cacheprovider tests/api "$@"
