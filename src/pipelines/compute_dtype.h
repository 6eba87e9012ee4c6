#pragma once

#include <filesystem>
#include <string>

#include "tensor/tensor.h"

namespace prax::pipelines {

//! "f32", "bf16" or "int8", as people name the arithmetic of the products; Error(usage) for anything else.
DType compute_dtype(const std::string& name);
//! The same the other way.
std::string name_of_compute(DType dtype);
//! The arithmetic for a model folder: what was asked for, or, when that is empty, what the folder is stored for.
DType compute_dtype(const std::string& asked, const std::filesystem::path& folder, const std::string& variant = {});

}  // namespace prax::pipelines
