#!/usr/bin/env bash
# Installs the packages of npm that the studio is built and tested with, as its lock file says, under studio/node_modules.
set -euo pipefail
cd "$(dirname "$0")/../studio"

stamp=node_modules/.lock
if ! cmp -s package-lock.json "$stamp"; then
  # No package needs a script of its own to be run.
  npm ci --loglevel=error --ignore-scripts
  cp package-lock.json "$stamp"
fi
