#!/usr/bin/env bash
# Runs one step: says what it does, keeps long output in a log, shows the log's end on failure, and says how long it took.
# usage: scripts/step.sh TITLE LOG COMMAND...
#   LOG "-" leaves the command's output on the terminal.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/duration.sh

title=$1 log=$2
shift 2
echo "==> $title"
start=$SECONDS

if [[ $log == - ]]; then
  "$@"
  status=$?
else
  mkdir -p "$(dirname "$log")"
  : >"$log"
  ticker=
  if [[ -t 1 ]]; then  # on a terminal, the log's last line is shown while we wait
    while sleep 1; do printf '\r\033[K    %.100s' "$(tail -n 1 "$log")"; done &
    ticker=$!
    trap 'kill "$ticker" 2>/dev/null' EXIT
  fi
  "$@" >"$log" 2>&1 </dev/null
  status=$?
  if [[ -n $ticker ]]; then
    kill "$ticker" 2>/dev/null
    wait "$ticker" 2>/dev/null
    trap - EXIT
    printf '\r\033[K'
  fi
fi

took=$(duration $((SECONDS - start)))
if ((status != 0)); then
  {
    echo "!!! failed after $took (exit code $status): $title"
    if [[ $log != - ]]; then
      echo "    the log ($log) ends:"
      tail -n 40 "$log"
    fi
  } >&2
  exit "$status"
fi
echo "    done in $took"
