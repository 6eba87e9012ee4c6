#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "jobs/job.h"

namespace prax::jobs {

struct ReviewDecision {
  bool allowed = false;
  std::string reason;  //!< the program's first line, at most 500 bytes of text
};

//! Runs the operator's review program on a finished video: see WorkerOptions::review_program. Error(internal) when the
//! program cannot be started, ends in another way than with status 0 or 1, or takes longer than `timeout` (then it is
//! ended); Error(interrupted) when the token is raised meanwhile.
ReviewDecision review(const std::vector<std::string>& program, const Job& job, const std::filesystem::path& video,
                      std::chrono::seconds timeout, const CancelToken& cancel);

}  // namespace prax::jobs
