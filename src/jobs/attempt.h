#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "jobs/heartbeat.h"
#include "jobs/progress_estimate.h"
#include "jobs/render_job.h"
#include "jobs/worker.h"
#include "media/metadata.h"
#include "pipelines/run_keeper.h"

namespace prax::jobs {

//! The pipeline of the last job, kept for the next one that wants the same.
class PipelineCache {
public:
  pipelines::Pipeline& get(const JobPlan& plan);
  void drop() { pipeline_.reset(); }

private:
  std::string wanted_;
  std::unique_ptr<pipelines::Pipeline> pipeline_;
};

//! One attempt at a claimed job, to its end: completed, failed, cancelled, given back or lost.
class Attempt {
public:
  struct Surroundings {
    Store& store;
    ResultStorage& storage;
    const ModelCatalog& catalog;
    const WorkerOptions& options;
    PipelineCache& pipelines;
    StageTimes& times;
  };

  Attempt(const Surroundings& around, const Claim& claim, const CancelToken& stop);
  ~Attempt();
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  //! Throws only what the store throws.
  void run();

private:
  void render();
  void fetch_inputs();
  bool resume(pipelines::Run& run, JobPlan& plan);
  void check_arguments(const pipelines::Pipeline& pipeline) const;
  void after_step(pipelines::Pipeline& pipeline, const pipelines::Run& run);
  void keep_run(bool now);
  //! What goes into the files of a job that a model makes.
  void describe(const pipelines::Run& run, const std::string& reference_class, const std::string& dtype);
  //! The files of the result.
  std::unique_ptr<media::FrameSink> open_sinks();
  //! Joins the settings' parts; `made` is what a model made before.
  void join(const std::filesystem::path& made);
  ResultFile stored(const std::string& variant, const std::filesystem::path& file, const std::string& media_type);
  void review_result();
  void publish();

  void end(const std::exception& problem);
  void fail(const JobError& error);
  void give_back();
  void drop_everything();
  JobCost cost() const;

  Surroundings around_;
  const Claim claim_;
  const Job& job_;
  const std::filesystem::path folder_, inputs_;
  const std::string results_, run_name_;
  std::filesystem::path run_file_;  //!< in the storage itself where that is a folder
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  Heartbeat heart_;
  ProgressEstimate estimate_;
  std::unique_ptr<pipelines::RunKeeper> keeper_;
  std::optional<int64_t> uploaded_step_;
  std::chrono::steady_clock::time_point uploaded_at_, previewed_at_;
  media::VideoFormat made_;
  media::Metadata description_;
  bool reviewing_ = false;
};

}  // namespace prax::jobs
