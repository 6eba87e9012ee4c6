#include "base/process.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

namespace prax {

namespace {

//! The number after `key` in a file of "key value" lines (or the first number when `key` is empty); `absent` when there
//! is none.
uint64_t number_in(const char* file, const std::string& key, uint64_t absent) {
  std::ifstream stream(file);
  std::string word;
  while (stream && !key.empty() && word != key) stream >> word;
  uint64_t value = 0;
  return stream >> value ? value : absent;
}

}  // namespace

uint64_t peak_memory() {
  rusage use = {};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<uint64_t>(use.ru_maxrss) * 1024;
}

uint64_t total_memory() {
  uint64_t total = number_in("/proc/meminfo", "MemTotal:", 0) * 1024;
  for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"})
    total = std::min(total, number_in(file, "", total));
  return total;
}

uint64_t available_memory() {
  constexpr uint64_t no_limit = std::numeric_limits<uint64_t>::max();
  const uint64_t kilobytes = number_in("/proc/meminfo", "MemAvailable:", 0);
  uint64_t available = kilobytes ? kilobytes * 1024 : no_limit;
  for (const auto& [limit_file, use_file] :
       {std::pair{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        std::pair{"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}}) {
    const uint64_t limit = number_in(limit_file, "", no_limit), use = number_in(use_file, "", 0);
    available = std::min(available, limit > use ? limit - use : 0);
  }
  return available;
}

}  // namespace prax
