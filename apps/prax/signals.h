#pragma once

#include "base/cancellation.h"

namespace prax::app {

//! From now on SIGINT, SIGTERM and SIGHUP raise the token; the second such signal ends the process at once (130).
//! A closed pipe and a file size limit become errors of the write instead of signals.
void handle_signals();

//! The token that the signals raise.
const CancelToken& signal_token();

}  // namespace prax::app
