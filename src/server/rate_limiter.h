#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>

namespace prax::server {

//! Counts what each of many (keys, addresses) does against its number a minute: a bucket that holds a minute's worth
//! and refills evenly. Thread-safe.
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
  Verdict take(const std::string& who, int per_minute, Clock::time_point now = Clock::now());
  //! What was taken does not count after all.
  void give_back(const std::string& who);
  //! How many are remembered; who has done nothing for a minute is forgotten.
  size_t size() const;

private:
  struct Bucket {
    double tokens = 0;
    int limit = 0;
    Clock::time_point at;
  };
  void forget_full(Clock::time_point now);

  static constexpr size_t least_to_look = 1024;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, Bucket> buckets_;
  size_t look_at_ = least_to_look;  //!< as many, and it is time to forget some
};

}  // namespace prax::server
