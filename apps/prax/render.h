#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::app {

//! How a finished command reports itself.
struct Summary {
  std::vector<std::filesystem::path> files;
  double seconds = 0;
  std::map<std::string, double> stages;
};
//! One line for people, or {"type":"result"} for programs, on stdout.
void print_summary(const Summary& summary, const pipelines::Run& run, const std::string& model, bool json);

}  // namespace prax::app
