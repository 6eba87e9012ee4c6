#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/cancellation.h"
#include "base/progress.h"
#include "checkpoint/new_folder.h"

namespace prax::pipelines {

struct QuantizeOptions {
  std::string variant;                            //!< of the weight files to read
  uint64_t shard_bytes = 5'000'000'000;           //!< larger weights are cut into several files, with an index
  std::function<void(const Progress&)> progress;  //!< stages "measure" and "write", in matrices and tensors
  const CancelToken* cancel = nullptr;
};

//! A matrix that stayed as it was, because int8 would take more from it than nn::Linear::most_int8_error.
struct KeptMatrix {
  std::string name;
  double error;
};

struct QuantizeReport {
  int64_t matrices = 0;  //!< of the denoisers, now int8
  std::vector<KeptMatrix> kept;
  uint64_t bytes_before = 0, bytes_after = 0;  //!< of the denoisers' weights
  checkpoint::Carried carried;                 //!< other files
};

//! Writes the model folder `from` as `to` with the denoisers' matrices as int8. `to` loads without `from`.
//!
//! "x.weight" becomes I8 of the same shape, "x.weight_scale" F32 [out] stands beside it: row i of the weight is
//! weight_scale[i] * weight[i]. Which matrices give way is measured as nn::Linear measures it when it packs them, and
//! the bytes are those that it would make: a run with int8 multiplies by the same numbers from both folders. The other
//! components are carried: files of some size share their blocks with the original where the file system can (reflink),
//! else are hard links to it, else copies. Weights at the top of the folder that belong to no component are left out.
//!
//! `to` appears when it is complete. One tensor at a time is in memory. Error(usage) when `to` exists or the model is
//! int8 already, Error(checkpoint) when `from` does not run, Error(io) when the disk is full.
QuantizeReport quantize(const std::filesystem::path& from, const std::filesystem::path& to,
                        const QuantizeOptions& options = {});

}  // namespace prax::pipelines
