#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace prax::app {

//! Sees to it that Ctrl-C ends the program within a second even where one operation takes longer than that: when the
//! work has not stopped by itself a moment after the signal, `rescue` is called from another thread and the program
//! exits with 130.
class InterruptWatch {
public:
  explicit InterruptWatch(std::function<void()> rescue);
  //! The work stopped by itself; rescue will not be called any more.
  ~InterruptWatch();
  InterruptWatch(const InterruptWatch&) = delete;
  InterruptWatch& operator=(const InterruptWatch&) = delete;

  //! Hold it while changing what `rescue` reads.
  std::mutex& mutex() { return mutex_; }

private:
  void watch();

  std::function<void()> rescue_;
  std::mutex mutex_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace prax::app
