#include "jobs/worker.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <fstream>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "jobs/data_folder.h"
#include "jobs/housekeeping.h"
#include "media/image.h"
#include "media/picture.h"
#include "media/reader.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

namespace fs = std::filesystem;

const ModelCatalog& catalog() {
  static const ModelCatalog the_one = ModelCatalog::embedded();
  return the_one;
}

//! A store, a storage, and workers with the embedded model.
class WorkerTest : public StoreTest {
protected:
  void SetUp() override {
    StoreTest::SetUp();
    storage_ = open_folder_storage(folder_.path() / "storage");
    options_.work = folder_.path() / "work";
    options_.name = "first";
    options_.poll = Milliseconds(20);
    options_.report_every = Milliseconds(50);
    options_.save_every = Milliseconds(0);
    options_.retry_after = std::chrono::seconds(0);
  }

  //! Takes one job with a worker of these options.
  bool work(const WorkerOptions& options) {
    Worker worker(*store_, *storage_, catalog(), options);
    return worker.run_one(stop_);
  }
  bool work() { return work(options_); }

  //! A quick job.
  NewJob quick(int64_t steps = 3) {
    NewJob job = job_for();
    job.settings.steps = steps;
    job.settings.frames = 9;
    return job;
  }

  //! The finished job; the test fails when it is none.
  Job finished(const std::string& id) {
    const Job job = store_->job(id).value();
    EXPECT_EQ(job.status, JobStatus::completed) << (job.error ? job.error->message : "");
    return job;
  }
  std::string sha_of_video(const std::string& id) {
    const Job job = finished(id);
    return job.results.empty() ? "" : job.results.at(0).sha256;
  }
  //! Of a job that nothing disturbed.
  std::string undisturbed(NewJob job) {
    job.id = new_job_id();
    create(*store_, job);
    EXPECT_TRUE(work());
    return sha_of_video(job.id);
  }

  bool wait_for_step(const std::string& id, int64_t step) {
    return eventually([&] {
      const auto job = store_->job(id);
      return job && job->status == JobStatus::in_progress && job->progress.stage == "denoise" &&
             job->progress.step >= step;
    });
  }

  //! No file of the job is left but its results.
  void expect_clean(const std::string& id) {
    EXPECT_TRUE(!fs::exists(options_.work) || fs::is_empty(options_.work));
    EXPECT_FALSE(fs::exists(folder_.path() / "storage/runs" / id));
  }

  std::unique_ptr<ResultStorage> storage_;
  WorkerOptions options_;
  CancelToken stop_;
};

TEST_P(WorkerTest, MakesAVideoWithItsCompanions) {
  NewJob wanted = quick();
  create(*store_, wanted);
  ASSERT_TRUE(work());
  EXPECT_FALSE(work()) << "nothing is left";
  const Job job = finished(wanted.id);
  ASSERT_EQ(job.results.size(), 3u);
  for (const ResultFile& file : job.results) {
    const fs::path path = storage_->local_path(file.storage_name);
    EXPECT_EQ(fs::file_size(path), file.bytes);
    EXPECT_EQ(hex(sha256_of_file(path)), file.sha256);
    EXPECT_EQ(fs::status(path).type(), fs::file_type::regular);
  }
  const auto video = media::probe(storage_->local_path(job.results[0].storage_name));
  EXPECT_EQ(video.width, 128);
  EXPECT_EQ(video.frames, 9);
  EXPECT_NEAR(job.seconds, 8.0 / 12, 1e-9);
  const auto thumbnail = media::read_picture(storage_->local_path(job.results[1].storage_name));
  EXPECT_EQ(thumbnail.width, 128);
  const auto sheet = media::read_picture(storage_->local_path(job.results[2].storage_name));
  EXPECT_EQ(sheet.width, 3 * 128);
  EXPECT_EQ(sheet.height, 3 * 128);
  EXPECT_GT(job.cost.inference_seconds, 0);
  EXPECT_GT(job.cost.peak_memory_mb, 10);
  EXPECT_EQ(job.attempts, 1);
  expect_clean(job.id);
  const auto settings = media::read_settings(storage_->local_path(job.results[0].storage_name));
  EXPECT_EQ(settings.at("model"), "nano");
  EXPECT_EQ(settings.at("prompt"), wanted.prompt);
}

TEST_P(WorkerTest, TheSameJobGivesTheSameBytes) {
  const NewJob job = quick();
  const std::string first = undisturbed(job);
  EXPECT_EQ(undisturbed(job), first);
  NewJob other = job;
  other.settings.seed = 8;
  EXPECT_NE(undisturbed(other), first);
  EXPECT_EQ(undisturbed(job), first) << "a pipeline that made another video in between";
}

