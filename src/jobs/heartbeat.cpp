#include "jobs/heartbeat.h"

#include <chrono>

#include "base/error.h"
#include "base/log.h"

namespace prax::jobs {

Heartbeat::Heartbeat(Store& store, const Lease& lease, Milliseconds extension, Milliseconds every,
                     const CancelToken& stop)
    : store_(store), lease_(lease), extension_(extension) {
  // Numbers of previews grow over all attempts, so that nobody takes a new one for one that was seen.
  constexpr int64_t previews_of_an_attempt = 1000000;
  previews_ = (lease.fence - 1) * previews_of_an_attempt;
  thread_ = std::thread([this, &stop, every] { run(stop, every); });
}

Heartbeat::~Heartbeat() { end(); }

void Heartbeat::end() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Heartbeat::set_progress(const JobProgress& progress) {
  const std::lock_guard lock(mutex_);
  const int64_t preview = progress_.preview;
  progress_ = progress;
  progress_.preview = preview;
}

void Heartbeat::set_preview(std::string jpeg) {
  const std::lock_guard lock(mutex_);
  preview_ = std::move(jpeg);
  progress_.preview = ++previews_;
}

Heartbeat::Why Heartbeat::why() const {
  const std::lock_guard lock(mutex_);
  return why_;
}

//! False when the work is to stop.
bool Heartbeat::report() {
  JobProgress progress;
  std::string preview;
  {
    const std::lock_guard lock(mutex_);
    progress = progress_;
    preview.swap(preview_);
  }
  const Standing standing = store_.report(lease_, extension_, progress, preview);
  if (standing == Standing::ours) return true;
  const std::lock_guard lock(mutex_);
  why_ = standing == Standing::lost ? Why::lost : Why::cancelled;
  token_.cancel();
  return false;
}

void Heartbeat::run(const CancelToken& stop, Milliseconds every) {
  using Clock = std::chrono::steady_clock;
  constexpr Milliseconds look_every(50);
  auto next = Clock::now();
  bool warned = false;
  std::unique_lock lock(mutex_);
  while (!ended_) {
    if (stop.cancelled() && why_ == Why::none) {
      why_ = Why::stopping;
      token_.cancel();
    }
    if (Clock::now() >= next) {
      lock.unlock();
      try {
        if (!report()) return;
        warned = false;
      } catch (const Error& error) {
        // The work goes on: whether the lease was lost meanwhile shows when the store is back, and the fence holds.
        if (!warned) log_warning("progress cannot be reported for now: " + std::string(error.what()));
        warned = true;
      }
      next = Clock::now() + every;
      lock.lock();
    }
    wake_.wait_for(lock, std::min(look_every, every), [&] { return ended_; });
  }
}

}  // namespace prax::jobs
