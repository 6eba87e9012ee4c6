#include "jobs/review.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/human.h"

extern char** environ;

namespace prax::jobs {

namespace {

constexpr size_t longest_reason = 500;

Error failed(const std::string& what) {
  return {ErrorKind::internal, "the review program " + what, "tell the operator; the job is tried again later"};
}

//! A descriptor that is closed at the end.
struct Descriptor {
  int number = -1;
  ~Descriptor() { close(); }
  void close() {
    if (number >= 0) ::close(number);
    number = -1;
  }
};

//! A program under way; its whole process group is ended with it.
struct Child {
  pid_t pid = -1;
  ~Child() {
    if (pid < 0) return;
    ::kill(-pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  //! The wait status, once it ended.
  bool ended(int& status) {
    if (::waitpid(pid, &status, WNOHANG) != pid) return false;
    pid = -1;
    return true;
  }
};

void make_pipe(Descriptor& read_end, Descriptor& write_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw failed(std::string("got no pipe: ") + std::strerror(errno));
  read_end.number = ends[0];
  write_end.number = ends[1];
}

void start(Child& child, const std::vector<std::string>& words, const std::string& job_id, int input, int output) {
  std::vector<char*> arguments, variables;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::string own = "PRAX_JOB_ID=" + job_id;
  for (char** variable = environ; *variable; ++variable) variables.push_back(*variable);
  variables.push_back(own.data());
  variables.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGINT, SIGTERM, SIGHUP}) sigaddset(&usual, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int failure =
      posix_spawnp(&child.pid, arguments.front(), &actions, &attributes, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure) {
    child.pid = -1;
    throw failed(words.front() + " cannot be started: " + std::strerror(failure));
  }
}

std::string first_line(const std::string& output) {
  std::string line = output.substr(0, output.find('\n'));
  if (line.size() > longest_reason) line.resize(longest_reason);
  if (const size_t bad = invalid_utf8_offset(line); bad != std::string::npos) line.resize(bad);
  if (const size_t zero = line.find('\0'); zero != std::string::npos) line.resize(zero);
  return line;
}

}  // namespace

ReviewDecision review(const std::vector<std::string>& program, const Job& job, const std::filesystem::path& video,
                      std::chrono::seconds timeout, const CancelToken& cancel) {
  using Clock = std::chrono::steady_clock;
  constexpr int look_every_ms = 50;
  constexpr size_t most_output = 1 << 16;
  const nlohmann::json about = {{"id", job.id},
                                {"key_id", job.key_id},
                                {"model", job.model},
                                {"prompt", job.prompt},
                                {"kind", name_of(job.kind)},
                                {"settings", to_json(job.settings)},
                                {"metadata", job.metadata}};
  const std::string input = about.dump() + "\n";
  std::string output;
  std::vector<std::string> words = program;
  words.push_back(video.string());

  // As a file and not as a pipe: a program need not read what it is told.
  Descriptor child_in, our_in, child_out;
  child_in.number = ::memfd_create("job", MFD_CLOEXEC);
  if (child_in.number < 0 ||
      ::write(child_in.number, input.data(), input.size()) != static_cast<ssize_t>(input.size()) ||
      ::lseek(child_in.number, 0, SEEK_SET) != 0)
    throw failed(std::string("could not be told of the job: ") + std::strerror(errno));
  make_pipe(our_in, child_out);
  ::fcntl(our_in.number, F_SETFL, O_NONBLOCK);
  Child child;
  start(child, words, job.id, child_in.number, child_out.number);
  child_in.close();
  child_out.close();

  const auto until = Clock::now() + timeout;
  int status = 0;
  bool over = false;
  while (!over) {
    cancel.check();
    if (Clock::now() > until) throw failed("took longer than " + std::to_string(timeout.count()) + " seconds");
    over = child.ended(status);
    pollfd wait{our_in.number, POLLIN, 0};
    if (!over) ::poll(&wait, 1, look_every_ms);
    char piece[4096];
    for (ssize_t count; our_in.number >= 0 && (count = ::read(our_in.number, piece, sizeof piece)) >= 0;) {
      if (count == 0) our_in.close();
      if (output.size() < most_output) output.append(piece, static_cast<size_t>(count));
    }
  }
  if (!WIFEXITED(status)) throw failed("was ended by signal " + std::to_string(WTERMSIG(status)));
  const int code = WEXITSTATUS(status);
  if (code > 1) throw failed("ended with status " + std::to_string(code) + ", which is neither 0 nor 1");
  return {code == 0, first_line(output)};
}

}  // namespace prax::jobs
