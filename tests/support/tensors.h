#pragma once

#include <cstring>

#include "tensor/tensor.h"

namespace prax::test {

//! Of one shape, one dtype and the same bits.
inline bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace prax::test
