#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace prax::app {

//! Seconds since it was made.
class Stopwatch {
public:
  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

//! Watches the memory of the process while it exists.
class MemoryWatch {
public:
  MemoryWatch();
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  //! Most anonymous resident memory so far, sampled some 40 times a second.
  uint64_t anonymous();
  //! The most since the last call, or the beginning.
  uint64_t lap();
  //! Most memory held for tensors so far.
  uint64_t tensors() const;

private:
  void sample();

  std::atomic<uint64_t> most_{0}, lap_{0};
  std::atomic<bool> stop_{false};
  std::thread sampler_;
};

//! Times of several runs of the same work.
struct Times {
  std::vector<double> seconds;
  double best() const;
  double median() const;
};

//! Calls fn, which gives the seconds of its work, `repeat` times; with 0 three times, but no more once they took
//! half a minute together.
Times repeated(int repeat, const std::function<double()>& fn);

//! Error(resource) when weights of this size do not fit in what is free.
void require_memory(uint64_t bytes, const std::string& what, const std::string& hint);

}  // namespace prax::app
