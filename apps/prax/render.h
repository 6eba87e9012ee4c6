#pragma once

#include <algorithm>
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
  std::map<std::string, uint64_t> memory;  //!< the most of each stage, anonymous

  //! Notes what a stage took, if it is more than before.
  void took(const std::string& stage, uint64_t bytes) { memory[stage] = std::max(memory[stage], bytes); }
  uint64_t peak() const {
    uint64_t most = 0;
    for (const auto& [stage, bytes] : memory) most = std::max(most, bytes);
    return most;
  }
};
//! One line for people, or {"type":"result"} for programs, on stdout.
void print_summary(const Summary& summary, const pipelines::Run& run, const std::string& model, bool json);

}  // namespace prax::app
