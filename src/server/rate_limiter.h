#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>

namespace prax::server {

//! Counts requests of each key against its requests a minute: a bucket that holds a minute's worth and refills evenly.
//! Thread-safe.
class RateLimiter {
public:
  using Clock = std::chrono::steady_clock;

  struct Verdict {
    bool allowed = true;
    int limit = 0;
    int remaining = 0;
    double reset_seconds = 0;  //!< until the bucket is full
    double retry_seconds = 0;  //!< until the next request is allowed; 0 when this one is
  };
  Verdict take(const std::string& key_id, int per_minute, Clock::time_point now = Clock::now());

private:
  struct Bucket {
    double tokens = 0;
    int limit = 0;
    Clock::time_point at;
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace prax::server
