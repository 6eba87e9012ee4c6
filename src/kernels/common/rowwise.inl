// Norms, activations, conversions and the epilogue of matrix products. See kernels.h for the formulas.

#pragma once

#include <cmath>

#include "kernels/common/vector.inl"

namespace {

using prax::DType;
using prax::kernels::Activation;
using prax::kernels::Epilogue;

template <bool RARE, typename In, typename Out>
void norm_row(const In* x, int64_t channels, bool rms, float eps, const float* weight, const float* bias,
              const float* scale, const float* shift, Activation activation, Out* out) {
  Floats total{}, squares{};
  for_vectors(
      channels,
      [&](int64_t i) {
        const Floats v = load(x + i);
        total += v;
        squares += v * v;
      },
      [&](int64_t i, int64_t n) {
        const Floats v = load_some(x + i, n);
        total += v;
        squares += v * v;
      });
  const float count = static_cast<float>(channels);
  float mean = 0, variance;
  if (rms) {
    variance = sum(squares) / count;
  } else {  // a second pass: sum of squares minus square of sum cancels
    mean = sum(total) / count;
    Floats deviations{};
    for_vectors(
        channels,
        [&](int64_t i) {
          const Floats v = load(x + i) - mean;
          deviations += v * v;
        },
        [&](int64_t i, int64_t n) {
          for (int64_t j = 0; j < n; ++j) {
            const float v = load_some(x + i + j, 1)[0] - mean;
            deviations[0] += v * v;
          }
        });
    variance = sum(deviations) / count;
  }
  const float inverse = 1.0f / std::sqrt(variance + eps);
  for_vectors(
      channels,
      [&](int64_t i) {
        Floats v = (load(x + i) - mean) * inverse;
        if (weight) v *= load(weight + i);
        if (bias) v += load(bias + i);
        if (scale) v *= 1.0f + load(scale + i);
        if (shift) v += load(shift + i);
        store(out + i, activation_of<RARE>(activation, v));
      },
      [&](int64_t i, int64_t n) {
        Floats v = (load_some(x + i, n) - mean) * inverse;
        if (weight) v *= load_some(weight + i, n);
        if (bias) v += load_some(bias + i, n);
        if (scale) v *= 1.0f + load_some(scale + i, n);
        if (shift) v += load_some(shift + i, n);
        store_some(out + i, activation_of<RARE>(activation, v), n);
      });
}

//! Calls fn with typed pointers for f32 or bf16 in and out.
template <typename Fn>
inline void typed(const void* x, DType x_dtype, void* out, DType out_dtype, Fn&& fn) {
  if (x_dtype == DType::f32) {
    if (out_dtype == DType::f32) return fn(static_cast<const float*>(x), static_cast<float*>(out));
    return fn(static_cast<const float*>(x), static_cast<uint16_t*>(out));
  }
  if (out_dtype == DType::f32) return fn(static_cast<const uint16_t*>(x), static_cast<float*>(out));
  fn(static_cast<const uint16_t*>(x), static_cast<uint16_t*>(out));
}

void norm(const void* x, DType x_dtype, int64_t channels, bool rms, float eps, const float* weight, const float* bias,
          const float* scale, const float* shift, Activation activation, void* out, DType out_dtype) {
  by_rarity(activation, [&](auto rare) {
    typed(x, x_dtype, out, out_dtype, [&](auto* in, auto* to) {
      norm_row<rare>(in, channels, rms, eps, weight, bias, scale, shift, activation, to);
    });
  });
}

template <bool RARE, typename Out>
void affine_row(const float* x, int64_t channels, const float* scale, const float* shift, Activation activation,
                Out* out) {
  for_vectors(
      channels,
      [&](int64_t i) { store(out + i, activation_of<RARE>(activation, load(x + i) * load(scale + i) + load(shift + i))); },
      [&](int64_t i, int64_t n) {
        const Floats v = load_some(x + i, n) * load_some(scale + i, n) + load_some(shift + i, n);
        store_some(out + i, activation_of<RARE>(activation, v), n);
      });
}

void affine(const float* x, int64_t channels, const float* scale, const float* shift, Activation activation, void* out,
            DType out_dtype) {
  by_rarity(activation, [&](auto rare) {
    if (out_dtype == DType::f32)
      return affine_row<rare>(x, channels, scale, shift, activation, static_cast<float*>(out));
    affine_row<rare>(x, channels, scale, shift, activation, static_cast<uint16_t*>(out));
  });
}

void channel_sums(const float* x, int64_t pixels, int64_t channels, double* __restrict sums,
                  double* __restrict squares) {
  for (int64_t i = 0; i < pixels; ++i, x += channels)
    for (int64_t c = 0; c < channels; ++c) {
      const double v = x[c];
      sums[c] += v;
      squares[c] += v * v;
    }
}

template <typename T>
void rotate_row(T* x, int64_t channels, const float* cos, const float* sin) {
  typedef Ints Mask;
  Mask swap, odd;
  for (int i = 0; i < LANES; ++i) {
    swap[i] = i ^ 1;
    odd[i] = i & 1 ? 0 : static_cast<int32_t>(0x80000000u);  // even lanes take -x[i+1]
  }
  for_vectors(
      channels,
      [&](int64_t i) {
        const Floats v = load(x + i);
        const Floats turned = (Floats)((Ints)__builtin_shuffle(v, swap) ^ odd);
        store(x + i, v * load(cos + i) + turned * load(sin + i));
      },
      [&](int64_t i, int64_t n) {
        const Floats v = load_some(x + i, n);
        const Floats turned = (Floats)((Ints)__builtin_shuffle(v, swap) ^ odd);
        store_some(x + i, v * load_some(cos + i, n) + turned * load_some(sin + i, n), n);
      });
}

void rotate(void* x, DType dtype, int64_t channels, const float* cos, const float* sin) {
  if (dtype == DType::f32) return rotate_row(static_cast<float*>(x), channels, cos, sin);
  rotate_row(static_cast<uint16_t*>(x), channels, cos, sin);
}

void activate(const void* x, DType x_dtype, int64_t count, Activation activation, void* out, DType out_dtype) {
  by_rarity(activation, [&](auto rare) {
    typed(x, x_dtype, out, out_dtype, [&](auto* in, auto* to) {
      for_vectors(
          count, [&](int64_t i) { store(to + i, activation_of<rare>(activation, load(in + i))); },
          [&](int64_t i, int64_t n) { store_some(to + i, activation_of<rare>(activation, load_some(in + i, n)), n); });
    });
  });
}

void convert(const void* x, DType x_dtype, int64_t count, void* out, DType out_dtype) {
  activate(x, x_dtype, count, Activation::none, out, out_dtype);
}

void add(const void* x, const void* y, DType dtype, int64_t count, void* out) {
  typed(x, dtype, out, dtype, [&](auto* a, auto* to) {
    auto* b = static_cast<decltype(a)>(y);
    for_vectors(
        count, [&](int64_t i) { store(to + i, load(a + i) + load(b + i)); },
        [&](int64_t i, int64_t n) { store_some(to + i, load_some(a + i, n) + load_some(b + i, n), n); });
  });
}

template <bool RARE, typename Out>
void epilogue_rows(const float* c, int64_t c_stride, int64_t rows, int64_t columns, const Epilogue& e) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = c + r * c_stride;
    Out* to = static_cast<Out*>(e.out) + r * e.out_stride;
    const Out* factor = e.factor ? static_cast<const Out*>(e.factor) + r * e.factor_stride : nullptr;
    const float* gate = e.gate ? e.gate + r * e.gate_stride : nullptr;
    const float* residual = e.residual ? e.residual + r * e.residual_stride : nullptr;
    for_vectors(
        columns,
        [&](int64_t i) {
          Floats v = load(from + i);
          if (e.bias) v += load(e.bias + i);
          v = activation_of<RARE>(e.activation, v);
          if (factor) v *= load(factor + i);
          if (gate) v *= load(gate + i);
          if (residual) v += load(residual + i);
          store(to + i, v);
        },
        [&](int64_t i, int64_t n) {
          Floats v = load_some(from + i, n);
          if (e.bias) v += load_some(e.bias + i, n);
          v = activation_of<RARE>(e.activation, v);
          if (factor) v *= load_some(factor + i, n);
          if (gate) v *= load_some(gate + i, n);
          if (residual) v += load_some(residual + i, n);
          store_some(to + i, v, n);
        });
  }
}

void epilogue(const float* c, int64_t c_stride, int64_t rows, int64_t columns, const Epilogue& e) {
  by_rarity(e.activation, [&](auto rare) {
    if (e.out_dtype == DType::f32) return epilogue_rows<rare, float>(c, c_stride, rows, columns, e);
    epilogue_rows<rare, uint16_t>(c, c_stride, rows, columns, e);
  });
}

}  // namespace
