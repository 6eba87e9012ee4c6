#include "nn/block_cache.h"

#include <cmath>

#include "tensor/parallel.h"

namespace prax::nn {

namespace {

constexpr int64_t grain = 16;  // rows

//! rows - before, in the memory of `before`.
Tensor added(const Tensor& rows, Tensor before) {
  const int64_t width = rows.dim(1);
  parallel_for(rows.dim(0), grain, [&](int64_t begin, int64_t end) {
    const float* after = rows.data<float>();
    float* out = before.data<float>();
    for (int64_t i = begin * width; i < end * width; ++i) out[i] = after[i] - out[i];
  });
  return before;
}

}  // namespace

void BlockCache::next(int64_t step, bool whole) {
  step_ = step;
  whole_ = whole;
}

void BlockCache::before_first(const Tensor& rows) { rows_ = rows.clone(); }

//! Lagrange's: one point counts as it is, two make a line.
std::vector<float> BlockCache::weights() const {
  std::vector<float> weights;
  for (const Point& own : points_) {
    double weight = 1;
    for (const Point& other : points_)
      if (&other != &own)
        weight *= static_cast<double>(step_ - other.step) / static_cast<double>(own.step - other.step);
    weights.push_back(static_cast<float>(weight));
  }
  return weights;
}

double BlockCache::distance(const Tensor& first, const std::vector<float>& weights) const {
  const int64_t count = first.dim(0), width = first.dim(1);
  // A sum for each row, so that the whole does not depend on who computes what.
  std::vector<double> far(static_cast<size_t>(count)), size(far.size());
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      double distances = 0, sizes = 0;
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        float expected = 0;
        for (size_t p = 0; p < points_.size(); ++p) expected += weights[p] * points_[p].first.data<float>()[i];
        distances += std::abs(first.data<float>()[i] - expected);
        sizes += std::abs(points_.front().first.data<float>()[i]);
      }
      far[static_cast<size_t>(row)] = distances;
      size[static_cast<size_t>(row)] = sizes;
    }
  });
  double distances = 0, sizes = 0;
  for (size_t row = 0; row < far.size(); ++row) {
    distances += far[row];
    sizes += size[row];
  }
  return distances == 0 ? 0 : distances / sizes;
}

bool BlockCache::needs_others(Tensor& rows) {
  Tensor first = added(rows, std::move(rows_));
  rows_ = Tensor();
  const bool known = points_.size() == memory() && points_.front().first.shape() == first.shape();
  if (known && !whole_) {
    const std::vector<float> share = weights();
    // Written so that what is not a number runs all blocks.
    if (distance(first, share) <= threshold_) {
      const int64_t width = rows.dim(1);
      parallel_for(rows.dim(0), grain, [&](int64_t begin, int64_t end) {
        float* out = rows.data<float>();
        for (int64_t i = begin * width; i < end * width; ++i) {
          float others = 0;
          for (size_t p = 0; p < points_.size(); ++p) others += share[p] * points_[p].others.data<float>()[i];
          out[i] = others + out[i];
        }
      });
      ran_whole_ = false;
      return false;
    }
  }
  if (!points_.empty() && points_.front().first.shape() != first.shape()) points_.clear();
  if (points_.size() == memory()) points_.pop_back();  // before the blocks need memory of their own
  points_.insert(points_.begin(), Point{step_, std::move(first), {}});
  rows_ = rows.clone();
  ran_whole_ = true;
  return true;
}

void BlockCache::after_last(const Tensor& rows) {
  if (!ran_whole_) return;
  points_.front().others = added(rows, std::move(rows_));
  rows_ = Tensor();
}

}  // namespace prax::nn
