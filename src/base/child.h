#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/cancellation.h"

namespace prax {

//! Another program that is run to its end. No shell is between: its words reach it as they are.
struct ChildCall {
  std::vector<std::string> words;        //!< the program, found by PATH if it is no path, and its arguments
  std::string input;                     //!< what it reads from its standard input
  std::vector<std::string> environment;  //!< "NAME=value", beside our own
  std::chrono::milliseconds timeout{10'000};
  bool shows_errors = true;  //!< its standard error is ours; else nobody's
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
