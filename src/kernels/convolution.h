#pragma once

#include <cstdint>
#include <span>

#include "kernels/matmul.h"
#include "tensor/tensor.h"

//! Convolutions with 3x3 taps over pictures that lie in memory with a border around them. Nothing is copied for them
//! (no im2col).
namespace prax::kernels {

//! Convolution as products with shifted rows: row i of A in group g, segment s begins at
//! group_base[g] + i * a_stride + segment_offset[s] (elements of the kernel's a_dtype) and is `depth` long. Nothing
//! is copied, so up to kernel().rows - 1 rows past m must be readable.
void matmul_taps(std::span<const void* const> group_base, const int64_t* segment_offset, int64_t m, int64_t a_stride,
                 const PackedMatrix& w, const Epilogue& e);

//! Weights of a 3x3 convolution over one or more pictures, transformed for Winograd's minimal filtering F(2x2, 3x3)
//! (Lavin and Gray 2016, arXiv:1509.09308): 16 products for each 2x2 pixels of the output in place of 36. The pictures'
//! sums are taken before the output is transformed. Rounding to bf16 costs about 1.7 times what it costs tap by tap.
class WinogradWeights {
public:
  WinogradWeights() = default;
  //! From W [out, in, pictures, 3, 3] or [out, in, 3, 3].
  static WinogradWeights pack(const Tensor& w, DType dtype);

  bool defined() const { return packed_.defined(); }
  int64_t in() const { return in_; }
  int64_t out() const { return packed_.rows(); }
  int64_t pictures() const { return pictures_; }
  int64_t chunks() const { return chunks_; }  //!< into how many parts the input's channels are cut
  int64_t chunk() const { return chunk_; }    //!< channels of one
  size_t bytes() const { return packed_.bytes(); }
  const MatmulKernel& kernel() const { return packed_.kernel(); }
  //! The panel of product `tap` (0 ... 15) of one chunk of one picture.
  const void* panel(int64_t panel, int64_t picture, int64_t chunk, int64_t tap) const {
    const int64_t bytes = chunk_ * kernel().columns * static_cast<int64_t>(size_of(packed_.dtype()));
    return static_cast<const char*>(packed_.panel(panel, picture * chunks_ + chunk)) + tap * bytes;
  }

private:
  int64_t in_ = 0, pictures_ = 0, chunks_ = 0, chunk_ = 0;
  PackedMatrix packed_;
};

//! The input pictures: the first pixel of each one's border (pixel (-1, -1)). Where height or width are odd, a row and
//! a pixel past the border are read and ignored: the memory must exist.
struct BorderedPictures {
  std::span<const void* const> first;
  int64_t pixel_stride, row_stride;  //!< elements
  DType dtype;                       //!< the kernel's a_dtype, or bf16
};

//! The output [height, width, out] f32, and what is added to it. Strides in elements.
struct ConvolvedPicture {
  int64_t height, width;
  float* out;
  int64_t out_row;                    //!< from row to row; pixels follow each other
  const float* bias = nullptr;        //!< [out]
  const void* residual = nullptr;     //!< laid out like the output, which it may be
  DType residual_dtype = DType::f32;  //!< or bf16
};

//! out = the convolution + bias + residual. Deterministic: the result does not depend on the number of threads.
void convolve_winograd(const BorderedPictures& in, const WinogradWeights& w, const ConvolvedPicture& out);

}  // namespace prax::kernels
