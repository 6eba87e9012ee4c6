#include "jobs/progress_estimate.h"

#include <algorithm>
#include <array>

namespace prax::jobs {

namespace {

//! Where a stage begins and ends on the way from 0 to 100 percent.
struct Span {
  std::string_view stage;
  double begin, end;
};
constexpr std::array spans{Span{"load", 0, 2}, Span{"text", 2, 5}, Span{"denoise", 5, 85}, Span{"decode", 85, 98},
                           Span{"publish", 98, 99}};

double seconds_between(ProgressEstimate::Clock::time_point a, ProgressEstimate::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

std::optional<double> StageTimes::guess(const std::string& model, const std::string& stage, double work) const {
  const auto it = seconds_per_work_.find(model + "/" + stage);
  if (it == seconds_per_work_.end()) return std::nullopt;
  return it->second * work;
}

void StageTimes::learn(const std::string& model, const std::string& stage, double work, double seconds) {
  if (work > 0) seconds_per_work_[model + "/" + stage] = seconds / work;
}

void ProgressEstimate::update(const Progress& progress, Clock::time_point now) {
  JobProgress& p = progress_;
  if (p.stage != progress.stage) {
    if (!p.stage.empty() && first_step_ == 0)
      times_.learn(model_, p.stage, frame_pixels_, seconds_between(stage_begin_, now));
    p.stage = progress.stage;
    stage_begin_ = step_begin_ = now;
    first_step_ = progress.step;
    step_seconds_ = -1;
  } else if (progress.step > p.step) {
    const double each = seconds_between(step_begin_, now) / static_cast<double>(progress.step - p.step);
    constexpr double weight = 0.3;
    step_seconds_ = step_seconds_ < 0 ? each : (1 - weight) * step_seconds_ + weight * each;
    step_begin_ = now;
  }
  p.step = progress.step;
  p.steps = progress.steps;
  const double done = p.steps > 0 ? static_cast<double>(p.step) / static_cast<double>(p.steps) : 0;
  const auto* const span =
      std::find_if(spans.begin(), spans.end(), [&](const Span& each) { return each.stage == progress.stage; });
  if (span == spans.end()) return;
  p.percent = std::max(p.percent, static_cast<int>(span->begin + done * (span->end - span->begin)));

  std::optional<double> left;
  if (step_seconds_ >= 0)
    left = std::max(0.0, step_seconds_ * static_cast<double>(p.steps - p.step) - seconds_between(step_begin_, now));
  else
    left = times_.guess(model_, p.stage, frame_pixels_ * (1 - done));
  // Stages to come: as earlier jobs say, or in the proportion of the spans.
  for (const auto* later = span + 1; left && later != spans.end(); ++later) {
    const auto known = times_.guess(model_, std::string(later->stage), frame_pixels_);
    const double spent = seconds_between(stage_begin_, now) + *left;
    *left += known ? *known : spent * (later->end - later->begin) / (span->end - span->begin);
  }
  p.seconds_left = left;
}

}  // namespace prax::jobs