TEST_P(WorkerTest, ADrainedJobGoesOnElsewhereToTheSameBytes) {
  const NewJob job = quick(60);
  const std::string expected = undisturbed(job);
  create(*store_, job);
  std::thread first([&] { work(); });
  ASSERT_TRUE(wait_for_step(job.id, 4));
  stop_.cancel();
  first.join();
  Job waiting = store_->job(job.id).value();
  EXPECT_EQ(waiting.status, JobStatus::in_progress);
  EXPECT_EQ(waiting.attempts, 0) << "leaving is no failure";
  const auto saved = pipelines::load_run(storage_->local_path("runs/" + job.id + "/run.prax"));
  EXPECT_GE(saved.step, 4);
  EXPECT_LT(saved.step, 60);

  WorkerOptions elsewhere = options_;
  elsewhere.work = folder_.path() / "work of another machine";
  CancelToken go_on;
  Worker second(*store_, *storage_, catalog(), elsewhere);
  EXPECT_TRUE(second.run_one(go_on));
  EXPECT_EQ(sha_of_video(job.id), expected);
  expect_clean(job.id);
}

TEST_P(WorkerTest, ARunThatIsDamagedBeginsAnew) {
  const NewJob job = quick();
  const std::string expected = undisturbed(job);
  create(*store_, job);
  const ScopedLogSink silence([](LogLevel, std::string_view) {});
  const Claim claim = store_->claim(claim_as("dead", Milliseconds(0))).value();
  const fs::path run = storage_->local_path("runs/" + job.id + "/run.prax");
  fs::create_directories(run.parent_path());
  std::ofstream(run) << "half a file";
  std::this_thread::sleep_for(Milliseconds(3));
  ASSERT_TRUE(work());
  EXPECT_EQ(sha_of_video(job.id), expected);
}

TEST_P(WorkerTest, CancelIsHeardWithinASecond) {
  const NewJob job = quick(500);
  create(*store_, job);
  std::thread worker([&] { work(); });
  ASSERT_TRUE(wait_for_step(job.id, 1));
  store_->cancel_job(job.id, "operator");
  const auto cancelled = std::chrono::steady_clock::now();
  worker.join();
  EXPECT_LT(std::chrono::steady_clock::now() - cancelled, std::chrono::seconds(1));
  EXPECT_EQ(store_->job(job.id)->status, JobStatus::cancelled);
  expect_clean(job.id);
}

TEST_P(WorkerTest, DeletedWhileItRunsNothingIsLeft) {
  NewJob job = quick(500);
  const fs::path picture = folder_.path() / "a.png";
  std::ofstream(picture) << "no picture, but it is not looked at before";
  job.inputs = {{"unused", "inputs/" + job.id + "/a.png", "image/png", 10, ""}};
  storage_->put(job.inputs[0].storage_name, picture, "image/png");
  create(*store_, job);
  std::thread worker([&] { work(); });
  ASSERT_TRUE(wait_for_step(job.id, 1));
  EXPECT_TRUE(store_->delete_job(job.id, "operator"));
  worker.join();
  Housekeeping housekeeping(*store_, *storage_, folder_.path() / "audit.head", Milliseconds(3600000));
  housekeeping.round();
  EXPECT_TRUE(store_->disposals().empty());
  expect_clean(job.id);
  EXPECT_FALSE(fs::exists(folder_.path() / "storage/inputs" / job.id));
  EXPECT_EQ(read_anchor(folder_.path() / "audit.head"), store_->audit_head());
}

TEST_P(WorkerTest, WhatAKilledWorkerLeftBehindGoes) {
  const NewJob job = quick();
  create(*store_, job);
  ASSERT_TRUE(work());
  const auto results = finished(job.id).results;
  const NewJob waiting = quick();
  create(*store_, waiting);
  const fs::path storage = folder_.path() / "storage", run = storage / "runs" / job.id;
  const fs::path earlier = storage / "results" / job.id / "0", under_way = storage / "runs" / waiting.id;
  for (const fs::path& folder : {run, earlier, under_way}) {
    fs::create_directories(folder);
    std::ofstream(folder / "left") << "behind";
  }
  Housekeeping(*store_, *storage_, "", Milliseconds(3600000)).round();
  EXPECT_FALSE(fs::exists(run));
  EXPECT_FALSE(fs::exists(earlier));
  EXPECT_TRUE(fs::exists(under_way)) << "this job is not over";
  for (const ResultFile& file : results) EXPECT_TRUE(storage_->size(file.storage_name)) << file.storage_name;
}

