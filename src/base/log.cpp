#include "base/log.h"

#include <cstdio>
#include <mutex>
#include <utility>

namespace prax {
namespace {

struct State {
  std::mutex mutex;
  LogSink sink;  // empty: stderr
};

State& state() {
  static State instance;
  return instance;
}

}  // namespace

void log_message(LogLevel level, std::string_view message) {
  std::lock_guard lock(state().mutex);
  if (state().sink) {
    state().sink(level, message);
  } else if (level == LogLevel::warning) {
    std::fprintf(stderr, "warning: %.*s\n", static_cast<int>(message.size()), message.data());
  }
}

LogSink set_log_sink(LogSink sink) {
  std::lock_guard lock(state().mutex);
  return std::exchange(state().sink, std::move(sink));
}

}  // namespace prax
