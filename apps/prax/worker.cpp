#include "jobs/worker.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "commands.h"
#include "jobs/data_folder.h"
#include "jobs/housekeeping.h"
#include "server/catalog.h"
#include "settings_flags.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace {

struct WorkerOptions {
  explicit WorkerOptions(CLI::App& command) : settings(command, server::SettingUser::worker) {}
  SettingsFlags settings;
  std::string name;
  bool once = false;
  pid_t server = 0;
};

//! However the server that started this worker ends, it hears of it as of SIGTERM.
void end_with(pid_t server) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != server) raise(SIGTERM);
}

void work(const WorkerOptions& o) {
  if (o.server) end_with(o.server);
  const ScopedLogSink log([](LogLevel level, std::string_view text) {
    fmt::print(stderr, "{}{}\n", level == LogLevel::warning ? "warning: " : "", text);
  });
  const server::Settings settings = o.settings.load();
  if (settings.worker_threads > 0) set_thread_count(settings.worker_threads);
  const jobs::DataFolder folder(settings.data);
  jobs::WorkerOptions options;
  options.name = o.name;
  options.work = folder.work();
  options.lease = settings.lease;
  options.retry_after = std::chrono::ceil<std::chrono::seconds>(settings.retry_after);
  options.max_attempts = settings.max_attempts;
  options.quality = settings.quality;
  options.retention = settings.retention;
  if (!settings.review_program.empty()) options.review_program = {settings.review_program.string()};
  const auto catalog = server::make_catalog(settings);
  const auto store = folder.open_store(settings.database);
  const auto storage = folder.open_storage(settings.storage);
  try {
    storage->check();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::disk_full) throw;
    log_warning(std::string(error.what()) + "; jobs wait until there is room");
  }
  jobs::Worker worker(*store, *storage, catalog, options);
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
  auto* c = app.add_subcommand("worker", "Take jobs of a server, in this process");
  c->footer(
      "Several workers, on this machine or on others, may share a server's jobs: with a PostgreSQL database\n"
      "(--database) and results in a shared folder or S3 (--storage).\n"
      "Each setting is also an environment variable (PRAX_DATABASE) and a key of the server's TOML file (database).");
  auto o = std::make_shared<WorkerOptions>(*c);
  c->add_option("--name", o->name, "What it is called (host and process)")->type_name("NAME");
  c->add_flag("--once", o->once, "Leave when no job is left");
  c->add_option("--server", o->server, "The server's process, that starts this one and with which it ends")->group("");
  c->callback([o] { work(*o); });
}

}  // namespace prax::app
