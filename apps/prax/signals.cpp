#include "signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace prax::app {
namespace {

constinit CancelToken token;
constinit std::atomic<bool> reload_asked{false}, from_terminal{false};

// Only what may be called in a handler: an atomic flag and _exit.
void on_signal(int) {
  constexpr int interrupted = 130;
  if (token.cancelled()) _exit(interrupted);
  token.cancel();
}

// The end of a terminal sends it more than once: that is nobody's impatience.
void on_hangup(int) { token.cancel(); }

bool has_terminal() {
  const int terminal = ::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (terminal >= 0) ::close(terminal);
  return terminal >= 0;
}

// open() and close() may be called in a handler, too.
void on_reload(int) {
  const int before = errno;
  if (from_terminal && !has_terminal())
    token.cancel();
  else
    reload_asked = true;
  errno = before;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

bool ignored(int signal) {
  struct sigaction action = {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void handle_signals() {
  for (const int signal : {SIGINT, SIGTERM}) handle(signal, on_signal);
  // nohup's wish to ignore the end of the terminal is kept.
  if (!ignored(SIGHUP)) handle(SIGHUP, on_hangup);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

void reload_on_hangup() {
  from_terminal = !ignored(SIGHUP) && has_terminal();
  handle(SIGHUP, on_reload);
}

bool take_reload_request() { return reload_asked.exchange(false); }

const CancelToken& signal_token() { return token; }

}  // namespace prax::app
