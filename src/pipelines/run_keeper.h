#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Keeps the latest state of a run beside its output until the output is complete, so that neither Ctrl-C nor a
//! crash nor a full disk costs more than the last moments.
class RunKeeper {
public:
  using Duration = std::chrono::milliseconds;
  //! `every`: least time between two writes.
  RunKeeper(std::filesystem::path file, std::string model, RunNotes notes, Duration every = Duration(2000))
      : file_(std::move(file)), model_(std::move(model)), notes_(std::move(notes)), every_(every) {}

  //! "clip.mp4" -> "clip.mp4.prax", "frames/" -> "frames.prax".
  static std::filesystem::path file_for(const std::filesystem::path& output);

  const std::filesystem::path& file() const { return file_; }

  //! The state that save() would write. With `saved` it is in the file already.
  void remember(const Run& run, bool saved = false);
  //! After a denoising step: remembers, and writes when the last time is `every` ago or it was the last step.
  //! When that fails, the run goes on and a warning is given once.
  void after_step(const Run& run);
  //! Writes the remembered state unless the file has it already.
  void save();
  //! True once the file holds a state of this run.
  bool saved() const { return saved_step_.has_value(); }
  //! Finished steps of the state in the file.
  std::optional<int64_t> saved_step() const { return saved_step_; }
  //! The remembered state's finished steps; 0 when there is none.
  int64_t step() const { return latest_ ? latest_->step : 0; }
  int64_t steps() const { return latest_ ? latest_->steps : 0; }
  //! The output is complete: removes the file.
  void discard();

private:
  void make_room();

  std::filesystem::path file_;
  std::string model_;
  RunNotes notes_;
  Duration every_;
  std::optional<Run> latest_;
  std::optional<int64_t> saved_step_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  bool warned_ = false;
};

}  // namespace prax::pipelines
