#include "pipelines/compute_dtype.h"

#include "base/error.h"
#include "pipelines/denoisers.h"

namespace prax::pipelines {

DType compute_dtype(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  if (name == "int8") return DType::i8;
  throw Error(ErrorKind::usage, "--dtype is '" + name + "', which cannot be",
              "use bf16 (the usual), int8 (half the memory) or f32 (exact)");
}

std::string name_of_compute(DType dtype) { return dtype == DType::i8 ? "int8" : std::string(prax::name_of(dtype)); }

DType compute_dtype(const std::string& asked, const std::filesystem::path& folder, const std::string& variant) {
  return asked.empty() ? stored_dtype(checkpoint::Folder::open(folder), variant) : compute_dtype(asked);
}

}  // namespace prax::pipelines