TEST_P(WorkerTest, AWorkerThatLostItsLeasePublishesNothing) {
  const NewJob job = quick(40);
  create(*store_, job);
  WorkerOptions deaf = options_;
  deaf.lease = Milliseconds(1);
  deaf.report_every = Milliseconds(3600000);  // as when the process was stopped
  std::thread slow([&] { work(deaf); });
  ASSERT_TRUE(eventually([&] { return store_->job(job.id)->status == JobStatus::in_progress; }));
  std::this_thread::sleep_for(Milliseconds(50));
  WorkerOptions quick_one = options_;
  quick_one.name = "second";
  while (!work(quick_one)) std::this_thread::sleep_for(Milliseconds(5));
  slow.join();
  const Job done = finished(job.id);
  EXPECT_EQ(done.worker, "second");
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path() / "storage/results"))
    files += entry.is_regular_file();
  EXPECT_EQ(files, 3u) << "what the slow one made is gone";
  int completed = 0;
  for (const AuditEntry& e : store_->audit_entries(0, 100)) completed += e.event.action == "job.completed";
  EXPECT_EQ(completed, 1);
}

TEST_P(WorkerTest, TellsOfItsProgress) {
  const NewJob job = quick(sanitized ? 6 : 30);
  create(*store_, job);
  options_.report_every = Milliseconds(10);
  std::thread worker([&] { work(); });
  int percent = 0;
  bool estimated = false;
  std::string preview;
  EXPECT_TRUE(eventually([&] {
    const Job now = store_->job(job.id).value();
    EXPECT_GE(now.progress.percent, percent);
    percent = now.progress.percent;
    estimated = estimated || now.progress.seconds_left;
    if (preview.empty()) preview = store_->preview(job.id);
    return now.status == JobStatus::completed;
  }));
  worker.join();
  EXPECT_EQ(percent, 100);
  EXPECT_TRUE(estimated);
  ASSERT_FALSE(preview.empty());
  const auto picture =
      media::decode_picture({reinterpret_cast<const uint8_t*>(preview.data()), preview.size()}, "preview");
  EXPECT_GT(picture.width, 0);
}

TEST_P(WorkerTest, UsesPicturesAndClips) {
  const fs::path picture = folder_.path() / "red.png";
  media::write_png(picture, Tensor::full({64, 64, 3}, 0.5f));
  NewJob job = quick();
  job.inputs = {{"input_reference", "inputs/" + job.id + "/red.png", "image/png", fs::file_size(picture), ""}};
  job.settings.image = "input_reference";
  storage_->put(job.inputs[0].storage_name, picture, "image/png");
  create(*store_, job);
  ASSERT_TRUE(work());
  const Job first = finished(job.id);
  const auto settings = media::read_settings(storage_->local_path(first.results.at(0).storage_name));
  EXPECT_EQ(settings.at("arguments").find(folder_.path().string()), std::string::npos)
      << "a path of this machine is in the video";

  NewJob longer = quick();
  longer.kind = JobKind::extension;
  longer.settings.frames = 17;
  longer.settings.extend = "video";
  longer.inputs = {{"video", first.results.at(0).storage_name, "video/mp4", first.results.at(0).bytes, ""}};
  create(*store_, longer);
  ASSERT_TRUE(work());
  const Job extended = finished(longer.id);
  const auto video = media::probe(storage_->local_path(extended.results.at(0).storage_name));
  EXPECT_EQ(video.frames, 17) << "nine frames and eight new ones";
  EXPECT_NEAR(extended.seconds, 16.0 / 12, 1e-9) << "the stitched length";
}

