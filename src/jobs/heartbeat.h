#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "base/cancellation.h"
#include "jobs/store.h"

namespace prax::jobs {

//! Keeps a lease alive from a thread of its own, publishes where the job stands, and raises a token as soon as the work
//! is to stop.
class Heartbeat {
public:
  enum class Why {
    none,       //!< the work goes on
    cancelled,  //!< see Standing
    lost,       //!< see Standing
    stopping    //!< the worker leaves
  };

  Heartbeat(Store& store, const Lease& lease, Milliseconds extension, Milliseconds every, const CancelToken& stop);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  //! What the work polls.
  const CancelToken& token() const { return token_; }
  void set_progress(const JobProgress& progress);
  //! A new picture of the job as it forms (JPEG).
  void set_preview(std::string jpeg);
  //! No report comes any more after this.
  void end();
  Why why() const;

private:
  void run(const CancelToken& stop, Milliseconds every);
  bool report();

  Store& store_;
  const Lease lease_;
  const Milliseconds extension_;
  CancelToken token_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ended_ = false;
  Why why_ = Why::none;
  JobProgress progress_;
  std::string preview_;
  int64_t previews_;
  std::thread thread_;
};

}  // namespace prax::jobs
