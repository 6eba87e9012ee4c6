#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "jobs/job.h"

namespace prax::server {

//! How long jobs take, learnt from those that ended, and so how often it is worth asking for one. Thread-safe.
class Estimates {
public:
  //! A job that changed.
  void learn(const jobs::Job& job);
  //! Milliseconds until asking again is worthwhile. Clients keep to the first value that they hear.
  int poll_after_ms(const jobs::Job& job) const;

private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, double> seconds_;  //!< by model
};

}  // namespace prax::server
