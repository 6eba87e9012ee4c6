#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "jobs/model_catalog.h"
#include "jobs/result_storage.h"
#include "jobs/store.h"
#include "jobs/time.h"

namespace prax::jobs {

struct WorkerOptions {
  std::string name;                       //!< "" for HOST-PID
  std::filesystem::path work;             //!< scratch folder of this machine (DataFolder::work)
  Milliseconds lease{30000};              //!< another worker takes over so long after this one died
  Milliseconds poll{300};                 //!< between two looks at an empty queue
  Milliseconds report_every{500};         //!< progress, heartbeat, and how fast a cancel is heard
  Milliseconds save_every{2000};          //!< at least between two saves of the run
  int max_attempts = 5;                   //!< see ClaimOptions::max_attempts
  int preview_every = 1;                  //!< denoising steps between previews; 0 for none
  int quality = 16;                       //!< rate factor of the video: lower is better and larger
  std::optional<Milliseconds> retention;  //!< results expire so long after completion; never when absent
  //! A job that found a disk full or a storage away waits so long before the next attempt; after max_attempts without
  //! getting further it fails.
  std::chrono::seconds retry_after{60};
  //! The operator's review program, run before a result is published; empty for none (nothing is reviewed). It gets the
  //! job as JSON on stdin, the video's path as its argument, and PRAX_JOB_ID. Exit status 0 allows, 1 refuses; the
  //! first line of its output is the reason that the user sees. Any other end is an error of the review: the job is
  //! tried again.
  std::vector<std::string> review_program;
  std::chrono::seconds review_timeout{60};
};

//! Takes jobs from the store, one at a time, through the pipelines in this process. Several workers (threads,
//! processes, machines) may share a store and a storage.
class Worker {
public:
  Worker(Store& store, ResultStorage& storage, const ModelCatalog& catalog, WorkerOptions options);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  //! Works until the token is raised: then it saves the run as it was after its last step, gives the job back, and
  //! returns. Errors of jobs end the job, not the worker; an unreachable store is waited for.
  void run(const CancelToken& stop);
  //! At most one job; false when the queue had none for us. For tests and one-shot workers.
  bool run_one(const CancelToken& stop);
  //! The job under way, or "". Any thread.
  std::string current_job() const;

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prax::jobs
