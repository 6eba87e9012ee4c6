#!/usr/bin/env bash
# Runs the tests of S3 storage against moto's server (PyPI), which it installs into a folder of its own.
# usage: scripts/s3_test.sh [BUILD FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}

folder=$(mktemp -d)
server=
stop() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap stop EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install 'moto[s3,server]==5.*'
port=$((20000 + RANDOM % 20000))
"$folder/venv/bin/moto_server" -H 127.0.0.1 -p "$port" >"$folder/log" 2>&1 &
server=$!
for _ in {1..100}; do
  if curl --silent --fail -X PUT "http://127.0.0.1:$port/prax-test" >/dev/null; then
    PRAX_TEST_S3=http://127.0.0.1:$port "$build/tests/test_jobs" --gtest_filter='S3Storage*:Worker*S3*'
    exit
  fi
  sleep 0.2
done
echo "moto's server did not start:" >&2
cat "$folder/log" >&2
exit 1
