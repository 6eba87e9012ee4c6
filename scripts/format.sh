#!/usr/bin/env bash
# Formats every C++ file of the repository, or with --check only says which are not formatted.
# usage: scripts/format.sh [--check]
set -euo pipefail
cd "$(dirname "$0")/.."

folders=()
for folder in apps bench examples include src tests; do
  [[ -d $folder ]] && folders+=("$folder")
done
mapfile -d '' -t files < <(find "${folders[@]}" \( -name '*.cpp' -o -name '*.h' \) -print0 | sort -z)
((${#files[@]} > 0)) || exit 0
if [[ ${1:-} == --check ]]; then
  clang-format --dry-run --Werror "${files[@]}"
else
  clang-format -i "${files[@]}"
fi
