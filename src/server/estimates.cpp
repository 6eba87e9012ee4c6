#include "server/estimates.h"

#include <algorithm>

namespace prax::server {

void Estimates::learn(const jobs::Job& job) {
  if (job.status != jobs::JobStatus::completed || job.cost.inference_seconds <= 0) return;
  constexpr double newest = 0.3;
  std::lock_guard lock(mutex_);
  const auto [entry, first] = seconds_.try_emplace(job.model, job.cost.inference_seconds);
  if (!first) entry->second += newest * (job.cost.inference_seconds - entry->second);
}

int Estimates::poll_after_ms(const jobs::Job& job) const {
  constexpr double looks = 10, least = 500, usual = 2000, most = 10'000, ms = 1000;
  double seconds = 0;
  if (job.progress.seconds_left) {
    seconds = *job.progress.seconds_left;
  } else {
    std::lock_guard lock(mutex_);
    const auto known = seconds_.find(job.model);
    if (known == seconds_.end()) return static_cast<int>(usual);
    seconds = known->second;
  }
  return static_cast<int>(std::clamp(seconds * ms / looks, least, most));
}

}  // namespace prax::server
