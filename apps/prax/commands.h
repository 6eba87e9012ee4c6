#pragma once

#include <CLI/CLI.hpp>
#include <string_view>

namespace prax::app {

constexpr int most_threads = 1024;

//! A check for whole numbers in a range that leaves the help text as it is.
inline CLI::Validator whole_number(int least, int most) {
  CLI::Validator range = CLI::Range(least, most);
  range.description("");
  return range;
}

//! Each function adds one subcommand to `app`. Its callback runs after the whole command line was read: it does the
//! work and leaves the exit code in `exit_code` (0 done, 1 failed, 2 wrong usage, 130 interrupted), which lives as
//! long as `app`. What goes wrong is thrown as prax::Error: main() prints it and picks the exit code of its kind.
void add_generate(CLI::App& app, int& exit_code);
void add_decode(CLI::App& app, int& exit_code);
void add_info(CLI::App& app, int& exit_code);
void add_models(CLI::App& app, int& exit_code);
void add_verify(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_quantize(CLI::App& app, int& exit_code);
void add_serve(CLI::App& app, int& exit_code);
void add_worker(CLI::App& app, int& exit_code);
void add_keys(CLI::App& app, int& exit_code);
void add_audit(CLI::App& app, int& exit_code);
//! For the server, which looks at what it is sent in a process that may fail. Not in the help.
void add_inspect(CLI::App& app);

//! The family that published models of a pipeline class belong to ("CogVideoX"); "" for a class that none has.
std::string_view published_family(std::string_view pipeline_class);

}  // namespace prax::app