TEST_P(WorkerTest, WhatCannotBeFailsWithAReason) {
  struct Case {
    std::function<void(NewJob&)> spoil;
    const char* code;
    const char* says;
  };
  const Case cases[] = {
      {[](NewJob& j) { j.settings.width = 100; }, "invalid_input", "96 or 112"},
      {[](NewJob& j) { j.settings.image = "absent"; }, "invalid_input", "absent"},
      {[](NewJob& j) {
         j.inputs = {{"video", "inputs/gone/a.mp4", "video/mp4", 1, ""}};
       },
       "invalid_input", "gone"},
      {[](NewJob& j) {
         j.settings.arguments = {{"latents", "/etc/passwd"}};
       },
       "invalid_input", "latents"},
      {[](NewJob& j) {
         j.settings.arguments = {{"num_videos_per_prompt", 2}};
       },
       "invalid_input", "one video"},
      {[](NewJob& j) {
         j.settings.arguments = {{"stepps", 2}};
       },
       "invalid_input", "stepps"},
      {[](NewJob& j) {
         j.settings.loras = {{"none", 1.0}};
       },
       "invalid_input", "LoRA"},
      {[](NewJob& j) { j.settings.dtype = "f64"; }, "invalid_input", "f64"},
  };
  for (const Case& each : cases) {
    NewJob job = quick();
    each.spoil(job);
    create(*store_, job);
    ASSERT_TRUE(work());
    const Job failed = store_->job(job.id).value();
    EXPECT_EQ(failed.status, JobStatus::failed) << each.says;
    EXPECT_EQ(failed.error.value().code, each.code) << failed.error->message;
    EXPECT_NE(failed.error->message.find(each.says), std::string::npos) << failed.error->message;
    expect_clean(job.id);
  }
}

TEST_P(WorkerTest, AReviewAllowsAndRefuses) {
  const fs::path program = folder_.path() / "review.sh";
  std::ofstream(program)
      << "#!/bin/sh\ntest -s \"$1\" || exit 3\nread -r job\n"
         "case $job in *'\"prompt\":\"forbidden\"'*) echo \"not here: $PRAX_JOB_ID\"; exit 1;; esac\n"
         "case $job in *'\"prompt\":\"slow\"'*) sleep 60;; esac\nexit 0\n";
  ::chmod(program.c_str(), 0700);
  options_.review_program = {program.string()};
  options_.review_timeout = std::chrono::seconds(1);
  options_.max_attempts = 2;
  NewJob allowed = quick(), refused = quick(), slow = quick();
  refused.prompt = "forbidden";
  slow.prompt = "slow";
  create(*store_, allowed);
  ASSERT_TRUE(work());
  finished(allowed.id);
  create(*store_, refused);
  ASSERT_TRUE(work());
  const Job job = store_->job(refused.id).value();
  EXPECT_EQ(job.error.value().code, "refused_by_policy");
  EXPECT_EQ(job.error->message, "not here: " + job.id);
  EXPECT_FALSE(fs::exists(folder_.path() / "storage/results" / job.id));
  std::vector<std::string> decisions;
  for (const AuditEntry& e : store_->audit_entries(0, 100))
    if (e.event.action.starts_with("review.")) decisions.push_back(e.event.action);
  EXPECT_EQ(decisions, (std::vector<std::string>{"review.allowed", "review.refused"}));

  const ScopedLogSink silence([](LogLevel, std::string_view) {});
  create(*store_, slow);
  while (!is_final(store_->job(slow.id)->status)) work();
  EXPECT_EQ(store_->job(slow.id)->error.value().code, "review_failed");
}

TEST_P(WorkerTest, SurvivesAFullDisk) {
  if (std::string(GetParam()) == "sqlite") GTEST_SKIP() << "the limit would hold for the database's file too";
  const ScopedLogSink silence([](LogLevel, std::string_view) {});
  const NewJob job = quick();
  const std::string expected = undisturbed(job);
  // As the program does: what exceeds the limit is an error of the write, no signal.
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto set_limit = [&](rlim_t bytes) {
    const rlimit limit{bytes, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  };
  create(*store_, job);
  set_limit(3000);
  EXPECT_TRUE(work());
  EXPECT_EQ(store_->job(job.id)->status, JobStatus::in_progress) << "it waits for room";
  EXPECT_FALSE(fs::exists(folder_.path() / "storage/results" / job.id)) << "nothing half written";
  set_limit(before.rlim_cur);
  std::this_thread::sleep_for(Milliseconds(5));
  EXPECT_TRUE(work());
  EXPECT_EQ(sha_of_video(job.id), expected);

  NewJob hopeless = job;
  hopeless.id = new_job_id();
  create(*store_, hopeless);
  set_limit(3000);
  for (int i = 0; i < 20 && !is_final(store_->job(hopeless.id)->status); ++i) work();
  set_limit(before.rlim_cur);
  ::signal(SIGXFSZ, handler);
  const Job failed = store_->job(hopeless.id).value();
  EXPECT_EQ(failed.status, JobStatus::failed);
  EXPECT_EQ(failed.error.value().code, "disk_full") << failed.error->message;
  expect_clean(job.id);
}

TEST_P(WorkerTest, RunsUntilItIsToldToLeave) {
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(*store_, quick()).id);
  Worker worker(*store_, *storage_, catalog(), options_);
  std::thread thread([&] { worker.run(stop_); });
  EXPECT_TRUE(eventually([&] { return store_->queue_stats().completed == 3; }));
  EXPECT_TRUE(eventually([&] { return worker.current_job().empty(); }));
  stop_.cancel();
  thread.join();
}

