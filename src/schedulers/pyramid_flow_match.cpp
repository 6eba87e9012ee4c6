#include "schedulers/pyramid_flow_match.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "schedulers/flow_match_euler.h"

namespace prax::schedulers {

namespace {

constexpr int64_t block_side = 2;
constexpr size_t block_values = 4;

void check(const PyramidFlowMatchOptions& o) {
  const auto refuse = [](const std::string& what, const std::string& hint) {
    throw Error(ErrorKind::usage, "the scheduler's " + what, hint);
  };
  if (o.num_train_timesteps < 1) refuse("num_train_timesteps is not positive", "leave it at 1000");
  if (o.stages < 1) refuse("stages are not positive", "published models have 3");
  if (!(o.shift > 0) || !std::isfinite(o.shift)) refuse("shift is not positive", "leave it at 1");
  if (!(o.gamma > 0) || o.gamma > 1.0 / 3.0 + 1e-9)
    refuse("gamma is not in 0..1/3, where the covariance of 2x2 blocks exists", "leave it at 1/3");
  if (static_cast<int64_t>(o.stage_range.size()) != o.stages + 1)
    refuse("stage_range has " + std::to_string(o.stage_range.size()) + " numbers for " + std::to_string(o.stages) +
               " stages",
           "give one more than stages");
  for (size_t i = 0; i < o.stage_range.size(); ++i)
    if (!(o.stage_range[i] >= 0 && o.stage_range[i] <= 1) || (i > 0 && !(o.stage_range[i] > o.stage_range[i - 1])))
      refuse("stage_range does not rise from 0 to 1", "such as 0, 1/3, 2/3, 1");
}

//! Lower Cholesky factor of 1 (1 + gamma) - gamma: the matrix in f32, the factor in f64, negative pivots taken as zero.
std::array<std::array<float, block_values>, block_values> factor_of(double gamma) {
  const float off = 0.0f - static_cast<float>(gamma);
  const float diagonal = static_cast<float>(1 + gamma) - static_cast<float>(gamma);
  double factor[block_values][block_values] = {};
  for (size_t j = 0; j < block_values; ++j) {
    double pivot = diagonal;
    for (size_t k = 0; k < j; ++k) pivot -= factor[j][k] * factor[j][k];
    factor[j][j] = std::sqrt(std::max(pivot, 0.0));
    for (size_t i = j + 1; i < block_values; ++i) {
      double value = off;
      for (size_t k = 0; k < j; ++k) value -= factor[i][k] * factor[j][k];
      factor[i][j] = value / factor[j][j];
    }
  }
  std::array<std::array<float, block_values>, block_values> out{};
  for (size_t i = 0; i < block_values; ++i)
    for (size_t j = 0; j < block_values; ++j) out[i][j] = static_cast<float>(factor[i][j]);
  return out;
}

//! alpha = 1 / (sqrt(1 + 1/gamma) (1 - o) + o) for the amount of signal o
double signal_factor(double gamma, double o) { return 1 / (std::sqrt(1 + 1 / gamma) * (1 - o) + o); }

void require_even(const Shape& shape) {
  const size_t rank = shape.size();
  if (rank < 2 || shape[rank - 1] % block_side != 0 || shape[rank - 2] % block_side != 0)
    throw Error(ErrorKind::internal, "latents " + to_string(shape) + " cannot be cut into blocks of 2x2");
}

}  // namespace

PyramidFlowMatchScheduler::PyramidFlowMatchScheduler(const PyramidFlowMatchOptions& options) : options_(options) {
  check(options_);
  const int64_t train = options_.num_train_timesteps;
  const auto scale = static_cast<float>(train);
  const auto shift = static_cast<float>(options_.shift), shift_1 = static_cast<float>(options_.shift - 1);
  std::vector<float> timesteps;
  std::vector<double> numbers = linspace(1, static_cast<double>(train), train);
  std::reverse(numbers.begin(), numbers.end());
  for (const double t : numbers) {
    const float sigma = static_cast<float>(t) / scale;
    sigmas_.push_back(shift * sigma / (1 + shift_1 * sigma));
    timesteps.push_back(sigmas_.back() * scale);
  }

  const auto at = [&](double part) {
    return std::clamp<int64_t>(static_cast<int64_t>(part * static_cast<double>(train)), 0, train);
  };
  double total = 0;
  std::vector<double> distances;
  for (int64_t i = 0; i < options_.stages; ++i) {
    const int64_t begin = at(options_.stage_range[static_cast<size_t>(i)]);
    const int64_t end = at(options_.stage_range[static_cast<size_t>(i) + 1]);
    if (begin >= train)
      throw Error(ErrorKind::usage, "the scheduler's stage_range leaves stage " + std::to_string(i) + " no timesteps",
                  "take fewer stages or more num_train_timesteps");
    Stage s;
    s.start_sigma = s.original_start_sigma = sigmas_[static_cast<size_t>(begin)];
    s.end_sigma = end < train ? static_cast<double>(sigmas_[static_cast<size_t>(end)]) : 0.0;
    if (i != 0) {
      const double signal = 1 - s.start_sigma;
      s.start_sigma = 1 - signal_factor(options_.gamma, signal) * signal;
    }
    distances.push_back(s.start_sigma - s.end_sigma);
    total += distances.back();
    stages_.push_back(s);
  }
  double before = 0;
  for (size_t i = 0; i < stages_.size(); ++i) {
    Stage& s = stages_[i];
    s.ratio_begin = i == 0 ? 0 : before / total;
    before += distances[i];
    s.ratio_end = i + 1 == stages_.size() ? 1 : before / total;
    // The tables have num_train_timesteps + 1 values, the last of which is left out.
    const double high = timesteps[static_cast<size_t>(std::min(at(s.ratio_begin), train - 1))];
    const double low = timesteps[static_cast<size_t>(std::min(at(s.ratio_end), train - 1))];
    s.timestep_first = high;
    s.timestep_last = linspace(high, low, train + 1)[static_cast<size_t>(train - 1)];
    s.sigma_last = linspace(1, 0, train + 1)[static_cast<size_t>(train - 1)];
  }
  factor_ = factor_of(options_.gamma);
}

PyramidFlowMatchScheduler::Steps PyramidFlowMatchScheduler::steps(int64_t index, int64_t count) const {
  if (count < 1)
    throw Error(ErrorKind::usage, "a stage of " + std::to_string(count) + " steps cannot run",
                "take at least one step in every stage");
  const Stage& s = stage(index);
  Steps steps{linspace(s.timestep_first, s.timestep_last, count), linspace(1, s.sigma_last, count)};
  steps.sigmas.push_back(0);
  return steps;
}

Tensor PyramidFlowMatchScheduler::step(const Steps& steps, int64_t index, const Tensor& velocity,
                                       const Tensor& sample) {
  if (index < 0 || index >= static_cast<int64_t>(steps.timesteps.size()) || velocity.shape() != sample.shape())
    throw Error(ErrorKind::internal, "step " + std::to_string(index) + " with a velocity " +
                                         to_string(velocity.shape()) + " for a sample " + to_string(sample.shape()));
  const size_t i = static_cast<size_t>(index);
  const auto width = static_cast<float>(steps.sigmas[i + 1] - steps.sigmas[i]);
  Tensor out = Tensor::empty(sample.shape());
  const float *v = velocity.data<float>(), *x = sample.data<float>();
  for (int64_t k = 0; k < out.numel(); ++k) out.data<float>()[k] = x[k] + width * v[k];
  return out;
}

Tensor PyramidFlowMatchScheduler::block_noise(const Shape& shape, Generator& generator) const {
  require_even(shape);
  const int64_t height = shape[shape.size() - 2], width = shape[shape.size() - 1];
  Tensor out = Tensor::empty(shape);
  const int64_t planes = out.numel() / std::max<int64_t>(1, height * width);
  for (int64_t plane = 0; plane < planes; ++plane)
    for (int64_t y = 0; y < height; y += block_side)
      for (int64_t x = 0; x < width; x += block_side) {
        const Tensor drawn = generator.randn({static_cast<int64_t>(block_values)});
        float* to = out.data<float>() + (plane * height + y) * width + x;
        for (size_t i = 0; i < block_values; ++i) {
          float sum = 0;
          for (size_t j = 0; j <= i; ++j) sum += factor_[i][j] * drawn.data<float>()[j];
          to[static_cast<int64_t>(i) / block_side * width + static_cast<int64_t>(i) % block_side] = sum;
        }
      }
  return out;
}

Tensor PyramidFlowMatchScheduler::enter_stage(int64_t index, const Tensor& latents, const Tensor& noise) const {
  const double signal = 1 - stage(index).original_start_sigma;
  const double alpha = signal_factor(options_.gamma, signal);
  const double beta = alpha * (1 - signal) / std::sqrt(options_.gamma);
  Shape shape = latents.shape();
  const size_t rank = shape.size();
  const int64_t height = shape[rank - 2], width = shape[rank - 1];
  shape[rank - 2] *= block_side;
  shape[rank - 1] *= block_side;
  if (noise.shape() != shape)
    throw Error(ErrorKind::internal,
                "noise " + to_string(noise.shape()) + " does not fit latents that grow to " + to_string(shape));
  Tensor out = Tensor::empty(shape);
  const auto old = static_cast<float>(alpha), fresh = static_cast<float>(beta);
  const int64_t rows = out.numel() / (width * block_side);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t plane = row / (height * block_side), y = row % (height * block_side);
    const float* from = latents.data<float>() + (plane * height + y / block_side) * width;
    const float* drawn = noise.data<float>() + row * width * block_side;
    float* to = out.data<float>() + row * width * block_side;
    for (int64_t x = 0; x < width * block_side; ++x) to[x] = old * from[x / block_side] + fresh * drawn[x];
  }
  return out;
}

Tensor halve_resolution(const Tensor& latents, float factor) {
  require_even(latents.shape());
  Shape shape = latents.shape();
  const size_t rank = shape.size();
  shape[rank - 2] /= block_side;
  shape[rank - 1] /= block_side;
  const int64_t width = shape[rank - 1];
  Tensor out = Tensor::empty(shape);
  const int64_t rows = out.numel() / std::max<int64_t>(1, width);
  for (int64_t row = 0; row < rows; ++row) {
    const float* above = latents.data<float>() + row * block_side * width * block_side;
    const float* below = above + width * block_side;
    float* to = out.data<float>() + row * width;
    for (int64_t x = 0; x < width; ++x)
      to[x] = (0.5f * (0.5f * above[2 * x] + 0.5f * above[2 * x + 1]) +
               0.5f * (0.5f * below[2 * x] + 0.5f * below[2 * x + 1])) *
              factor;
  }
  return out;
}

}  // namespace prax::schedulers
