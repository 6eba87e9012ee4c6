#include "server/worker_processes.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/child.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace prax::server {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto look_at_workers_every = std::chrono::milliseconds(200);
constexpr std::chrono::milliseconds first_pause{250}, longest_pause{30'000};
constexpr auto healthy_life = std::chrono::seconds(60);

//! One that no worker on any machine had before.
std::string worker_name() {
  char host[256] = "worker";
  ::gethostname(host, sizeof host - 1);
  constexpr size_t enough = 4;
  return std::string(host) + "-" + random_hex(enough);
}

}  // namespace

WorkerCommand worker_command(const std::filesystem::path& program, const Settings& settings) {
  WorkerCommand command;
  command.words = {program.string(), "worker"};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) command.words.insert(command.words.end(), {flag, value});
  };
  const auto milliseconds = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + "ms"; };
  add("--data", settings.data.string());
  for (const auto& [name, folder] : settings.models) add("--model", name + "=" + folder);
  for (const auto& [alias, model] : settings.aliases) add("--alias", alias + "=" + model);
  for (const auto& [name, file] : settings.loras) add("--lora", name + "=" + file);
  add("--upscaler", settings.upscaler.string());
  add("--dtype", settings.dtype);
  add("--worker-threads", std::to_string(settings.worker_threads));
  add("--quality", std::to_string(settings.quality));
  add("--lease", milliseconds(settings.lease));
  add("--retry-after", milliseconds(settings.retry_after));
  add("--max-attempts", std::to_string(settings.max_attempts));
  add("--retention", settings.retention ? milliseconds(*settings.retention) : "forever");
  add("--review-program", settings.review_program.string());

  // The server's settings alone count. Those that may hold passwords are not for everyone who lists processes.
  std::set<std::string> ours = {"PRAX_CONFIG"};
  for (const Setting& setting : settings_table()) ours.insert(setting.variable());
  for (const std::string& entry : own_environment())
    if (!ours.contains(entry.substr(0, entry.find('=')))) command.environment.push_back(entry);
  command.environment.push_back("PRAX_CONFIG=/dev/null");
  if (!settings.database.empty()) command.environment.push_back("PRAX_DATABASE=" + settings.database);
  if (!settings.storage.empty()) command.environment.push_back("PRAX_STORAGE=" + settings.storage);
  return command;
}

WorkerProcesses::WorkerProcesses(WorkerCommand command, int count, std::function<void(const std::string&)> on_end)
    : command_(std::move(command)),
      on_end_(std::move(on_end)),
      slots_(static_cast<size_t>(count)),
      thread_([this] { supervise(); }) {}

WorkerProcesses::~WorkerProcesses() { stop(std::chrono::milliseconds(0)); }

void WorkerProcesses::stop(std::chrono::milliseconds grace) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) grace_ = grace;
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WorkerProcesses::supervise() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    for (Slot& slot : slots_) {
      reap(slot);
      if (slot.pid < 0 && Clock::now() >= slot.start_at) start(slot);
    }
    lock.unlock();  // the database may be away for a while
    tell_of_ended();
    lock.lock();
    wake_.wait_for(lock, look_at_workers_every, [this] { return stopping_; });
  }
  end_all();
  tell_of_ended();
}

void WorkerProcesses::tell_of_ended() {
  for (const std::string& name : std::exchange(ended_, {})) on_end_(name);
}

void WorkerProcesses::start(Slot& slot) {
  slot.name = worker_name();
  slot.started = Clock::now();
  Program worker{.words = command_.words, .environment = command_.environment};
  worker.words.insert(worker.words.end(), {"--name", slot.name, "--server", std::to_string(::getpid())});
  try {
    slot.pid = start_program(worker);
  } catch (const Error& error) {
    log_warning(std::string("a worker cannot be started: ") + error.what());
    slot.start_at = Clock::now() + longest_pause;
    return;
  }
  ++running_;
}

void WorkerProcesses::reap(Slot& slot) {
  int status = 0;
  if (slot.pid < 0 || ::waitpid(slot.pid, &status, WNOHANG) != slot.pid) return;
  const std::string how = WIFSIGNALED(status) ? std::string("by signal ") + std::to_string(WTERMSIG(status))
                                              : "with exit code " + std::to_string(WEXITSTATUS(status));
  slot.pid = -1;
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) ended_.push_back(slot.name);  // else it gave its job back
  --running_;
  if (stopping_) return;
  ++restarts_;
  slot.pause =
      Clock::now() - slot.started > healthy_life ? first_pause : std::clamp(slot.pause * 2, first_pause, longest_pause);
  slot.start_at = Clock::now() + slot.pause;
  log_warning("a worker ended " + how + "; another is started in " + std::to_string(slot.pause.count()) + " ms");
}

void WorkerProcesses::end_all() {
  const auto tell = [this](int signal) {
    for (const Slot& slot : slots_)
      if (slot.pid > 0) ::kill(slot.pid, signal);
  };
  const auto wait = [this](Clock::time_point until) {
    do {
      for (Slot& slot : slots_) reap(slot);
      if (running_ == 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    } while (Clock::now() < until);
  };
  tell(SIGTERM);
  wait(Clock::now() + grace_);
  tell(SIGKILL);
  wait(Clock::now() + std::chrono::seconds(5));
}

}  // namespace prax::server
