#pragma once

#include <cstdint>

#include "kernels/isa.h"
#include "tensor/dtype.h"

//! The table of inner loops, one a kernel ISA. Everything here works on raw memory and one thread; the drivers
//! (matmul.h, convolution.h, rowwise.h, attention.h) cut the work into pieces and hand them to the threads.
namespace prax::kernels {

//! silu(x) = x sigmoid(x); gelu(x) = x Phi(x), the normal distribution's; gelu_tanh approximates it (Hendrycks and
//! Gimpel 2016, arXiv:1606.08415); quick_gelu(x) = x sigmoid(1.702 x); mish(x) = x tanh(log(1 + e^x)); relu(x) =
//! max(x, 0).
enum class Activation : uint8_t { none, silu, gelu_tanh, gelu, quick_gelu, mish, relu };

//! What happens to a block of products C before it is written, in this order:
//! y = activation(c + bias); y *= factor; y = residual + gate * y; out = y.
//! Columns are the block's own: the driver has moved all pointers to the block's first column.
struct Epilogue {
  const float* bias = nullptr;  //!< [columns]
  Activation activation = Activation::none;
  const void* factor = nullptr;  //!< [rows, columns] of out_dtype, multiplied in (gated feed-forward)
  int64_t factor_stride = 0;     //!< elements from row to row
  const float* gate = nullptr;   //!< [columns], or one row a row of C when gate_stride is not 0
  int64_t gate_stride = 0;
  const float* residual = nullptr;  //!< [rows, columns] f32
  int64_t residual_stride = 0;
  void* out = nullptr;           //!< [rows, columns]
  DType out_dtype = DType::f32;  //!< f32 or bf16
  int64_t out_stride = 0;

