#!/usr/bin/env bash
# Runs the tests of a preset: their output goes to a log, ctest's own summary to the terminal.
# usage: scripts/test.sh PRESET JOBS [CTEST OPTIONS...]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/duration.sh

preset=$1 jobs=$2
shift 2
log=build/logs/test-$preset.log
mkdir -p "$(dirname "$log")"
echo "==> running the tests ($preset)"
start=$SECONDS
ctest --preset "$preset" -j "$jobs" "$@" >"$log" 2>&1 </dev/null
status=$?
if ((status != 0)); then
  {
    echo "!!! the tests ($preset) failed. The log ($log) ends:"
    tail -n 80 "$log"
    echo "!!! what failed, by the names that ctest, pytest and Playwright give it:"
    grep -E '^ +[✘×] |^FAILED |\[  FAILED  \]|^ +[0-9]+ - .*\((Failed|Timeout|SEGFAULT|Subprocess aborted)\)' "$log" | cut -c 1-200 | tail -n 12
  } >&2
  exit "$status"
fi
echo "    done in $(duration $((SECONDS - start)))"
sed -n '/% tests passed/,$p' "$log"
