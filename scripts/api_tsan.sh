#!/usr/bin/env bash
# Runs the server's tests against a program that was built with ThreadSanitizer, and shows what it found in the server, its
# workers and all else that they started. usage: scripts/api_tsan.sh PRAX_BINARY [PYTEST OPTIONS...]
set -euo pipefail
cd "$(dirname "$0")/.."

reports=build/tsan/reports
rm -rf "$reports"
mkdir -p "$reports"
# Debian's libraries are not built with it: what they do among themselves is theirs.
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:second_deadlock_stack=1:log_path=$PWD/$reports/race"
export PRAX_PATIENCE=${PRAX_PATIENCE:-6}
binary=$1
shift
status=0
# Without the loops of kills, whose leases of a second are shorter than some of its pauses, and without what measures
# memory.
scripts/api_tests.sh "$binary" -k "not lose_nothing and not loses_nothing and not many_event_streams" "$@" || status=$?
if compgen -G "$reports/*" >/dev/null; then
  cat "$reports"/*
  exit 1
fi
exit "$status"
