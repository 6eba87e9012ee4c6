#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancellation.h"

namespace prax {

//! Another program to be started. No shell is between: its words reach it as they are.
struct Program {
  std::vector<std::string> words;        //!< the program, found by PATH if it is no path, and its arguments
  std::vector<std::string> environment;  //!< "NAME=value": all of it
  int input = -1, output = -1;           //!< open files for its standard input and output; -1 for our own
  bool shows_errors = true;              //!< its standard error is ours; else nobody's
  bool own_group = false;                //!< in a process group of its own, whose number is the program's
};

//! Starts it with its standard streams and none of our other open files, whoever opened them and how: a server's port
//! would be taken, and its clients wait, until the program ends too. No signal is blocked or ignored there. Error(io).
pid_t start_program(const Program& program);

//! "NAME=value" of all our environment.
std::vector<std::string> own_environment();

//! Another program that is run to its end.
struct ChildCall {
  std::vector<std::string> words;          //!< as Program::words
  std::string input{};                     //!< what it reads from its standard input
  std::vector<std::string> environment{};  //!< "NAME=value", beside our own
  std::chrono::milliseconds timeout{10'000};
  bool shows_errors = true;  //!< as Program::shows_errors
  //! Is given its standard output as it comes, instead of ChildEnd::output. What this throws ends the program.
  std::function<void(std::string_view)> on_output{};
};

struct ChildEnd {
  std::string problem;  //!< why it did not come to its end: not started, or ended by us after the timeout; or ""
  int status = 0;       //!< as waitpid() gives it
  std::string output;   //!< the beginning of its standard output, at most 64 KiB
};

//! Runs a program in a process group of its own, all of which is ended after the timeout. Error(interrupted) when the
//! token is raised meanwhile.
ChildEnd run_child(const ChildCall& call, const CancelToken& cancel = {});

}  // namespace prax
