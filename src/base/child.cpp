#include "base/child.h"

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

extern char** environ;

namespace prax {

namespace {

//! Why a program cannot be run.
struct Failure {
  std::string text;
};

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
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Failure{std::string("got no pipe: ") + std::strerror(errno)};
  read_end.number = ends[0];
  write_end.number = ends[1];
}

void run(const ChildCall& call, const CancelToken& cancel, ChildEnd& end) {
  using Clock = std::chrono::steady_clock;
  constexpr int look_every_ms = 50;
  constexpr size_t most_output = 1 << 16;
  // As a file and not as a pipe: a program need not read what it is told.
  Descriptor child_in, our_in, child_out;
  child_in.number = ::memfd_create("input", MFD_CLOEXEC);
  if (child_in.number < 0 ||
      ::write(child_in.number, call.input.data(), call.input.size()) != static_cast<ssize_t>(call.input.size()) ||
      ::lseek(child_in.number, 0, SEEK_SET) != 0)
    throw Failure{std::string("could not be given its input: ") + std::strerror(errno)};
  make_pipe(our_in, child_out);
  ::fcntl(our_in.number, F_SETFL, O_NONBLOCK);
  Program program{.words = call.words,
                  .environment = own_environment(),
                  .input = child_in.number,
                  .output = child_out.number,
                  .shows_errors = call.shows_errors,
                  .own_group = true};
  program.environment.insert(program.environment.end(), call.environment.begin(), call.environment.end());
  Child child;
  try {
    child.pid = start_program(program);
  } catch (const Error& error) {
    throw Failure{error.what()};
  }
  child_in.close();
  child_out.close();

  const auto until = Clock::now() + call.timeout;
  bool over = false;
  while (!over) {
    cancel.check();
    if (Clock::now() > until)
      throw Failure{"took longer than " + std::to_string(call.timeout.count() / 1000) + " seconds"};
    over = child.ended(end.status);
    pollfd wait{our_in.number, POLLIN, 0};
    if (!over) ::poll(&wait, 1, look_every_ms);
    char piece[4096];
    for (ssize_t count;
         our_in.number >= 0 && Clock::now() <= until && (count = ::read(our_in.number, piece, sizeof piece)) >= 0;) {
      if (count == 0) our_in.close();
      const std::string_view text(piece, static_cast<size_t>(count));
      if (call.on_output)
        call.on_output(text);
      else if (end.output.size() < most_output)
        end.output.append(text);
    }
  }
}

//! As execve() takes texts.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

pid_t start_program(const Program& program) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (program.input >= 0) posix_spawn_file_actions_adddup2(&actions, program.input, STDIN_FILENO);
  if (program.output >= 0) posix_spawn_file_actions_adddup2(&actions, program.output, STDOUT_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  if (!program.shows_errors) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  sigemptyset(&none);
  sigemptyset(&usual);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGINT, SIGTERM, SIGHUP}) sigaddset(&usual, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &usual);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                           (program.own_group ? POSIX_SPAWN_SETPGROUP : 0)));
  pid_t pid = -1;
  const int failure = posix_spawnp(&pid, program.words.front().c_str(), &actions, &attributes,
                                   pointers_to(program.words).data(), pointers_to(program.environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failure)
    throw Error(ErrorKind::io, program.words.front() + " cannot be started: " + std::strerror(failure),
                "see that it is there and may be run");
  return pid;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> all;
  for (char** variable = environ; *variable; ++variable) all.emplace_back(*variable);
  return all;
}

ChildEnd run_child(const ChildCall& call, const CancelToken& cancel) {
  ChildEnd end;
  try {
    run(call, cancel, end);
  } catch (const Failure& failure) {
    end.problem = failure.text;
  }
  return end;
}

}  // namespace prax
