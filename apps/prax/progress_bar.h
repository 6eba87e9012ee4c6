#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/progress.h"

namespace prax::app {

//! Shows a run's progress and measures its stages. Not thread-safe: it belongs to the thread that runs the pipeline.
class ProgressBar {
public:
  using Clock = std::chrono::steady_clock;
  enum class Mode {
    terminal,  //!< one line on stderr, redrawn
    plain,     //!< lines on stderr: one a stage, and one every few seconds within it
    json,      //!< {"type":"progress"} lines on stdout
    quiet
  };

  //! `json` and `quiet` as asked; otherwise by what stderr is.
  static Mode pick_mode(bool json, bool quiet);

  explicit ProgressBar(Mode mode) : mode_(mode) {}
  ~ProgressBar() { clear(); }

  //! A stage begins before its first progress comes.
  void enter(std::string_view stage) { update({stage, 0, 0}); }
  void update(const Progress& progress, Clock::time_point now = Clock::now());
  //! The last stage is over.
  void finish(Clock::time_point now = Clock::now());
  //! Takes the line off the terminal so that something else can be written.
  void clear();

  //! Seconds of each stage so far.
  const std::map<std::string, double>& seconds() const { return seconds_; }
  //! Seconds until the end of this stage from a smoothed time a step; negative before the first step is done.
  double seconds_left() const;
  //! "denoise  [######----]  7/20  3 s left", at most `width` columns.
  std::string line(int width) const;

private:
  void show(Clock::time_point now, bool stage_began);

  Mode mode_;
  std::string stage_;
  int64_t step_ = 0, steps_ = 0;
  double step_seconds_ = -1;                           // smoothed
  std::map<std::string, double> step_seconds_before_;  // of stages that were left and may be entered again
  Clock::time_point stage_begin_, step_begin_, shown_;
  std::map<std::string, double> seconds_;
  bool on_screen_ = false;
};

}  // namespace prax::app
