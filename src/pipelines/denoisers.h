#pragma once

#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "checkpoint/weights.h"

namespace prax::pipelines {

//! The components of a model folder that predict noise: "transformer", of Pyramid Flow "diffusion_transformer_768p" ...
std::vector<std::string> denoisers_of(const checkpoint::Folder& folder);

//! Makes such a network with `weights` as its source, so that these hear what it asks for and multiplies (see
//! checkpoint::NotingSource). Error(checkpoint) where config and weights do not fit each other.
void describe_denoiser(const checkpoint::Config& config, const std::shared_ptr<checkpoint::TensorSource>& weights,
                       DType dtype);

//! The arithmetic that a folder's denoiser is stored for: i8 where its weights are int8 (see quantize.h), else bf16.
DType stored_dtype(const checkpoint::Folder& folder, const std::string& variant = {});

}  // namespace prax::pipelines