  //! The same for the part of C that begins at this row and column.
  Epilogue at(int64_t row, int64_t column) const;
};

//! The innermost matrix product of one ISA and weight dtype.
//! C[mr, nr] (+)= sum over segments s, k < depth of A[i * a_stride + segment_offset[s] + k] * B[s * depth + k][nr]
//! where B is packed (pack and widen below) and depth a multiple of depth_multiple. Rows of A past the end are read and
//! their results ignored: the memory must exist.
struct MatmulKernel {
  int rows;            //!< mr
  int columns;         //!< nr
  int depth_multiple;  //!< K is padded with zeros to this
  int depth_block;     //!< best K for one call: its B panel stays in L1
  DType a_dtype;       //!< what A's elements must be
  DType b_dtype;       //!< what panels are stored as
  void (*tile)(const void* a, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
               const void* b, float* c, int64_t c_stride, bool accumulate);
  //! Packs nr rows of W [n, k] (row-major, w_stride elements a row, f32 or bf16 by w_dtype) from column k0, `depth`
  //! deep, into one panel; rows past `n` and columns past `k` become zero.
  void (*pack)(const void* w, DType w_dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel);
  //! Where the tile multiplies f32 but panels are bf16: writes a panel as B, [depth][nr]. Null where they are the same.
  void (*widen)(const void* panel, int64_t depth, float* b) = nullptr;
};

//! The innermost product of int8: C[rows, columns] (+)= A W^T with exact sums in int32. A holds what quantize() made
//! (below) as a_dtype; rows of A past the end are read and their results ignored.
struct ByteKernel {
  int rows, columns;
  int depth_multiple;  //!< k is padded to this, A with zeros
  int depth_block;     //!< best k for one call
  DType a_dtype;       //!< i8, or i16 where the ISA multiplies 16 bits at least
  int b_most;          //!< weights are -b_most..b_most: 127, or less where sums of two products have 16 bits
  int b_offset;        //!< added to every weight when it is packed, where the ISA wants them unsigned
  void (*tile)(const void* a, int64_t a_stride, int64_t depth, const void* b, int32_t* c, int64_t c_stride,
               bool accumulate);
  //! Packs up to `columns` rows of W [n, k] into one panel, padded as if W were zero there.
  void (*pack)(const int8_t* w, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel);
};

//! What quantize() found out about a row.
struct QuantizedRow {
  float scale;    //!< x = scale q to within half a scale; not a number where x holds something that is not finite
  int32_t sum;    //!< of q
  float squares;  //!< sum of x^2
};

//! Loops over one row or a few rows; channels contiguous. In and out are f32 or bf16 as given.
struct KernelTable {
  Isa isa;
  MatmulKernel f32, bf16;  //!< by weight dtype
  ByteKernel int8;
  void (*epilogue)(const float* c, int64_t c_stride, int64_t rows, int64_t columns, const Epilogue& e);
  //! out = norm(x) * weight * (1 + scale) + shift, then the activation; weight, scale, shift may be null.
  //! rms: norm(x) = x / sqrt(mean(x^2) + eps); else (x - mean) / sqrt(var + eps).
  void (*norm)(const void* x, DType x_dtype, int64_t channels, bool rms, float eps, const float* weight,
               const float* bias, const float* scale, const float* shift, Activation activation, void* out,
               DType out_dtype);
  //! out = activation(x * scale + shift), all [channels].
  void (*affine)(const float* x, int64_t channels, const float* scale, const float* shift, Activation activation,
                 void* out, DType out_dtype);
  //! Adds each channel's values, and their squares, over pixels that follow each other.
  void (*channel_sums)(const float* x, int64_t pixels, int64_t channels, double* sums, double* squares);
  //! x = x * cos + rotate(x) * sin over pairs (2i, 2i+1) of one row; cos, sin [channels] f32.
  void (*rotate)(void* x, DType dtype, int64_t channels, const float* cos, const float* sin);
  //! out = activation(x)
  void (*activate)(const void* x, DType x_dtype, int64_t count, Activation activation, void* out, DType out_dtype);
  //! out = x converted between f32 and bf16
  void (*convert)(const void* x, DType x_dtype, int64_t count, void* out, DType out_dtype);
  //! out = x + y, f32 or bf16
  void (*add)(const void* x, const void* y, DType dtype, int64_t count, void* out);
  //! q = round(x / scale), scale = max |x| / 127, to i8 or i16.
  QuantizedRow (*quantize)(const void* x, DType x_dtype, int64_t count, void* out, DType out_dtype);
  //! C of int32 becomes f32 in place: (c - b_offset sum) scale column_scale, by the rows of A.
  void (*dequantize)(int32_t* c, int64_t c_stride, int64_t rows, int64_t columns, const QuantizedRow* a, int b_offset,
                     const float* column_scale);
  //! B^T d B of Winograd's F(2x2, 3x3) for a run of 4x4 patches d, each two pixels to the right of the one before:
  //! value `tap` (0 ... 15) of patch p goes to out + tap * tap_stride + p * patch_stride, zeros from `channels` to
  //! `depth`. Pixels and values are of one dtype, or bf16 and f32; strides in elements.
  void (*winograd_in)(const void* pixels, DType dtype, int64_t pixel_stride, int64_t row_stride, int64_t patches,
                      int64_t channels, int64_t depth, void* out, DType out_dtype, int64_t patch_stride,
                      int64_t tap_stride);
  //! A^T m A of one patch's 16 rows of products: the 2x2 pixels of the output, of which `height` x `width` exist. Bias
  //! [columns] and residual (f32 or bf16) may be null; the residual's pixels lie as those of `out`.
  void (*winograd_out)(const float* products, int64_t tap_stride, int64_t columns, const float* bias,
                       const void* residual, DType residual_dtype, int64_t height, int64_t width, float* out,
                       int64_t out_pixel, int64_t out_row);
};

//! The table of isa().
const KernelTable& kernels();

//! What activations between layers are stored as when weights have this dtype (f32, bf16, i8): bf16 only where the ISA
//! multiplies bf16, else f32.
DType activation_dtype(DType weights);

}  // namespace prax::kernels
