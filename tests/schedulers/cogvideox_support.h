#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "checkpoint/config.h"
#include "support/errors.h"
#include "tensor/tensor.h"

namespace prax::test {

using nlohmann::json;

//! A scheduler of the class, with what the published models have in common and `changes` to it.
template <typename Scheduler>
Scheduler scheduler_of(const json& changes, int64_t steps = 0) {
  json config{{"prediction_type", "v_prediction"},
              {"rescale_betas_zero_snr", true},
              {"timestep_spacing", "trailing"},
              {"clip_sample", false}};
  config.update(changes);
  Scheduler scheduler(checkpoint::Config(config, "scheduler_config.json"));
  if (steps > 0) scheduler.set_timesteps(steps);
  return scheduler;
}

//! Another configuration of the reference's classes and how many steps were taken with it. Where its tables are f32,
//! torch's square roots (of a library that does not round every one correctly) show in its results.
struct ReferenceRun {
  const char* name;
  json changes;
  int64_t steps;
  float slack = 1e-6f;
};
constexpr float single_slack = 1e-4f;

inline const std::vector<ReferenceRun>& runs() {
  static const std::vector<ReferenceRun> all = [] {
    json betas = json::array();
    for (int i = 0; i < 40; ++i) betas.push_back(0.001 + 0.0005 * i);
    return std::vector<ReferenceRun>{
        {"published", json::object(), 5},
        {"five_b", {{"snr_shift_scale", 1.0}}, 7},
        {"linear", {{"beta_schedule", "linear"}, {"beta_start", 0.0001}, {"beta_end", 0.02}}, 6, single_slack},
        {"cosine",
         {{"beta_schedule", "squaredcos_cap_v2"}, {"timestep_spacing", "linspace"}, {"num_train_timesteps", 400}},
         4,
         single_slack},
        {"trained",
         {{"trained_betas", betas},
          {"num_train_timesteps", 40},
          {"timestep_spacing", "leading"},
          {"steps_offset", 1},
          {"set_alpha_to_one", false}},
         4,
         single_slack},
        {"epsilon", {{"prediction_type", "epsilon"}, {"rescale_betas_zero_snr", false}}, 5},
        {"sample",
         {{"prediction_type", "sample"},
          {"timestep_spacing", "leading"},
          {"set_alpha_to_one", false},
          {"snr_shift_scale", 2.5}},
         9},
        {"defaults",
         {{"prediction_type", nullptr},
          {"rescale_betas_zero_snr", nullptr},
          {"timestep_spacing", nullptr},
          {"clip_sample", nullptr}},
         6}};
  }();
  return all;
}

//! Five of the 24 values that are looked at.
inline std::vector<float> some_of(const Tensor& t) {
  std::vector<float> values;
  for (size_t i : {0u, 1u, 11u, 22u, 23u}) values.push_back(t.span<float>()[i]);
  return values;
}

//! Equal but for the last bits of logarithms and powers.
inline void expect_close(const std::vector<float>& got, const std::vector<float>& wanted, const std::string& name,
                         float slack = 1e-6f) {
  ASSERT_EQ(got.size(), wanted.size()) << name;
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], slack * std::max(0.1f, std::abs(wanted[i]))) << name << " at " << i;
}

}  // namespace prax::test
