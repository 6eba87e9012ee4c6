#!/usr/bin/env bash
# Builds the studio into studio/dist where its sources changed since the last time. Node 18.19 or newer and npm must be
# there: `make studio` installs Debian's. Without them there is no studio, and the server says so. usage: scripts/build_studio.sh
set -euo pipefail
cd "$(dirname "$0")/../studio"

# What was built of the same sources is as good as new.
sources=$(find . \( -name node_modules -o -name dist -o -name tests \) -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
stamp=dist/.sources
if [[ -f dist/index.html && $(cat "$stamp" 2>/dev/null) == "$sources" ]]; then
  exit 0
fi
if ! command -v npm >/dev/null; then
  echo "no Node.js and npm: prax is complete without the studio; install them (18.19 or newer) and \`make studio\`" >&2
  exit 0
fi
../scripts/studio_packages.sh
npm run --silent check
npm run --silent build
echo "$sources" >"$stamp"
