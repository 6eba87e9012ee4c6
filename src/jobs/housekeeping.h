#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "jobs/result_storage.h"
#include "jobs/store.h"

namespace prax::jobs {

//! Removes files of deleted and expired jobs, what a worker that was killed after its last step left, and keeps the
//! audit anchor fresh; for servers and workers alike (several do no harm). A round every `every`, on a thread of its
//! own.
class Housekeeping {
public:
  //! `audit_anchor` is DataFolder::audit_anchor(), or empty.
  Housekeeping(Store& store, ResultStorage& storage, std::filesystem::path audit_anchor,
               Milliseconds every = Milliseconds(5000));
  ~Housekeeping();
  Housekeeping(const Housekeeping&) = delete;
  Housekeeping& operator=(const Housekeeping&) = delete;

  //! One round now, on the caller's thread. Errors are thrown.
  void round();

private:
  void run(Milliseconds every);
  void remove_leftovers();

  Store& store_;
  ResultStorage& storage_;
  const std::filesystem::path anchor_;
  std::mutex rounds_, mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point leftovers_due_;  //!< with rounds_
  std::thread thread_;
};

}  // namespace prax::jobs