PRAX_FOR_EACH_STORE(WorkerTest);

//! A small file system of its own, where the test may make one.
class SmallDisk {
public:
  explicit SmallDisk(const fs::path& folder) : folder_(folder) {
    fs::create_directories(folder);
    mounted_ = ::mount("none", folder.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

private:
  fs::path folder_;
  bool mounted_ = false;
};

TEST(FullDisk, WithTheDatabaseOnItLosesNothing) {
  const ScratchFolder scratch;
  const SmallDisk disk(scratch.path() / "data");
  if (!disk.mounted()) GTEST_SKIP() << "no small file system can be mounted here";
  const ScopedLogSink silence([](LogLevel, std::string_view) {});
  const DataFolder folder(scratch.path() / "data");
  const auto store = folder.open_store();
  const auto storage = folder.open_storage();
  WorkerOptions options;
  options.work = folder.work();
  options.retry_after = std::chrono::seconds(0);
  options.report_every = Milliseconds(50);
  options.lease = Milliseconds(300);
  options.max_attempts = 1000;
  options.poll = Milliseconds(20);
  NewJob job = job_for();
  job.settings.steps = 3;
  job.settings.frames = 9;
  create(*store, job);
  const fs::path ballast = scratch.path() / "data/ballast";
  {
    std::ofstream fill(ballast);
    const std::string block(4096, 'x');
    while (fill.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  EXPECT_THROW(store->create_job(job_for(), {}), Error) << "what cannot be kept is not accepted";
  CancelToken stop;
  Worker worker(*store, *storage, catalog(), options);
  std::thread thread([&] { worker.run(stop); });
  std::this_thread::sleep_for(Milliseconds(700));
  EXPECT_FALSE(is_final(store->job(job.id)->status));
  fs::remove(ballast);
  EXPECT_TRUE(eventually([&] { return is_final(store->job(job.id)->status); }));
  stop.cancel();
  thread.join();
  EXPECT_EQ(store->job(job.id)->status, JobStatus::completed);
  EXPECT_EQ(store->queue_stats().completed, 1);
  EXPECT_TRUE(verify_audit(*store).intact);
}

TEST(WorkerWithS3, GoesOnFromARunInTheBucket) {
  const char* endpoint = std::getenv("PRAX_TEST_S3");
  if (!endpoint) GTEST_SKIP() << "PRAX_TEST_S3 names no S3 service (scripts/s3_test.sh starts one)";
  setenv("AWS_ACCESS_KEY_ID", "testing", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "testing", 1);
  const ScratchFolder folder;
  const auto store = open_store((folder.path() / "prax.db").string());
  const auto storage = open_storage("s3://prax-test/jobs?endpoint=" + std::string(endpoint));
  WorkerOptions options;
  options.work = folder.path() / "work";
  options.report_every = Milliseconds(20);
  options.save_every = Milliseconds(0);
  NewJob job = job_for();
  job.settings.steps = 40;
  job.settings.frames = 9;
  NewJob undisturbed = job;
  undisturbed.id = new_job_id();
  CancelToken never;
  create(*store, undisturbed);
  Worker(*store, *storage, catalog(), options).run_one(never);
  create(*store, job);
  CancelToken stop;
  std::thread thread([&] { Worker(*store, *storage, catalog(), options).run_one(stop); });
  EXPECT_TRUE(eventually([&] { return store->job(job.id)->progress.step >= 4; }));
  stop.cancel();
  thread.join();
  EXPECT_TRUE(storage->size("runs/" + job.id + "/run.prax"));
  options.work = folder.path() / "another machine";
  Worker(*store, *storage, catalog(), options).run_one(never);
  const Job done = store->job(job.id).value(), other = store->job(undisturbed.id).value();
  ASSERT_EQ(done.status, JobStatus::completed);
  EXPECT_EQ(done.results.at(0).sha256, other.results.at(0).sha256);
  EXPECT_EQ(storage->size(done.results.at(0).storage_name), done.results.at(0).bytes);
  EXPECT_FALSE(storage->size("runs/" + job.id + "/run.prax"));
}

}  // namespace
}  // namespace prax::jobs::test
