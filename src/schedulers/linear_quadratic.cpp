#include "schedulers/linear_quadratic.h"

namespace prax::schedulers {

std::vector<double> linear_quadratic_schedule(int64_t steps, double threshold_noise) {
  if (steps < 2) return {1.0};
  const int64_t linear_steps = steps / 2;
  const auto linear = static_cast<double>(linear_steps), quadratic = static_cast<double>(steps - linear_steps);
  const double difference = linear - threshold_noise * static_cast<double>(steps);
  const double quadratic_coef = difference / (linear * (quadratic * quadratic));
  const double linear_coef = threshold_noise / linear - 2 * difference / (quadratic * quadratic);
  const double constant = quadratic_coef * (linear * linear);
  std::vector<double> sigmas;
  for (int64_t i = 0; i < steps; ++i) {
    const auto x = static_cast<double>(i);
    const double risen =
        i < linear_steps ? x * threshold_noise / linear : quadratic_coef * (x * x) + linear_coef * x + constant;
    sigmas.push_back(1.0 - risen);
  }
  return sigmas;
}

}  // namespace prax::schedulers
