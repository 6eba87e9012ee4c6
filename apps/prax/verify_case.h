#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "base/cancellation.h"
#include "checkpoint/lora.h"
#include "comparison.h"
#include "reference_case.h"
#include "tensor/dtype.h"

namespace prax::app {

struct VerifyOptions {
  DType dtype = DType::f32;
  std::filesystem::path model;  //!< to run instead of the case's own; empty for that
  std::string only;             //!< checks tensors whose name holds this text; all when empty
  checkpoint::LoraMode lora_mode = checkpoint::LoraMode::automatic;
  const CancelToken* cancel = nullptr;

  bool wants(const std::string& name) const { return only.empty() || name.find(only) != std::string::npos; }
};

//! Takes the checks as they are made.
using Report = std::function<void(const Check&)>;

//! What kind of case it is, as people should read it: "LTXPipeline", "random numbers" ...
std::string kind_of(const ReferenceCase& reference);

//! Does what the reference did and reports one check a recorded tensor that the options want: none is left out
//! silently, what is not computed here is reported as not checked. Errors of the run itself are thrown.
void verify_case(const ReferenceCase& reference, const VerifyOptions& options, const Report& report);

}  // namespace prax::app
