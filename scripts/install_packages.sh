#!/usr/bin/env bash
# Installs the Debian packages listed in the given files that are not there yet.
# usage: scripts/install_packages.sh LIST...
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/duration.sh

mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@")

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "==> this is not Debian: install the counterparts of $* yourself; configuring will name what is missing"
  exit 0
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $status == ?i* ]] || missing+=("$package")
done
if ((${#missing[@]} == 0)); then
  echo "==> all ${#wanted[@]} packages are there"
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if ! command -v sudo >/dev/null; then
    {
      echo "!!! ${#missing[@]} packages are missing, and there is no sudo to install them with."
      echo "    Run this as root, then make again:"
      echo "    apt-get install --no-install-recommends ${missing[*]}"
    } >&2
    exit 1
  fi
  as_root=(sudo)
fi

log=build/logs/packages.log
mkdir -p "$(dirname "$log")"
echo "==> installing ${#missing[@]} packages: ${missing[*]}"
start=$SECONDS
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300)
# A list that cannot be refreshed is no reason to stop: the packages may still be found.
"${apt[@]}" update >"$log" 2>&1 || true
if ! "${apt[@]}" install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
  {
    echo "!!! the packages could not be installed. The log ($log) ends:"
    tail -n 20 "$log"
  } >&2
  exit 1
fi
echo "    done in $(duration $((SECONDS - start)))"
