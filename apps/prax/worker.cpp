#include "jobs/worker.h"

#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "data_options.h"
#include "jobs/housekeeping.h"
#include "output.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace {

struct Options {
  DataOptions place;
  ModelOptions models;
  jobs::WorkerOptions worker;
  double lease_seconds = 30, retry_seconds = 60;
  std::optional<double> retention_days;
  int threads = 0;
  bool once = false;
};

void work(Options& o) {
  constexpr double milliseconds_of_a_second = 1000, seconds_of_a_day = 24 * 3600;
  const ScopedLogSink log([](LogLevel level, std::string_view text) {
    fmt::print(stderr, "{}{}\n", level == LogLevel::warning ? "warning: " : "", text);
  });
  if (o.threads > 0) set_thread_count(o.threads);
  // A lease must outlive a few reports.
  if (!(o.lease_seconds >= 1)) throw Error(ErrorKind::usage, "--lease must be at least 1 second", "30 is usual");
  if (!(o.retry_seconds >= 0)) throw Error(ErrorKind::usage, "--retry-after cannot be negative", "60 is usual");
  if (o.retention_days && !(*o.retention_days > 0))
    throw Error(ErrorKind::usage, "--retention-days must be above 0", "leave it out to keep results");
  const auto milliseconds = [](double seconds) {
    return jobs::Milliseconds(static_cast<int64_t>(seconds * milliseconds_of_a_second));
  };
  o.worker.lease = milliseconds(o.lease_seconds);
  o.worker.retry_after = std::chrono::seconds(static_cast<int64_t>(o.retry_seconds));
  if (o.retention_days) o.worker.retention = milliseconds(*o.retention_days * seconds_of_a_day);
  const auto folder = o.place.folder(false);
  o.worker.work = folder.work();
  const auto catalog = o.models.catalog();
  const auto store = folder.open_store(o.place.database);
  const auto storage = folder.open_storage(o.place.storage);
  try {
    storage->check();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::disk_full) throw;
    log_warning(std::string(error.what()) + "; jobs wait until there is room");
  }
  jobs::Worker worker(*store, *storage, catalog, o.worker);
  if (o.once) {
    while (!signal_token().cancelled() && worker.run_one(signal_token())) {
    }
    return;
  }
  jobs::Housekeeping housekeeping(*store, *storage, folder.audit_anchor());
  fmt::print(stderr, "working for {} with results in {}; SIGTERM saves the run under way and leaves\n", store->kind(),
             storage->describe());
  worker.run(signal_token());
}

}  // namespace

void add_worker(CLI::App& app, int&) {
  auto o = std::make_shared<Options>();
  auto* c = app.add_subcommand("worker", "Take jobs of a server, in this process");
  c->footer(
      "Several workers, on this machine or on others, may share a server's jobs: with a PostgreSQL database\n"
      "(--database) and results in a shared folder or S3 (--storage).");
  o->place.add_to(*c, true);
  o->models.add_to(*c);
  c->add_option("--name", o->worker.name, "What it is called (host and process)")->type_name("NAME");
  c->add_option("--threads", o->threads, "Processors to use")->type_name("N")->check(whole_number(1, most_threads));
  c->add_option("--quality", o->worker.quality, "Rate factor of videos: lower is better and larger (16)")
      ->type_name("CRF")
      ->check(whole_number(0, 51));
  c->add_option("--lease", o->lease_seconds, "Seconds after which others take over when it dies (30)")->type_name("S");
  c->add_option("--max-attempts", o->worker.max_attempts, "Attempts at a job that gets no further (5)")
      ->type_name("N")
      ->check(whole_number(1, 1000));
  c->add_option("--retry-after", o->retry_seconds, "Seconds until a job tries again after a full disk (60)")
      ->type_name("S");
  c->add_option("--retention-days", o->retention_days, "Results are deleted after so many days")->type_name("DAYS");
  c->add_option("--review", o->worker.review_program, "A program that allows or refuses each video")
      ->type_name("PROGRAM")
      ->expected(1);
  c->add_flag("--once", o->once, "Leave when no job is left");
  c->callback([o] { work(*o); });
}

}  // namespace prax::app
