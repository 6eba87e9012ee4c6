#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "pipelines/pipeline.h"
#include "tensor/tensor.h"

namespace prax::pipelines {

// Types of arguments, and what their JSON is:
//   int, float, bool, string   one value
//   floats                     a list of numbers
//   int or ints, float or floats   a number, or one for each condition
//   file                       path of a safetensors file with one tensor
//   picture                    path of a picture, or a list of paths
//   clip                       path of a clip, a folder of pictures or a pattern like "frame_%03d.png", or
//                              {"file": path, "start": first frame (negative counts from the end), "frames": at most},
//                              or a list of such
//   conditions                 a list of {"image": picture or "video": clip, "frame_index": 0, "strength": 1.0}
//   tiling                     true, false, or an object with the reference's sizes by name
//   segments                   a list of {"start_window": 0, "end_window": 0, "text": "..."}

//! Replaces defaults of `arguments` by those that the model folder itself states in `praxinoscope.json`
//! ({"defaults": {"width": 128, ...}}). Error(checkpoint) for names that the pipeline does not have.
void apply_folder_defaults(const checkpoint::Folder& folder, std::vector<Argument>& arguments);

//! The request's arguments with every absent one at its default and every value of its argument's type.
//! Error(usage) for a name that is not in the list (with the nearest one that is) and for a value of another type.
nlohmann::json complete_arguments(const nlohmann::json& given, const std::vector<Argument>& arguments);

//! The one tensor of a safetensors file, as f32. Error(input) when there are several.
Tensor read_tensor(const std::filesystem::path& file);

//! An argument of type "file": the tensor that the request holds under its name, or that of the file; an undefined
//! tensor when there is neither.
Tensor tensor_argument(const Request& request, const std::string& name);

//! Error(usage) when the whole number `name` is outside of [low, high].
void require_range(const nlohmann::json& arguments, const char* name, int64_t low, int64_t high);

//! The legal values around one that is not: 500 in steps of 32 -> "480 or 512".
std::string nearest_multiples(int64_t value, int64_t multiple, int64_t offset = 0);

//! Error(usage) for a prompt that is not valid UTF-8, naming the first bad byte's offset.
void require_utf8(const std::string& text, const char* what);

}  // namespace prax::pipelines
