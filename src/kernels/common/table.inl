// The table of one ISA: its matrix products, and the loops that are the same source for all.

#pragma once

#include "kernels/common/int8.inl"
#include "kernels/common/matmul.inl"
#include "kernels/common/rowwise.inl"
#include "kernels/common/winograd.inl"

namespace {

constexpr prax::kernels::KernelTable table_of(prax::kernels::Isa isa, const prax::kernels::MatmulKernel& f32,
                                              const prax::kernels::MatmulKernel& bf16,
                                              const prax::kernels::ByteKernel& int8) {
  return {isa,    f32,      bf16,    int8, epilogue, norm,       affine,      channel_sums,
          rotate, activate, convert, add,  quantize, dequantize, winograd_in, winograd_out};
}

}  // namespace
