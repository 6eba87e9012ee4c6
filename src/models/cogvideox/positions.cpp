#include "models/cogvideox/positions.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "tensor/parallel.h"

namespace prax::models::cogvideox {

namespace {

constexpr double theta = 10000.0;
constexpr int64_t rows_grain = 16;

using Positions = std::vector<float>;

Positions count(int64_t n) {
  Positions p(static_cast<size_t>(n));
  for (size_t i = 0; i < p.size(); ++i) p[i] = static_cast<float>(i);
  return p;
}

//! torch.linspace in f32: filled from both ends, each value one fused multiply-add.
Positions linspace(double start, double stop, int64_t n) {
  const float first = static_cast<float>(start), last = static_cast<float>(stop);
  Positions p(static_cast<size_t>(n), first);
  const float step = n > 1 ? (last - first) / static_cast<float>(n - 1) : 0.0f;
  for (int64_t i = 0; i < n && n > 1; ++i)
    p[static_cast<size_t>(i)] =
        i < n / 2 ? std::fma(step, static_cast<float>(i), first) : std::fma(-step, static_cast<float>(n - 1 - i), last);
  return p;
}

//! Python's int(round(x)): halves go to the even number.
int64_t rounded(double x) { return static_cast<int64_t>(std::nearbyint(x)); }

//! get_1d_rotary_pos_embed: angle j of position p is p theta^(-2j / dim), each twice. [positions, dim]
Rotary rotary_axis(const Positions& positions, int64_t dim) {
  const int64_t n = static_cast<int64_t>(positions.size());
  Rotary r{Tensor::empty({n, dim}), Tensor::empty({n, dim})};
  float *cos = r.cos.data<float>(), *sin = r.sin.data<float>();
  for (float position : positions)
    for (int64_t j = 0; j < dim; j += 2) {
      const float exponent = static_cast<float>(j) / static_cast<float>(dim);
      const float angle = position * (1.0f / std::pow(static_cast<float>(theta), exponent));
      cos[0] = cos[1] = std::cos(angle);
      sin[0] = sin[1] = std::sin(angle);
      cos += 2;
      sin += 2;
    }
  return r;
}

//! Joins tables of the three axes, [positions of the axis, channels], into one row a token.
Tensor combine(const Grid& grid, const std::array<const Tensor*, 3>& axes) {
  const int64_t dim = axes[0]->dim(1) + axes[1]->dim(1) + axes[2]->dim(1);
  Tensor out = Tensor::empty({grid.tokens(), dim});
  parallel_for(grid.tokens(), rows_grain, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      const std::array<int64_t, 3> at{token / (grid.height * grid.width), token / grid.width % grid.height,
                                      token % grid.width};
      float* to = out.data<float>() + token * dim;
      for (size_t axis = 0; axis < axes.size(); ++axis) {
        const int64_t channels = axes[axis]->dim(1);
        to = std::copy_n(axes[axis]->data<float>() + at[axis] * channels, channels, to);
      }
    }
  });
  return out;
}

Rotary rotary(const Grid& grid, const Positions& frames, const Positions& rows, const Positions& columns,
              int64_t head_dim) {
  const int64_t of_time = head_dim / 4, of_space = head_dim / 8 * 3;
  const Rotary t = rotary_axis(frames, of_time), y = rotary_axis(rows, of_space), x = rotary_axis(columns, of_space);
  return {combine(grid, {&t.cos, &y.cos, &x.cos}), combine(grid, {&t.sin, &y.sin, &x.sin})};
}

//! get_1d_sincos_pos_embed_from_grid: sines, then cosines, of position * 10000^(-2j / dim), in f64. [positions, dim]
Tensor sincos_axis(int64_t n, float scale, int64_t dim) {
  Tensor out = Tensor::empty({n, dim});
  float* to = out.data<float>();
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < dim / 2; ++j) {
      const double omega = 1.0 / std::pow(theta, static_cast<double>(j) / (static_cast<double>(dim) / 2.0));
      const double angle = static_cast<double>(static_cast<float>(i) / scale) * omega;
      to[i * dim + j] = static_cast<float>(std::sin(angle));
      to[i * dim + dim / 2 + j] = static_cast<float>(std::cos(angle));
    }
  return out;
}

}  // namespace

Rotary rotary_fitted(const Grid& grid, int64_t base_height, int64_t base_width, int64_t head_dim) {
  const double height = static_cast<double>(grid.height), width = static_cast<double>(grid.width);
  const double most_height = static_cast<double>(base_height), most_width = static_cast<double>(base_width);
  int64_t fitted_height = base_height, fitted_width = base_width;
  if (height / width > most_height / most_width) {
    fitted_width = rounded(most_height / height * width);
  } else {
    fitted_height = rounded(most_width / width * height);
  }
  const int64_t top = rounded(static_cast<double>(base_height - fitted_height) / 2.0);
  const int64_t left = rounded(static_cast<double>(base_width - fitted_width) / 2.0);
  const auto span = [](int64_t start, int64_t length, int64_t n) {
    const double stop = static_cast<double>(start + length) * static_cast<double>(n - 1) / static_cast<double>(n);
    return linspace(static_cast<double>(start), stop, n);
  };
  return rotary(grid, span(0, grid.frames, grid.frames), span(top, fitted_height, grid.height),
                span(left, fitted_width, grid.width), head_dim);
}

Rotary rotary_counted(const Grid& grid, int64_t head_dim) {
  return rotary(grid, count(grid.frames), count(grid.height), count(grid.width), head_dim);
}

Tensor sincos_positions(const Grid& grid, int64_t dim, float spatial_scale, float temporal_scale) {
  const int64_t of_time = dim / 4, of_space = dim / 8 * 3;
  const Tensor t = sincos_axis(grid.frames, temporal_scale, of_time);
  const Tensor y = sincos_axis(grid.height, spatial_scale, of_space);
  const Tensor x = sincos_axis(grid.width, spatial_scale, of_space);
  // The column comes before the row.
  Tensor out = Tensor::empty({grid.tokens(), dim});
  parallel_for(grid.tokens(), rows_grain, [&](int64_t begin, int64_t end) {
    for (int64_t token = begin; token < end; ++token) {
      float* to = out.data<float>() + token * dim;
      to = std::copy_n(t.data<float>() + token / (grid.height * grid.width) * of_time, of_time, to);
      to = std::copy_n(x.data<float>() + token % grid.width * of_space, of_space, to);
      std::copy_n(y.data<float>() + token / grid.width % grid.height * of_space, of_space, to);
    }
  });
  return out;
}

}  // namespace prax::models::cogvideox
