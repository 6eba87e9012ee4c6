#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace prax {

//! torch's CPU generator: mt19937 with torch's seeding, and its two ways to normal numbers (under 16 values one by
//! one in double with a cached second value, from 16 on in blocks of 16). The same bits on every processor: those of
//! torch's AVX2 kernels, which torch runs on every x86 processor of the last decade.
//! Reference: aten/src/ATen/core/MT19937RNGEngine.h, aten/src/ATen/CPUGeneratorImpl.cpp,
//! aten/src/ATen/core/DistributionsHelper.h, aten/src/ATen/native/cpu/DistributionTemplates.h (2.13).
//! Not for use from two threads at once; a copy draws the same numbers as the original from there on.
class Generator {
public:
  //! Like torch.Generator().manual_seed(seed); torch uses the lower 32 bits.
  explicit Generator(uint64_t seed = 0);

  //! Standard normal numbers as torch.randn(shape, generator=g, dtype=dtype) draws them; dtype f32, bf16 or f16,
  //! Error(internal) for others and for a negative extent. The result does not depend on the number of threads.
  Tensor randn(const Shape& shape, DType dtype = DType::f32);
  //! Uniform numbers in [0, 1) as torch.rand(shape, generator=g) draws them (f32, multiples of 2^-24).
  Tensor rand(const Shape& shape);

  //! The whole state as one line of text, and back: a resumed run draws on as if it had not stopped. from_state throws
  //! Error(input) on text that is not a state.
  std::string state() const;
  static Generator from_state(const std::string& text);

private:
  static constexpr int words = 624;

  uint32_t random();
  uint64_t random64();
  double normal();
  void uniform(float* out, int64_t count);
  void refill();

  std::array<uint32_t, words> state_{};
  int position_ = words;  //!< of the next word; `words`: refill first
  bool has_next_normal_ = false;
  double next_normal_ = 0;
};

}  // namespace prax
