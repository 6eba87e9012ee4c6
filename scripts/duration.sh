# shellcheck shell=bash
# Sourced by the other scripts: duration SECONDS prints "41 s" or "3 min 41 s".
duration() {
  if (($1 < 60)); then
    echo "$1 s"
  else
    echo "$(($1 / 60)) min $(($1 % 60)) s"
  fi
}
