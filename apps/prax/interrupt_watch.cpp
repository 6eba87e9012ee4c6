#include "interrupt_watch.h"

#include <unistd.h>

#include <chrono>

#include "output.h"
#include "signals.h"

namespace prax::app {

InterruptWatch::InterruptWatch(std::function<void()> rescue)
    : rescue_(std::move(rescue)), thread_([this] { watch(); }) {}

InterruptWatch::~InterruptWatch() {
  done_ = true;
  thread_.join();
}

void InterruptWatch::watch() {
  using namespace std::chrono_literals;
  while (!done_ && !signal_token().cancelled()) std::this_thread::sleep_for(20ms);
  for (int i = 0; i < 30 && !done_; ++i) std::this_thread::sleep_for(20ms);
  if (done_) return;
  std::lock_guard lock(mutex_);
  if (done_) return;
  rescue_();
  _exit(exit_interrupted);
}

}  // namespace prax::app
