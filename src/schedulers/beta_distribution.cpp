#include "schedulers/beta_distribution.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "base/error.h"

namespace prax::schedulers {

namespace {

constexpr double epsilon = std::numeric_limits<double>::epsilon();

void require_domain(double value, double a, double b) {
  if (!(value >= 0 && value <= 1 && a > 0 && b > 0))
    throw Error(ErrorKind::internal, "the beta distribution was asked for " + std::to_string(value) +
                                         " with a = " + std::to_string(a) + " and b = " + std::to_string(b));
}

//! x^(a-1) (1-x)^(b-1) / B(a, b), with 1-x given apart so that it is exact near x = 1.
double density(double x, double y, double a, double b) {
  return std::pow(x, a - 1) * std::pow(y, b - 1) / std::beta(a, b);
}

//! The continued fraction of the incomplete beta function, dlmf.nist.gov/8.17#E22, by Lentz's method. Converges fast
//! for x < (a + 1) / (a + b + 2).
double continued_fraction(double x, double a, double b) {
  constexpr double tiny = 1e-300;
  constexpr int most_terms = 10000;
  const auto away_from_zero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m <= most_terms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    value *= d * c;
    if (std::abs(d * c - 1) <= epsilon) return value;
  }
  throw Error(ErrorKind::internal, "the incomplete beta function did not converge");
}

}  // namespace

double beta_probability(double x, double a, double b) {
  require_domain(x, a, b);
  if (x == 0 || x == 1) return x;
  if (x > (a + 1) / (a + b + 2)) return 1 - beta_probability(1 - x, b, a);
  return std::pow(x, a) * std::pow(1 - x, b) / (a * std::beta(a, b)) * continued_fraction(x, a, b);
}

double beta_quantile(double p, double a, double b) {
  require_domain(p, a, b);
  if (p == 0 || p == 1) return p;
  if (p > 0.5) return 1 - beta_quantile(1 - p, b, a);  // the relative error is small near 0 only
  // Newton's method from the leading term of I_x for small x, x^a / (a B(a, b)), kept inside a shrinking bracket.
  double low = 0, high = 1;
  double x = std::min(0.5, std::pow(p * a * std::beta(a, b), 1 / a));
  constexpr int most_steps = 200;
  for (int i = 0; i < most_steps; ++i) {
    const double excess = beta_probability(x, a, b) - p;
    if (excess == 0) return x;
    (excess > 0 ? high : low) = x;
    double next = x - excess / density(x, 1 - x, a, b);
    if (!(next > low && next < high)) next = low + (high - low) / 2;
    if (std::abs(next - x) <= 2 * epsilon * x) return next;
    x = next;
  }
  return x;
}

}  // namespace prax::schedulers
