#include "checkpoint/weights.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/messages.h"
#include "tensor/parallel.h"

namespace prax::checkpoint {

namespace {

bool matches(const std::string& name, const std::string& pattern) {
  if (pattern.ends_with('*'))
    return std::string_view(name).starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
  return name == pattern;
}

//! The first element whose masked bits are all ones (an exponent of ones: infinity or NaN), or `count`.
template <typename Bits>
int64_t first_with_ones(const void* data, int64_t count, Bits mask) {
  const auto* bits = static_cast<const Bits*>(data);
  std::atomic<int64_t> first{count};
  parallel_for(count, 1 << 18, [&](int64_t begin, int64_t end) {
    constexpr int64_t block = 1024;  // short enough to stop soon, long enough for vector code without branches
    for (int64_t i = begin; i < end; i += block) {
      const int64_t stop = std::min(end, i + block);
      Bits found = 0;
      for (int64_t j = i; j < stop; ++j) found |= static_cast<Bits>((bits[j] & mask) == mask);
      if (!found) continue;
      while ((bits[i] & mask) != mask) ++i;
      int64_t known = first.load();
      while (i < known && !first.compare_exchange_weak(known, i)) {
      }
      return;
    }
  });
  return first.load();
}

}  // namespace

std::string Weights::path(std::string_view name) const {
  if (prefix_.empty()) return std::string(name);
  return name.empty() ? prefix_ : prefix_ + "." + std::string(name);
}

Weights Weights::operator[](std::string_view name) const { return Weights(source_, path(name), loras_, budget_); }

void require_all_used(const TensorSource& source, const std::vector<std::string>& ignored) {
  std::vector<std::string> left = source.unused();
  std::erase_if(left, [&](const std::string& name) {
    return std::any_of(ignored.begin(), ignored.end(), [&](const auto& pattern) { return matches(name, pattern); });
  });
  if (left.empty()) return;
  throw Error(
      ErrorKind::checkpoint,
      in_quotes(source.description(), 400) + " holds tensors that its configuration has no use for: " + list_of(left),
      "config.json and the weights belong to different models; download the folder again");
}

void require_finite(const Tensor& tensor, const std::string& name) {
  if (!tensor.has_storage()) return;
  const int64_t count = tensor.numel();
  int64_t at = count;
  switch (tensor.dtype()) {
    case DType::f64:
      at = first_with_ones<uint64_t>(tensor.raw(), count, 0x7ff0000000000000u);
      break;
    case DType::f32:
      at = first_with_ones<uint32_t>(tensor.raw(), count, 0x7f800000u);
      break;
    case DType::f16:
      at = first_with_ones<uint16_t>(tensor.raw(), count, 0x7c00u);
      break;
    case DType::bf16:
      at = first_with_ones<uint16_t>(tensor.raw(), count, 0x7f80u);
      break;
    case DType::f8_e5m2:
      at = first_with_ones<uint8_t>(tensor.raw(), count, 0x7cu);
      break;
    case DType::f8_e4m3:
      at = first_with_ones<uint8_t>(tensor.raw(), count, 0x7fu);
      break;  // its only NaN
    default:
      return;
  }
  if (at == count) return;
  Shape index(tensor.shape().size());
  int64_t rest = at;
  for (size_t i = index.size(); i-- > 0;) {
    index[i] = rest % tensor.shape()[i];
    rest /= tensor.shape()[i];
  }
  throw Error(ErrorKind::checkpoint,
              "tensor " + in_quotes(name) + " is infinite or not a number at " + to_string(index) + " of " +
                  to_string(tensor.shape()),
              "the weights are damaged; download the file again");
}

void require_floating(const Tensor& tensor, const std::string& name) {
  if (is_floating(tensor.dtype())) return;
  throw Error(ErrorKind::checkpoint,
              "tensor " + in_quotes(name) + " has elements of type " + std::string(name_of(tensor.dtype())) +
                  " where floating-point weights are needed",
              "the checkpoint may be quantized in a way that is not supported; use the f32, f16 or bf16 one");
}

Tensor ManifestSource::get(const std::string& name, const Shape& shape) {
  requested_.emplace_back(name, shape);
  return Tensor::meta(shape, DType::f32);
}

}  // namespace prax::checkpoint
