#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"

namespace prax::app {

enum ExitCode { exit_done = 0, exit_failed = 1, exit_usage = 2, exit_interrupted = 130 };

int exit_code_of(ErrorKind kind);

//! One JSON object on a line of its own on stdout, at once. Bytes that are not UTF-8 (file names) are replaced.
void print_json(const nlohmann::json& value);

//! "prax: <message>" and the hint under it on stderr; with `json` also {"type":"error"} on stdout.
void print_error(const Error& error, bool json);

//! A word as a shell takes it: in single quotes where that is needed.
std::string shell_word(const std::string& word);

}  // namespace prax::app
