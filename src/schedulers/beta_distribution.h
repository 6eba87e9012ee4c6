#pragma once

namespace prax::schedulers {

//! The distribution function of the beta distribution, I_x(a, b) = B(x; a, b) / B(a, b), for x in [0, 1] and a, b > 0.
//! Relative error about 1e-15 for a and b of order 1. Error(internal) outside of that domain.
double beta_probability(double x, double a, double b);

//! Its inverse in x: the x with I_x(a, b) = p, for p in [0, 1]; what scipy.stats.beta.ppf(p, a, b) gives.
double beta_quantile(double p, double a, double b);

}  // namespace prax::schedulers
