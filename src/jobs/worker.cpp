#include "jobs/worker.h"

#include <unistd.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/log.h"
#include "jobs/attempt.h"

namespace prax::jobs {

namespace fs = std::filesystem;

namespace {

std::string host_and_process() {
  char host[256] = "worker";
  ::gethostname(host, sizeof host - 1);
  return std::string(host) + "-" + std::to_string(::getpid());
}

//! Waits, but not longer than until the token is raised.
void rest(Milliseconds time, const CancelToken& stop) {
  constexpr Milliseconds look_every(20);
  const auto until = std::chrono::steady_clock::now() + time;
  while (!stop.cancelled() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::min(look_every, time));
}

}  // namespace

class Worker::Impl {
public:
  Impl(Store& store, ResultStorage& storage, const ModelCatalog& catalog, WorkerOptions options)
      : store_(store), storage_(storage), catalog_(catalog), options_(std::move(options)) {
    if (options_.name.empty()) options_.name = host_and_process();
    if (options_.work.empty()) throw Error(ErrorKind::usage, "the worker has no folder to work in", "give one");
    for (const CatalogModel* model : catalog_.models()) models_.push_back(model->name);
    if (const CatalogModel* upscaler = catalog_.upscaler()) models_.push_back(upscaler->name);
    models_.emplace_back();  // jobs without a model: clips that are cut and joined
  }

  void run(const CancelToken& stop) {
    constexpr Milliseconds after_failure(1000);
    // Weights are let go when nobody asked for them for so long.
    constexpr std::chrono::seconds keep_idle_pipeline(120);
    auto idle_since = std::chrono::steady_clock::now();
    bool warned = false, swept = false;
    while (!stop.cancelled()) {
      try {
        if (!swept) sweep();
        swept = true;
        const bool worked = run_one(stop);
        warned = false;
        if (worked)
          idle_since = std::chrono::steady_clock::now();
        else if (std::chrono::steady_clock::now() - idle_since > keep_idle_pipeline)
          pipelines_.drop();
        if (!worked) rest(options_.poll, stop);
      } catch (const std::exception& problem) {
        if (!warned) log_warning("the worker waits for the store: " + std::string(problem.what()));
        warned = true;
        rest(after_failure, stop);
      }
    }
  }

  bool run_one(const CancelToken& stop) {
    ClaimOptions options;
    options.worker = options_.name;
    options.models = models_;
    options.lease = options_.lease;
    options.max_attempts = options_.max_attempts;
    const auto claim = store_.claim(options);
    if (!claim) return false;
    set_current(claim->job.id);
    try {
      Attempt({store_, storage_, catalog_, options_, pipelines_, times_}, *claim, stop).run();
    } catch (...) {
      set_current({});
      throw;
    }
    set_current({});
    return true;
  }

  std::string current_job() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

private:
  //! Removes what attempts on this machine left behind that died: folders of jobs that are over.
  void sweep() {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(options_.work, error)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("video_")) continue;
      const auto job = store_.job(name.substr(0, name.rfind('-')));
      if (!job || is_final(job->status)) fs::remove_all(entry.path(), error);
    }
  }

  void set_current(const std::string& id) {
    const std::lock_guard lock(mutex_);
    current_ = id;
  }

  Store& store_;
  ResultStorage& storage_;
  const ModelCatalog& catalog_;
  WorkerOptions options_;
  std::vector<std::string> models_;
  PipelineCache pipelines_;
  StageTimes times_;
  mutable std::mutex mutex_;
  std::string current_;
};

Worker::Worker(Store& store, ResultStorage& storage, const ModelCatalog& catalog, WorkerOptions options)
    : impl_(std::make_unique<Impl>(store, storage, catalog, std::move(options))) {}
Worker::~Worker() = default;
void Worker::run(const CancelToken& stop) { impl_->run(stop); }
bool Worker::run_one(const CancelToken& stop) { return impl_->run_one(stop); }
std::string Worker::current_job() const { return impl_->current_job(); }

}  // namespace prax::jobs
