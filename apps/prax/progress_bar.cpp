#include "progress_bar.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/human.h"
#include "output.h"

namespace prax::app {
namespace {

constexpr auto redraw_every = std::chrono::milliseconds(100);
constexpr auto plain_line_every = std::chrono::seconds(5);
// The share of the newest step in the smoothed time a step.
constexpr double newest_share = 0.3;

double seconds_between(ProgressBar::Clock::time_point a, ProgressBar::Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

int terminal_width() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

ProgressBar::Mode ProgressBar::pick_mode(bool json, bool quiet) {
  if (quiet) return Mode::quiet;
  if (json) return Mode::json;
  const char* term = std::getenv("TERM");
  const bool can_redraw = isatty(STDERR_FILENO) && term && *term && std::string_view(term) != "dumb";
  return can_redraw ? Mode::terminal : Mode::plain;
}

void ProgressBar::update(const Progress& progress, Clock::time_point now) {
  const bool stage_began = progress.stage != stage_;
  if (stage_began) {
    if (!stage_.empty()) {
      seconds_[stage_] += seconds_between(stage_begin_, now);
      step_seconds_before_[stage_] = step_seconds_;
    }
    stage_ = progress.stage;
    stage_begin_ = step_begin_ = now;
    const auto before = step_seconds_before_.find(stage_);
    step_seconds_ = before == step_seconds_before_.end() ? -1 : before->second;
    step_ = progress.step;
  } else if (progress.step < step_) {  // the stage again, for the next clip
    step_begin_ = now;
  } else if (progress.step > step_) {
    const double each = seconds_between(step_begin_, now) / static_cast<double>(progress.step - step_);
    step_seconds_ = step_seconds_ < 0 ? each : newest_share * each + (1 - newest_share) * step_seconds_;
    step_begin_ = now;
  }
  step_ = progress.step;
  steps_ = progress.steps;
  show(now, stage_began);
}

void ProgressBar::finish(Clock::time_point now) {
  if (!stage_.empty()) seconds_[stage_] += seconds_between(stage_begin_, now);
  stage_.clear();
  clear();
}

void ProgressBar::clear() {
  if (!on_screen_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  on_screen_ = false;
}

double ProgressBar::seconds_left() const {
  if (step_seconds_ < 0 || steps_ <= 0) return -1;
  return step_seconds_ * static_cast<double>(steps_ - step_);
}

std::string ProgressBar::line(int width) const {
  std::string text = fmt::format("{:<7}", stage_);
  if (steps_ <= 0) return text + " ...";
  std::string numbers = fmt::format("  {}/{}", step_, steps_);
  if (const double left = seconds_left(); left >= 0 && step_ < steps_) numbers += "  " + human_duration(left) + " left";
  constexpr int widest_bar = 30, narrowest_bar = 5, brackets = 3;
  const int room = width - static_cast<int>(text.size() + numbers.size()) - brackets;
  const int bar = std::min(widest_bar, room);
  if (bar >= narrowest_bar) {
    const auto full = static_cast<int>(bar * std::clamp<int64_t>(step_, 0, steps_) / steps_);
    text +=
        " [" + std::string(static_cast<size_t>(full), '#') + std::string(static_cast<size_t>(bar - full), '-') + "]";
  }
  text += numbers;
  if (static_cast<int>(text.size()) > width) text.resize(static_cast<size_t>(std::max(width, 0)));
  return text;
}

void ProgressBar::show(Clock::time_point now, bool stage_began) {
  const bool last = steps_ > 0 && step_ == steps_;
  switch (mode_) {
    case Mode::quiet:
      return;
    case Mode::json: {
      const double left = seconds_left();
      print_json({{"type", "progress"},
                  {"stage", stage_},
                  {"step", step_},
                  {"steps", steps_},
                  {"seconds_left", left < 0 ? nlohmann::json() : nlohmann::json(left)}});
      return;
    }
    case Mode::plain:
      // The beginning of a stage is only worth a line when it takes long; its end always is.
      if (stage_began || (!last && now - shown_ < plain_line_every)) {
        if (stage_began) shown_ = now;
        return;
      }
      shown_ = now;
      std::fprintf(stderr, "%s %lld/%lld%s\n", stage_.c_str(), static_cast<long long>(step_),
                   static_cast<long long>(steps_),
                   !last && seconds_left() >= 0 ? (", " + human_duration(seconds_left()) + " left").c_str() : "");
      return;
    case Mode::terminal:
      if (!stage_began && !last && on_screen_ && now - shown_ < redraw_every) return;
      shown_ = now;
      // One column stays free: a full line would wrap in some terminals.
      std::fprintf(stderr, "\r%s\033[K", line(terminal_width() - 1).c_str());
      std::fflush(stderr);
      on_screen_ = true;
      return;
  }
}

}  // namespace prax::app
