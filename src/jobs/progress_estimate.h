#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>

#include "base/progress.h"
#include "jobs/job.h"

namespace prax::jobs {

//! What earlier jobs of a process took, by stage: guesses for stages that have not begun. Not thread-safe.
class StageTimes {
public:
  //! Seconds that a stage probably takes for `work` (steps or frames times pixels); nullopt before the first.
  std::optional<double> guess(const std::string& model, const std::string& stage, double work) const;
  void learn(const std::string& model, const std::string& stage, double work, double seconds);

private:
  std::map<std::string, double> seconds_per_work_;
};

//! From a pipeline's progress to a job's: one percentage over all stages, and the time that is left.
class ProgressEstimate {
public:
  using Clock = std::chrono::steady_clock;

  ProgressEstimate(std::string model, double frame_pixels, StageTimes& times)
      : model_(std::move(model)), frame_pixels_(frame_pixels), times_(times) {}

  //! Frames times pixels of the clip.
  void set_size(double frame_pixels) { frame_pixels_ = frame_pixels; }
  void update(const Progress& progress, Clock::time_point now = Clock::now());
  JobProgress job_progress() const { return progress_; }

private:
  std::string model_;
  double frame_pixels_;
  StageTimes& times_;
  JobProgress progress_;
  Clock::time_point stage_begin_, step_begin_;
  int64_t first_step_ = 0;
  double step_seconds_ = -1;  // smoothed
};

}  // namespace prax::jobs
