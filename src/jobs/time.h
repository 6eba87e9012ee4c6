#pragma once

#include <chrono>
#include <cstdint>

namespace prax::jobs {

//! A moment of the wall clock, as the store keeps it: whole milliseconds since 1970 (UTC).
using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using Milliseconds = std::chrono::milliseconds;

inline Time now() { return std::chrono::time_point_cast<Milliseconds>(std::chrono::system_clock::now()); }

inline int64_t unix_seconds(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace prax::jobs
