#!/usr/bin/env bash
# Prints how many compilers may run at once: the processors we may use (affinity and cgroup quota), but no more than
# the free memory feeds at 1 GiB each.
set -euo pipefail

jobs=$(nproc)
if read -r quota period 2>/dev/null </sys/fs/cgroup/cpu.max && [[ $quota != max ]]; then
  allowed=$(((quota + period - 1) / period))
  ((allowed >= jobs)) || jobs=$allowed
fi
free_gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
((${free_gib:-1} >= jobs)) || jobs=${free_gib:-1}
((jobs >= 1)) || jobs=1
echo "$jobs"
