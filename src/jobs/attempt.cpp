#include "jobs/attempt.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/process.h"
#include "jobs/review.h"
#include "media/companions.h"
#include "media/image.h"
#include "media/output_file.h"
#include "media/writer.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"

namespace prax::jobs {

namespace fs = std::filesystem;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

namespace {

//! Remembers what was announced.
class NotedFormat : public media::FrameSink {
public:
  NotedFormat(media::VideoFormat& format, std::unique_ptr<media::FrameSink> sink)
      : format_(format), sink_(std::move(sink)) {}
  void begin(const media::VideoFormat& format) override {
    format_ = format;
    sink_->begin(format);
  }
  void frame(std::span<const float> rgb) override { sink_->frame(rgb); }
  void finish() override { sink_->finish(); }

private:
  media::VideoFormat& format_;
  std::unique_ptr<media::FrameSink> sink_;
};

//! Types of arguments that name files (pipelines/arguments.h). A job's files come from its inputs alone, or a request
//! could read what it likes.
bool names_files(const std::string& type) {
  return type == "file" || type == "picture" || type == "clip" || type == "conditions";
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string sentence(const Error& error) {
  std::string text = error.what();
  if (!error.hint().empty()) text += "; " + error.hint();
  return text;
}

std::string code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
    case ErrorKind::input:
      return "invalid_input";
    case ErrorKind::checkpoint:
      return "model_unavailable";
    case ErrorKind::resource:
      return "out_of_memory";
    case ErrorKind::disk_full:
      return "disk_full";
    case ErrorKind::io:
      return "storage_unavailable";
    default:
      return "internal_error";
  }
}

//! An end that may be another one next time.
bool may_pass(ErrorKind kind) { return kind == ErrorKind::disk_full || kind == ErrorKind::io; }

//! What the review program refused; the job fails with its reason.
struct Refused {
  std::string reason;
};

double pixels_of(const Settings& s) { return static_cast<double>(s.frames) * s.width * s.height; }

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) media::throw_write_error(error.value(), folder);
}

//! Folders of earlier attempts at the job on this machine: their leases are over.
void remove_earlier_work(const fs::path& work, const Job& job, int64_t fence) {
  std::error_code ignored;
  for (int64_t earlier = 1; earlier < fence; ++earlier)
    fs::remove_all(work / (job.id + "-" + std::to_string(earlier)), ignored);
}

}  // namespace

pipelines::Pipeline& PipelineCache::get(const JobPlan& plan) {
  std::string wanted =
      plan.model.string() + "|" + plan.dtype + "|" + plan.load.variant + "|" + plan.load.reference_class;
  for (const auto& lora : plan.load.loras) wanted += "|" + lora.path.string() + ":" + json(lora.weight).dump();
  if (!pipeline_ || wanted != wanted_) {
    pipeline_.reset();  // never two models in memory
    pipeline_ = pipelines::load(plan.model, plan.load);
    wanted_ = std::move(wanted);
  }
  return *pipeline_;
}

Attempt::Attempt(const Surroundings& around, const Claim& claim, const CancelToken& stop)
    : around_(around),
      claim_(claim),
      job_(claim_.job),
      folder_(around.options.work / (job_.id + "-" + std::to_string(claim.lease.fence))),
      inputs_(folder_ / "inputs"),
      results_("results/" + job_.id + "/" + std::to_string(claim.lease.fence)),
      run_name_("runs/" + job_.id + "/run.prax"),
      run_file_(around.storage.local_path(run_name_)),
      heart_(around.store, claim.lease, around.options.lease, around.options.report_every, stop),
      estimate_(job_.model, pixels_of(job_.settings), around.times) {
  if (run_file_.empty()) run_file_ = folder_ / "run.prax";
}

