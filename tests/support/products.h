#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "support/isas.h"
#include "tensor/tensor.h"

//! What tests of matrix products and convolutions compare with.
namespace prax::kernels {

//! Runs a body for each ISA and weight dtype.
template <typename Body>
void everywhere(Body&& body) {
  test::on_every_isa([&] {
    for (DType dtype : {DType::f32, DType::bf16}) {
      SCOPED_TRACE(std::string(name_of(dtype)));
      body(dtype);
    }
  });
}

//! A W^T in double, with the operands rounded as the kernel will round them.
inline std::vector<double> product(const Tensor& a, const Tensor& w, DType dtype) {
  const Tensor ra = a.to(activation_dtype(dtype)).to(DType::f32), rw = w.to(dtype).to(DType::f32);
  const int64_t m = a.dim(0), k = a.dim(1), n = w.dim(0);
  std::vector<double> out(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t d = 0; d < k; ++d)
        sum += static_cast<double>(ra.data<float>()[i * k + d]) * static_cast<double>(rw.data<float>()[j * k + d]);
      out[static_cast<size_t>(i * n + j)] = sum;
    }
  return out;
}

inline void expect_near(const Tensor& got, const std::vector<double>& want, double tolerance) {
  for (size_t i = 0; i < want.size(); ++i)
    ASSERT_NEAR(got.data<float>()[i], want[i], tolerance * (1 + std::abs(want[i]))) << "at " << i;
}

}  // namespace prax::kernels
