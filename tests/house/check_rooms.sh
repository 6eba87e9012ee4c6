#!/usr/bin/env bash
# Checks the rules of the house and names every line that breaks one:
#   - a source in src/<room> includes only headers of rooms that the room's CMake links reach; arrows point down only
#   - apps/<app> likewise, by its target_link_libraries
#   - intrinsics and oneDNN only in src/kernels, FFmpeg only in src/media
#   - no source over 800 lines, no header over 300; every room has a README.md; no notes about unfinished work
# usage: check_rooms.sh [REPOSITORY]
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

folders=()
for folder in src apps include; do
  [[ -d $folder ]] && folders+=("$folder")
done

# The links of each room, one line each: "tensor public base", "media private tensor". A private link is seen by the
# room itself but not by those who link it.
links() {
  local file room
  for file in src/*/CMakeLists.txt apps/*/CMakeLists.txt; do
    [[ -f $file ]] || continue
    room=$(basename "$(dirname "$file")")
    sed -e 's/#.*//' "$file" | tr '\n' ' ' | tr '()' '\n' | awk -v room="$room" -v file="$file" '
      # After the split at parentheses a call is two lines: "... command", "arguments".
      command == "prax_room" || command == "target_link_libraries" {
        how = "public"
        for (i = 1; i <= NF; ++i) {
          if ($i == "PRIVATE" || $i == "PRIVATE_LINKS") how = "private"
          if ($i == "PUBLIC" || $i == "INTERFACE" || $i == "LINKS") how = "public"
          if ($i ~ /^prax::/) print (file ~ /^apps/ ? "apps/" room : room), how, substr($i, 7)
        }
      }
      { command = $NF }'
  done
}

problems=0
report() {
  echo "$1"
  problems=$((problems + 1))
}

# 1. Who sees whom.
while IFS= read -r line; do report "$line"; done < <(
  find "${folders[@]}" \( -name '*.cpp' -o -name '*.h' \) -print0 | sort -z |
    xargs -0 -r grep -HnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]' |
    awk -v links="$(links)" -v rooms="$(for d in src/*/; do basename "$d"; done)" '
      function see(viewer, room,   i, n, parts) {
        if ((viewer, room) in seen) return
        seen[viewer, room] = 1
        n = split(public[room], parts, " ")
        for (i = 1; i <= n; ++i) see(viewer, parts[i])
      }
      BEGIN {
        n = split(rooms, list, "\n")
        for (i = 1; i <= n; ++i) is_room[list[i]] = 1
        n = split(links, lines, "\n")
        for (i = 1; i <= n; ++i) {
          if (split(lines[i], f, " ") != 3) continue
          viewers[f[1]] = 1
          direct[f[1]] = direct[f[1]] " " f[3]
          if (f[2] == "public") public[f[1]] = public[f[1]] " " f[3]
        }
        for (v in viewers) {
          n = split(direct[v], parts, " ")
          for (i = 1; i <= n; ++i) see(v, parts[i])
          if ((v, v) in seen) print "src/" v ": reaches itself through its links; arrows point down only"
        }
        owner["dnnl"] = "kernels"; owner["intrinsics"] = "kernels"; owner["FFmpeg"] = "media"
      }
      {
        match($0, /:[0-9]+:/)
        file = substr($0, 1, RSTART - 1)
        where = file substr($0, RSTART, RLENGTH - 1)
        header = substr($0, RSTART + RLENGTH)
        sub(/^[^<"]*[<"]/, "", header)
        sub(/[>"].*/, "", header)
        split(file, path, "/")
        me = path[1] == "src" ? path[2] : path[1] == "apps" ? "apps/" path[2] : ""

        library = ""
        if (header ~ /(^|\/)([a-z0-9]*intrin|cpuid|arm_neon|arm_sve)\.h$/) library = "intrinsics"
        else if (header ~ /^(oneapi\/)?dnnl/) library = "dnnl"
        else if (header ~ /^lib(av|sw)[a-z]+\//) library = "FFmpeg"
        if (library != "" && me != owner[library])
          print where ": " header ": " library " belongs in src/" owner[library] " only"

        if (header ~ /(^|\/)\.\.\//)
          print where ": " header ": write the path from src/, not from here"
        else if (me != "" && index(header, "/") > 0) {
          split(header, parts, "/")
          if (parts[1] in is_room && parts[1] != me && !((me, parts[1]) in seen))
            print where ": " header ": " me " does not link prax::" parts[1]
        }
      }'
)

# 2. Lengths.
while IFS= read -r -d '' file; do
  lines=$(wc -l <"$file")
  limit=800
  [[ $file == *.h ]] && limit=300
  ((lines <= limit)) || report "$file: $lines lines, but $limit are the limit; split it by concept"
done < <(find "${folders[@]}" \( -name '*.cpp' -o -name '*.h' \) -print0 | sort -z)

# 3. A README for each room.
for room in src/*/; do
  [[ -s ${room}README.md ]] || report "${room}README.md: missing; say in a line what the room is for"
done

# 4. Finished work only. The words are put together here so that this file does not name them.
words="TO""DO|FIX""ME|XX""X"
while IFS= read -r line; do report "$line: finish it, or write an issue"; done < <(
  for folder in src apps include bench tests cmake scripts; do
    [[ -d $folder ]] || continue
    find "$folder" -path tests/data -prune -o -type f \( -name '*.cpp' -o -name '*.h' -o -name '*.sh' -o -name '*.cmake' \
      -o -name CMakeLists.txt \) -print0
  done | sort -z | xargs -0 -r grep -HnwE "$words" | sed -E 's/^([^:]+:[0-9]+):.*/\1/'
)

if ((problems > 0)); then
  echo "$problems rules of the house are broken"
  exit 1
fi
echo "the house is in order"
