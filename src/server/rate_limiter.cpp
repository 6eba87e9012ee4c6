#include "server/rate_limiter.h"

#include <algorithm>

namespace prax::server {

RateLimiter::Verdict RateLimiter::take(const std::string& key_id, int per_minute, Clock::time_point now) {
  constexpr double minute = 60;
  std::lock_guard lock(mutex_);
  Bucket& bucket = buckets_[key_id];
  if (bucket.limit != per_minute) bucket = {static_cast<double>(per_minute), per_minute, now};  // new, or changed
  const double rate = per_minute / minute;
  const double passed = std::chrono::duration<double>(now - bucket.at).count();
  bucket.tokens = std::min<double>(per_minute, bucket.tokens + passed * rate);
  bucket.at = now;
  Verdict verdict;
  verdict.limit = per_minute;
  verdict.allowed = bucket.tokens >= 1;
  if (verdict.allowed)
    bucket.tokens -= 1;
  else
    verdict.retry_seconds = rate > 0 ? (1 - bucket.tokens) / rate : minute;
  verdict.remaining = static_cast<int>(bucket.tokens);
  verdict.reset_seconds = rate > 0 ? (per_minute - bucket.tokens) / rate : minute;
  return verdict;
}

}  // namespace prax::server
