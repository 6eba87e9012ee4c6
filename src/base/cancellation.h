#pragma once

#include <atomic>

#include "base/error.h"

namespace prax {

//! A flag that one thread (or a signal handler) raises and that long work looks at. Cheap to poll.
class CancelToken {
public:
  void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_relaxed); }
  //! Throws Error(interrupted) once cancel() was called.
  void check() const {
    if (cancelled()) throw Error(ErrorKind::interrupted, "interrupted");
  }

private:
  std::atomic<bool> cancelled_{false};
};

}  // namespace prax
