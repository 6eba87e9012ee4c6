#pragma once

#include "base/cancellation.h"

namespace prax::app {

//! From now on SIGINT, SIGTERM and SIGHUP raise the token; a second SIGINT or SIGTERM ends the process at once (130).
//! A closed pipe and a file size limit become errors of the write instead of signals.
void handle_signals();

//! From now on SIGHUP asks for a reload, as daemons have it. When it means that the terminal is gone from which the
//! program was started, it raises the token as before (not under nohup).
void reload_on_hangup();

//! Whether SIGHUP asked for a reload since the last call.
bool take_reload_request();

//! The token that the signals raise.
const CancelToken& signal_token();

}  // namespace prax::app
