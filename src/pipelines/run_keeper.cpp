#include "pipelines/run_keeper.h"

#include "base/error.h"
#include "base/log.h"

namespace prax::pipelines {

namespace fs = std::filesystem;

fs::path RunKeeper::file_for(const fs::path& output) {
  fs::path name = output;
  if (!name.has_filename()) name = name.parent_path();
  name += ".prax";
  return name;
}

void RunKeeper::remember(const Run& run, bool saved) {
  latest_ = run;
  // The next step may work in place, and may be cancelled in the middle.
  latest_->latents = run.latents.clone();
  if (saved) saved_step_ = run.step;
}

void RunKeeper::after_step(const Run& run) {
  remember(run);
  if (run.step < run.steps && std::chrono::steady_clock::now() - last_ < every_) return;
  try {
    save();
  } catch (const Error& error) {
    if (!warned_) log_warning("the run cannot be kept for going on with it later: " + std::string(error.what()));
    warned_ = true;
  }
  last_ = std::chrono::steady_clock::now();
}

void RunKeeper::save() {
  if (!latest_ || saved_step_ == latest_->step) return;
  if (!saved_step_) make_room();
  save_run(file_, *latest_, model_, notes_);
  saved_step_ = latest_->step;
}

// An earlier run of the same name may be hours of work that nobody has gone on with yet.
void RunKeeper::make_room() {
  std::error_code error;
  if (!fs::is_regular_file(file_, error)) return;
  try {
    const Run earlier = load_run(file_);
    if (earlier.step == 0) return;
    // A finished one whose video exists has been used.
    if (earlier.step == earlier.steps && fs::exists(fs::path(file_).replace_extension(), error)) return;
  } catch (const Error&) {
    // Whatever it is, it is not ours to overwrite.
  }
  fs::path aside = file_;
  aside += ".old";
  fs::rename(file_, aside, error);
  if (!error) log_warning("an earlier run was kept as " + aside.string());
}

void RunKeeper::discard() {
  std::error_code error;
  if (saved_step_) fs::remove(file_, error);
}

}  // namespace prax::pipelines
