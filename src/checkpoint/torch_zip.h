#pragma once

#include <filesystem>
#include <memory>

#include "checkpoint/weights.h"

namespace prax::checkpoint {

//! The tensors of a file that torch.save wrote of a state dict (a zip archive since PyTorch 1.6), mapped read-only. Its
//! pickle is read as data (see state_dict_pickle.h): no code can run. Contiguous tensors borrow the mapping, others are
//! copied when asked for. Error(io) when the file is missing or cannot be read, Error(checkpoint) when it is no such
//! file, is damaged, or holds anything else than tensors.
std::shared_ptr<TensorSource> open_torch_zip(const std::filesystem::path& path);

}  // namespace prax::checkpoint
