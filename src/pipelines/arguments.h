#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "pipelines/pipeline.h"
#include "tensor/tensor.h"

namespace prax::pipelines {

//! Replaces defaults of `arguments` by those that the model folder itself states in `praxinoscope.json`
//! ({"defaults": {"width": 128, ...}}). Error(checkpoint) for names that the pipeline does not have.
void apply_folder_defaults(const checkpoint::Folder& folder, std::vector<Argument>& arguments);

//! The request's arguments with every absent one at its default and every value of its argument's type.
//! Error(usage) for a name that is not in the list (with the nearest one that is) and for a value of another type.
nlohmann::json complete_arguments(const nlohmann::json& given, const std::vector<Argument>& arguments);

//! The one tensor of a safetensors file, as f32. Error(input) when there are several.
Tensor read_tensor(const std::filesystem::path& file);

//! Error(usage) for a prompt that is not valid UTF-8, naming the first bad byte's offset.
void require_utf8(const std::string& text, const char* what);

}  // namespace prax::pipelines
