#include "comparison.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace prax::app {

namespace {

constexpr double relative_limit = 1e-3;
constexpr double cosine_limit = 0.9995, near_limit = 0.99;

Tensor as_f64(const Tensor& t) { return t.to(DType::f64); }

//! Floats in the order of their values, neighbours one apart.
int64_t rank_of(float v) {
  const auto bits = std::bit_cast<int32_t>(v);
  return bits < 0 ? int64_t{INT32_MIN} - bits : bits;
}

bool both_the_same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

Difference difference(const Tensor& got, const Tensor& want) {
  Difference d;
  d.same_shape = got.shape() == want.shape();
  if (!d.same_shape) return d;
  const Tensor left = as_f64(got), right = as_f64(want);
  const auto a = left.span<double>(), b = right.span<double>();
  const bool floating = is_floating(want.dtype());
  double largest = 0, dot = 0, aa = 0, bb = 0;
  d.max_error = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (both_the_same(a[i], b[i]) && !std::isfinite(b[i])) continue;
    const double error = std::isfinite(a[i]) && std::isfinite(b[i]) ? std::abs(a[i] - b[i]) : INFINITY;
    d.max_error = std::max(d.max_error, error);
    if (floating && error > 0)
      d.ulps = std::isfinite(error)
                   ? std::max(d.ulps, std::abs(rank_of(static_cast<float>(a[i])) - rank_of(static_cast<float>(b[i]))))
                   : INT64_MAX;
    if (!std::isfinite(error)) continue;
    largest = std::max(largest, std::abs(b[i]));
    dot += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  d.relative = largest > 0 ? d.max_error / largest : d.max_error;
  if (!std::isfinite(d.max_error)) return d;  // no angle to speak of
  d.cosine = aa > 0 && bb > 0 ? dot / std::sqrt(aa) / std::sqrt(bb) : aa == bb ? 1.0 : 0.0;
  return d;
}

double psnr(const Tensor& got, const Tensor& want) {
  if (got.shape() != want.shape() || got.numel() == 0) return -INFINITY;
  const Tensor left = as_f64(got), right = as_f64(want);
  const auto a = left.span<double>(), b = right.span<double>();
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * (a[i] - b[i]);
  const double mean = squares / static_cast<double>(a.size());
  return std::isnan(mean) ? -INFINITY : -10 * std::log10(mean);
}

Check check(const std::string& name, const Tensor& got, const Tensor& want, Limit limit) {
  Check c{name, want.shape(), difference(got, want), Verdict::fail, {}};
  const Difference& d = c.difference;
  if (!d.same_shape) {
    c.note = "has the shape " + to_string(got.shape());
    return c;
  }
  bool good = false;
  switch (limit) {
    case Limit::exact:
      good = d.max_error == 0;
      break;
    case Limit::one_ulp:
      good = d.ulps <= 1;
      break;
    case Limit::relative:
      good = d.relative <= relative_limit;
      break;
    case Limit::cosine:
      good = d.cosine >= cosine_limit;
      break;
    case Limit::near:
      good = d.cosine >= near_limit;
      break;
    case Limit::none:
      c.verdict = Verdict::info;
      return c;
  }
  c.verdict = good ? Verdict::pass : Verdict::fail;
  return c;
}

Check not_checked(const std::string& name, const Shape& shape, const std::string& why) {
  return {name, shape, {}, Verdict::not_checked, why};
}

}  // namespace prax::app
