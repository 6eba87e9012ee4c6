#include "bench_run.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/human.h"
#include "tensor/memory.h"

namespace prax::app {

namespace {

constexpr auto sampling_interval = std::chrono::milliseconds(25);
constexpr int default_runs = 3;
constexpr double patience_seconds = 30;

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

MemoryWatch::MemoryWatch() {
  release_cached_memory();
  reset_peak_memory();
  sample();
  sampler_ = std::thread([this] {
    while (!stop_.load()) {
      sample();
      std::this_thread::sleep_for(sampling_interval);
    }
  });
}

MemoryWatch::~MemoryWatch() {
  stop_.store(true);
  sampler_.join();
}

void MemoryWatch::sample() {
  const uint64_t now = anonymous_memory();
  for (std::atomic<uint64_t>* kept : {&most_, &lap_}) {
    uint64_t most = kept->load();
    while (now > most && !kept->compare_exchange_weak(most, now)) {
    }
  }
}

uint64_t MemoryWatch::lap() {
  sample();
  return lap_.exchange(0);
}

uint64_t MemoryWatch::anonymous() {
  sample();
  return most_.load();
}

uint64_t MemoryWatch::tensors() const { return memory_use().peak; }

double Times::best() const { return *std::min_element(seconds.begin(), seconds.end()); }

double Times::median() const {
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

Times repeated(int repeat, const std::function<double()>& fn) {
  Times times;
  const Stopwatch all;
  const auto wanted = static_cast<size_t>(repeat > 0 ? repeat : default_runs);
  while (times.seconds.size() < wanted) {
    times.seconds.push_back(fn());
    if (repeat <= 0 && all.seconds() > patience_seconds) break;
  }
  return times;
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

void require_memory(uint64_t bytes, const std::string& what, const std::string& hint) {
  const uint64_t available = available_memory();
  if (bytes <= available) return;
  throw Error(ErrorKind::resource,
              what + " takes " + human_bytes(bytes) + ", but " + human_bytes(available) + " are free", hint);
}

}  // namespace prax::app
