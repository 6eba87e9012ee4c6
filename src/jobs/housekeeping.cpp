#include "jobs/housekeeping.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "jobs/data_folder.h"

namespace prax::jobs {

Housekeeping::Housekeeping(Store& store, ResultStorage& storage, std::filesystem::path audit_anchor, Milliseconds every)
    : store_(store), storage_(storage), anchor_(std::move(audit_anchor)) {
  thread_ = std::thread([this, every] { run(every); });
}

Housekeeping::~Housekeeping() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Housekeeping::round() {
  const std::lock_guard one_at_a_time(rounds_);
  constexpr int at_once = 100;
  for (bool more = true; more;) {
    const auto list = store_.disposals(at_once);
    more = list.size() >= at_once;
    for (const Store::Disposal& disposal : list) {
      storage_.remove_folder("results/" + disposal.job_id);
      storage_.remove_folder("inputs/" + disposal.job_id);
      storage_.remove_folder("runs/" + disposal.job_id);
      store_.disposed(disposal);
    }
  }
  if (std::chrono::steady_clock::now() >= leftovers_due_) {
    constexpr std::chrono::minutes pause(5);
    remove_leftovers();
    leftovers_due_ = std::chrono::steady_clock::now() + pause;
  }
  if (!anchor_.empty())
    if (const AuditHead head = store_.audit_head(); head.sequence > 0) keep_anchor(anchor_, head);
}

//! A saved run whose job is over shows that its worker could not clean up behind itself: it removes the run last.
void Housekeeping::remove_leftovers() {
  for (const std::string& id : storage_.folders("runs")) {
    const auto job = store_.job(id);
    if (!job || !is_final(job->status)) continue;  // files of deleted ones are disposed of in time
    const std::string results = "results/" + id;
    for (const std::string& attempt : storage_.folders(results)) {
      const std::string folder = results + "/" + attempt;
      const bool current = std::any_of(job->results.begin(), job->results.end(), [&](const ResultFile& file) {
        return file.storage_name.starts_with(folder + "/");
      });
      if (!current) storage_.remove_folder(folder);
    }
    storage_.remove_folder("runs/" + id);
  }
}

void Housekeeping::run(Milliseconds every) {
  bool warned = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    try {
      round();
      warned = false;
    } catch (const std::exception& problem) {
      if (!warned) log_warning("files of deleted jobs wait: " + std::string(problem.what()));
      warned = true;
    }
    lock.lock();
    wake_.wait_for(lock, every, [&] { return stopping_; });
  }
}

}  // namespace prax::jobs
