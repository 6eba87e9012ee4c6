#include "run_keeper.h"

#include "base/error.h"
#include "base/log.h"

namespace prax::app {

namespace fs = std::filesystem;

fs::path RunKeeper::file_for(const fs::path& output) {
  fs::path name = output;
  if (!name.has_filename()) name = name.parent_path();
  name += ".prax";
  return name;
}

void RunKeeper::remember(const pipelines::Run& run, bool saved) {
  latest_ = run;
  // The next step may work in place, and may be cancelled in the middle.
  latest_->latents = run.latents.clone();
  if (saved) saved_step_ = run.step;
}

void RunKeeper::after_step(const pipelines::Run& run) {
  constexpr auto save_every = std::chrono::seconds(2);
  remember(run);
  if (run.step < run.steps && std::chrono::steady_clock::now() - last_ < save_every) return;
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
  pipelines::save_run(file_, *latest_, model_, notes_);
  saved_step_ = latest_->step;
}

// An earlier run of the same name may be hours of work that nobody has gone on with yet.
void RunKeeper::make_room() {
  std::error_code error;
  if (!fs::is_regular_file(file_, error)) return;
  try {
    const pipelines::Run earlier = pipelines::load_run(file_);
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

}  // namespace prax::app
