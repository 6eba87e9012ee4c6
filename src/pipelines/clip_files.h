#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Where clip `index` of `count` goes: the path itself when there is one, else "clip.mp4" -> "clip-1.mp4" ...
std::filesystem::path clip_path(const std::filesystem::path& output, int64_t index, int64_t count);

//! A model as others know it: "nano", "Lightricks/LTX-Video" for a folder of the download cache, else the folder's
//! name. No path of this machine.
std::string model_name(const std::string& model);

//! Everything that is needed to make the same video again; goes into the file.
std::map<std::string, std::string> describe(const Run& run, const std::string& reference_class,
                                            const std::string& model, DType dtype);

//! Where all clips go.
std::vector<std::filesystem::path> clip_paths(const std::filesystem::path& output, int64_t count);

//! Opens the writers of `count` clips' files, each of which exists only when it is complete. `describe` says what goes
//! into the files.
OpenSink clip_writers(const std::filesystem::path& output, int64_t count, int quality,
                      std::function<std::map<std::string, std::string>()> describe);

}  // namespace prax::pipelines
