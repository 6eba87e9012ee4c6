#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::app {

//! Where clip `index` of `count` goes: the path itself when there is one, else "clip.mp4" -> "clip-1.mp4" ...
std::filesystem::path clip_path(const std::filesystem::path& output, int64_t index, int64_t count);

//! A model as others know it: "nano", "Lightricks/LTX-Video" for a folder of the download cache, else the folder's
//! name. No path of this machine.
std::string model_name(const std::string& model);

//! Everything that is needed to make the same video again; goes into the file.
std::map<std::string, std::string> describe(const pipelines::Run& run, const std::string& reference_class,
                                            const std::string& model, DType dtype);

//! Where all clips go.
std::vector<std::filesystem::path> clip_paths(const std::filesystem::path& output, int64_t count);

//! Opens the writers of `count` clips' files, each of which exists only when it is complete. `describe` says what goes
//! into the files.
pipelines::OpenSink clip_writers(const std::filesystem::path& output, int64_t count, int quality,
                                 std::function<std::map<std::string, std::string>()> describe);

//! "f32", "bf16" or "int8"; Error(usage) for anything else.
DType compute_dtype(const std::string& name);
//! The same the other way.
std::string name_of_compute(DType dtype);
//! The arithmetic for a model folder: what was asked for, or, when that is empty, what the folder is stored for.
DType compute_dtype(const std::string& asked, const std::filesystem::path& folder, const std::string& variant = {});

//! Most memory that the process has had resident, in bytes, mapped weight files among it.
uint64_t peak_memory();

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