Attempt::~Attempt() {
  heart_.end();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Attempt::run() {
  try {
    render();
    review_result();
    publish();
  } catch (const Refused& refused) {
    heart_.end();
    fail({"refused_by_policy", refused.reason});
  } catch (const std::exception& problem) {
    end(problem);
  }
}

void Attempt::fetch_inputs() {
  make_folder(inputs_);
  for (const InputFile& input : job_.inputs) {
    heart_.token().check();
    if (!around_.storage.fetch(input.storage_name, input_path(inputs_, input)))
      throw Error(ErrorKind::input, "the input '" + input.name + "' is gone", "hand it in again with a new request");
  }
}

//! The saved run of an earlier attempt, wherever that was. False when there is none that can be used.
bool Attempt::resume(pipelines::Run& run, JobPlan& plan) {
  if (!claim_.resumes) return false;
  std::error_code ignored;
  if (!fs::exists(run_file_, ignored) && !around_.storage.fetch(run_name_, run_file_)) return false;
  try {
    pipelines::RunNotes notes;
    pipelines::Run saved = pipelines::load_run(run_file_, nullptr, &notes);
    if (notes["job"] != job_.id) return false;
    if (notes["reference_class"] != plan.plan.reference_class) return false;
    move_paths(saved.request.arguments, notes["inputs"], inputs_.string());
    run = std::move(saved);
    log_info(job_.id + " goes on after step " + std::to_string(run.step) + " of " + std::to_string(run.steps));
    return true;
  } catch (const Error& error) {
    log_warning(job_.id + " begins anew: " + error.what());
    fs::remove(run_file_, ignored);
    return false;
  }
}

void Attempt::check_arguments(const pipelines::Pipeline& pipeline) const {
  for (const auto& argument : pipeline.arguments())
    if (names_files(argument.type) && job_.settings.arguments.contains(argument.name))
      throw Error(ErrorKind::usage, argument.name + " names a file of the server, which requests cannot",
                  "hand pictures and clips in with the request");
}

void Attempt::render() {
  const WorkerOptions& options = around_.options;
  make_folder(folder_);
  remove_earlier_work(options.work, job_, claim_.lease.fence);
  make_folder(run_file_.parent_path());

  pipelines::Monitor monitor;
  monitor.cancel = &heart_.token();
  monitor.progress = [this](const Progress& progress) {
    estimate_.update(progress);
    heart_.set_progress(estimate_.job_progress());
  };
  monitor.report("load", 0, 1);
  fetch_inputs();
  if (job_.model.empty()) {
    monitor.report("load", 1, 1);
    return join({});
  }
  cut_placed_inputs(job_, inputs_);
  JobPlan plan = plan_job(job_, around_.catalog, inputs_);
  pipelines::Pipeline& pipeline = around_.pipelines.get(plan);
  check_arguments(pipeline);
  heart_.token().check();

  keeper_ = std::make_unique<pipelines::RunKeeper>(
      run_file_, job_.model,
      pipelines::RunNotes{
          {"job", job_.id}, {"reference_class", plan.plan.reference_class}, {"inputs", inputs_.string()}},
      options.save_every);
  pipelines::Run run;
  if (resume(run, plan))
    keeper_->remember(run, true);
  else
    run = pipeline.begin(plan.plan.request, monitor);
  if (run.latents.dim(0) != 1)
    throw Error(ErrorKind::usage, "a job makes one video",
                "leave num_videos_per_prompt out, and send several requests");
  monitor.report("load", 1, 1);
  monitor.after_step = [&](const pipelines::Run& r) { after_step(pipeline, r); };
  describe(run, pipeline.reference_class(), plan.dtype);
  // What is joined with clips is compressed twice: here as good as without loss.
  const fs::path made = folder_ / "made.mp4";
  const bool joins = !job_.settings.parts.empty();
  constexpr int nearly_lossless = 4;
  pipeline.generate(
      run,
      [&](int64_t) {
        return joins ? media::open_writer(made, {.metadata = {}, .quality = nearly_lossless, .poster = false})
                     : open_sinks();
      },
      monitor);
  if (joins) join(made);
}

void Attempt::join(const fs::path& made) {
  const Settings& s = job_.settings;
  if (description_.empty()) {
    description_ = {{"kind", std::string(name_of(job_.kind))}, {"settings", to_json(s).dump()}};
    if (!job_.prompt.empty()) description_["prompt"] = job_.prompt;
  }
  const auto parts = joined_parts(job_, inputs_, made);
  const auto format = media::cut_format(parts, s.width, s.height, s.fps);
  const auto sink = open_sinks();
  media::cut(parts, format, *sink, [&](int64_t done) {
    heart_.token().check();
    estimate_.update({"decode", done, format.frames});
    heart_.set_progress(estimate_.job_progress());
  });
}

void Attempt::after_step(pipelines::Pipeline& pipeline, const pipelines::Run& run) {
  keeper_->after_step(run);
  keep_run(false);
  constexpr Milliseconds least_between(400);
  const int every = around_.options.preview_every;
  if (every < 1 || (run.step % every != 0 && run.step != run.steps) || Clock::now() - previewed_at_ < least_between)
    return;
  const Tensor picture = pipeline.preview(run);
  const auto jpeg =
      media::encode_jpeg(picture.span<float>(), static_cast<int>(picture.dim(1)), static_cast<int>(picture.dim(0)));
  heart_.set_preview({jpeg.begin(), jpeg.end()});
  previewed_at_ = Clock::now();
}

//! Where the storage is no folder of this machine, the run's file is copied to it now and then.
void Attempt::keep_run(bool now) {
  constexpr std::chrono::seconds upload_every(10);
  if (!keeper_ || !around_.storage.local_path(run_name_).empty()) return;
  if (now) keeper_->save();
  if (!keeper_->saved_step() || keeper_->saved_step() == uploaded_step_) return;
  if (!now && Clock::now() - uploaded_at_ < upload_every) return;
  try {
    around_.storage.put(run_name_, run_file_, "application/octet-stream");
    uploaded_step_ = keeper_->saved_step();
  } catch (const Error& error) {
    log_warning("the run of " + job_.id + " is kept on this machine alone for now: " + error.what());
  }
  uploaded_at_ = Clock::now();
}

void Attempt::describe(const pipelines::Run& run, const std::string& reference_class, const std::string& dtype) {
  description_ = pipelines::describe(run, reference_class, job_.model, pipelines::compute_dtype(dtype));
  description_["model"] = job_.model;
  json arguments = run.request.arguments;
  move_paths(arguments, inputs_.string() + "/", "");
  description_["arguments"] = arguments.dump();
}

std::unique_ptr<media::FrameSink> Attempt::open_sinks() {
  media::WriterOptions options;
  options.quality = around_.options.quality;
  options.metadata = description_;
  std::vector<std::unique_ptr<media::FrameSink>> sinks;
  sinks.push_back(std::make_unique<NotedFormat>(made_, media::open_writer(folder_ / "video.mp4", options)));
  sinks.push_back(media::open_thumbnail(folder_ / "thumbnail.webp"));
  sinks.push_back(media::open_spritesheet(folder_ / "spritesheet.jpg"));
  return std::make_unique<media::Tee>(std::move(sinks));
}

ResultFile Attempt::stored(const std::string& variant, const fs::path& file, const std::string& media_type) {
  heart_.token().check();
  ResultFile result;
  result.variant = variant;
  result.media_type = media_type;
  result.storage_name = results_ + "/" + file.filename().string();
  result.bytes = fs::file_size(file);
  result.sha256 = hex(sha256_of_file(file));
  around_.storage.put(result.storage_name, file, media_type);
  return result;
}

void Attempt::review_result() {
  const WorkerOptions& options = around_.options;
  if (options.review_program.empty()) return;
  reviewing_ = true;
  const ReviewDecision decision =
      review(options.review_program, job_, folder_ / "video.mp4", options.review_timeout, heart_.token());
  around_.store.audit({decision.allowed ? "review.allowed" : "review.refused",
                       "worker:" + options.name,
                       job_.id,
                       {{"reason", decision.reason}, {"program", options.review_program.front()}}});
  reviewing_ = false;
  if (!decision.allowed)
    throw Refused{decision.reason.empty() ? "the operator's review refused this video" : decision.reason};
}

void Attempt::publish() {
  estimate_.update({"publish", 0, 1});
  heart_.set_progress(estimate_.job_progress());
  JobOutcome outcome;
  outcome.results = {stored("video", folder_ / "video.mp4", "video/mp4"),
                     stored("thumbnail", folder_ / "thumbnail.webp", "image/webp"),
                     stored("spritesheet", folder_ / "spritesheet.jpg", "image/jpeg")};
  heart_.end();
  heart_.token().check();
  outcome.cost = cost();
  if (around_.options.retention) outcome.expires_at = now() + *around_.options.retention;
  if (made_.fps > 0) outcome.seconds = static_cast<double>(made_.frames - 1) / made_.fps;
  const Standing standing = around_.store.complete(claim_.lease, outcome);
  if (standing != Standing::ours) {
    around_.storage.remove_folder(results_);
    if (standing == Standing::cancelled) drop_everything();
    return;
  }
  estimate_.update({"", 0, 0});  // the last stage is over
  try {
    for (int64_t earlier = 1; earlier < claim_.lease.fence; ++earlier)
      around_.storage.remove_folder("results/" + job_.id + "/" + std::to_string(earlier));
    around_.storage.remove_folder("runs/" + job_.id);  // last: Housekeeping looks for it
  } catch (const Error& error) {                       // Housekeeping removes them
    log_warning("files that " + job_.id + " left behind wait: " + error.what());
  }
}

JobCost Attempt::cost() const {
  constexpr double megabyte = 1e6;
  return {seconds_since(begin_), static_cast<double>(peak_memory()) / megabyte};
}

void Attempt::drop_everything() {
  around_.storage.remove_folder(results_);
  around_.storage.remove_folder("runs/" + job_.id);
  around_.store.release(claim_.lease);
}

void Attempt::give_back() {
  try {
    if (keeper_) keeper_->save();
    keep_run(true);
  } catch (const Error& error) {
    log_warning("the last steps of " + job_.id + " are lost: " + error.what());
  }
  around_.store.release(claim_.lease);
}

void Attempt::end(const std::exception& problem) {
  const Error error = to_error(problem);
  heart_.end();
  if (heart_.why() == Heartbeat::Why::lost) return;
  if (heart_.why() == Heartbeat::Why::cancelled) return drop_everything();
  if (error.kind() == ErrorKind::interrupted) return give_back();
  if (error.kind() == ErrorKind::resource || error.kind() == ErrorKind::internal) around_.pipelines.drop();
  const bool last_try = claim_.fruitless >= around_.options.max_attempts;
  if ((may_pass(error.kind()) || reviewing_) && !last_try) {
    log_warning(job_.id + " waits and is tried again: " + sentence(error));
    if (keeper_) {
      try {
        keeper_->save();
      } catch (const Error&) {  // the disk is full: it goes on from the last state that was saved
      }
    }
    around_.store.release(claim_.lease, now() + around_.options.retry_after, true);
    return;
  }
  fail({reviewing_ ? "review_failed" : code_of(error.kind()), sentence(error)});
}

void Attempt::fail(const JobError& error) {
  if (around_.store.fail(claim_.lease, error, cost()) != Standing::ours) return;
  try {
    around_.storage.remove_folder("runs/" + job_.id);
  } catch (const Error& problem) {  // Housekeeping removes it too
    log_warning("the run of " + job_.id + " waits to be removed: " + problem.what());
  }
}

}  // namespace prax::jobs
