#include "signals.h"

#include <signal.h>
#include <unistd.h>

namespace prax::app {
namespace {

constinit CancelToken token;

// Only what may be called in a handler: an atomic flag and _exit.
void on_signal(int) {
  constexpr int interrupted = 130;
  if (token.cancelled()) _exit(interrupted);
  token.cancel();
}

}  // namespace

void handle_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
  // nohup's wish to ignore the end of the terminal is kept.
  struct sigaction before = {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
}

const CancelToken& signal_token() { return token; }

}  // namespace prax::app
