#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace prax {

enum class LogLevel { info, warning };

//! Says something that is no error: "prompt cut to 128 tokens". Goes to the sink, from any thread.
void log_message(LogLevel level, std::string_view message);
inline void log_info(std::string_view message) { log_message(LogLevel::info, message); }
inline void log_warning(std::string_view message) { log_message(LogLevel::warning, message); }

using LogSink = std::function<void(LogLevel, std::string_view)>;

//! Replaces the sink and returns the one before. Without one of its own the program writes "warning: ..." lines to
//! stderr and drops LogLevel::info. Calls of a sink never overlap; a sink must not log.
LogSink set_log_sink(LogSink sink);

//! A sink for one scope.
class ScopedLogSink {
public:
  explicit ScopedLogSink(LogSink sink) : before_(set_log_sink(std::move(sink))) {}
  ~ScopedLogSink() { set_log_sink(std::move(before_)); }
  ScopedLogSink(const ScopedLogSink&) = delete;
  ScopedLogSink& operator=(const ScopedLogSink&) = delete;

private:
  LogSink before_;
};

}  // namespace prax
