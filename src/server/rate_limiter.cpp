#include "server/rate_limiter.h"

#include <algorithm>

namespace prax::server {

RateLimiter::Verdict RateLimiter::take(const std::string& who, int per_minute, Clock::time_point now) {
  constexpr double minute = 60;
  const std::lock_guard lock(mutex_);
  if (buckets_.size() >= look_at_) forget_full(now);
  Bucket& bucket = buckets_[who];
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

void RateLimiter::give_back(const std::string& who) {
  const std::lock_guard lock(mutex_);
  const auto found = buckets_.find(who);
  if (found == buckets_.end()) return;
  Bucket& bucket = found->second;
  bucket.tokens = std::min<double>(bucket.limit, bucket.tokens + 1);
}

size_t RateLimiter::size() const {
  const std::lock_guard lock(mutex_);
  return buckets_.size();
}

//! A full bucket is as good as a new one.
void RateLimiter::forget_full(Clock::time_point now) {
  std::erase_if(buckets_, [now](const auto& entry) { return now - entry.second.at >= std::chrono::minutes(1); });
  look_at_ = std::max(least_to_look, 2 * buckets_.size());
}

}  // namespace prax::server
