#include "bench_run.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "base/error.h"
#include "base/human.h"
#include "base/process.h"
#include "tensor/memory.h"

namespace prax::app {

namespace {

constexpr auto sampling_interval = std::chrono::milliseconds(25);
constexpr int default_runs = 3;
constexpr double patience_seconds = 30;

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

void require_memory(uint64_t bytes, const std::string& what, const std::string& hint) {
  const uint64_t available = available_memory();
  if (bytes <= available) return;
  throw Error(ErrorKind::resource,
              what + " takes " + human_bytes(bytes) + ", but " + human_bytes(available) + " are free", hint);
}

}  // namespace prax::app
