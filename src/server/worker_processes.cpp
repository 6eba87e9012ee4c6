#include "server/worker_processes.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "base/paths.h"

namespace prax::server {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto look_every = std::chrono::milliseconds(200);
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

std::vector<std::string> worker_command(const std::filesystem::path& program, const Settings& settings) {
  std::vector<std::string> words{program.string(), "worker"};
  const auto add = [&words](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--data", settings.data.string());
  add("--database", settings.database);
  add("--storage", settings.storage);
  for (const auto& [name, folder] : settings.models)
    add("--model", name + "=" + resolve_model(folder).string() + (settings.dtype.empty() ? "" : "@" + settings.dtype));
  for (const auto& [alias, model] : settings.aliases) add("--alias", alias + "=" + model);
  for (const auto& [name, file] : settings.loras) add("--lora", name + "=" + resolve_model(file).string());
  add("--upscaler", settings.upscaler.string());
  if (settings.worker_threads > 0) add("--threads", std::to_string(settings.worker_threads));
  add("--max-attempts", std::to_string(settings.max_attempts));
  constexpr double milliseconds_of_a_day = 24.0 * 3600 * 1000;
  if (settings.retention)
    add("--retention-days",
        fmt::format("{}", static_cast<double>(settings.retention->count()) / milliseconds_of_a_day));
  add("--review", settings.review_program.string());
  return words;
}

WorkerProcesses::WorkerProcesses(std::vector<std::string> command, int count,
                                 std::function<void(const std::string&)> on_end)
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
    wake_.wait_for(lock, look_every, [this] { return stopping_; });
  }
  end_all();
  tell_of_ended();
}

void WorkerProcesses::tell_of_ended() {
  for (const std::string& name : std::exchange(ended_, {})) on_end_(name);
}

void WorkerProcesses::start(Slot& slot) {
  slot.name = worker_name();
  std::vector<char*> words;
  for (const std::string& word : command_) words.push_back(const_cast<char*>(word.c_str()));
  std::string flag = "--name";
  words.insert(words.end(), {flag.data(), slot.name.data(), nullptr});
  const pid_t server = ::getpid();
  const long most_files = ::sysconf(_SC_OPEN_MAX);
  const pid_t pid = ::fork();
  if (pid == 0) {  // only what is safe after a fork of many threads
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != server) ::_exit(1);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    // Not the server's sockets: its port would be taken, and its clients wait, until the worker ends too.
    if (::close_range(STDERR_FILENO + 1, ~0U, 0) != 0)  // before Linux 5.9
      for (int file = STDERR_FILENO + 1; file < most_files; ++file) ::close(file);
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  slot.started = Clock::now();
  if (pid < 0) {
    log_warning(std::string("a worker cannot be started: ") + std::strerror(errno));
    slot.start_at = Clock::now() + longest_pause;
    return;
  }
  slot.pid = pid;
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
