#include "nn/embeddings.h"

#include <gtest/gtest.h>

namespace prax::nn::embeddings_test {
namespace {

// diffusers get_timestep_embedding(torch.tensor([0., 500.]), 8, flip_sin_to_cos=True, downscale_freq_shift=0)
TEST(TimestepEmbedding, IsTheReferences) {
  const float timesteps[] = {0.0f, 500.0f};
  const Tensor e = timestep_embedding(timesteps, 8);
  const float want[] = {1,           1,           1,           1,          0,          0,
                        0,           0,           -0.8838490f, 0.9649660f, 0.2836622f, 0.8775826f,
                        -0.4677719f, -0.2623749f, -0.9589243f, 0.4794255f};
  for (int i = 0; i < 16; ++i) EXPECT_NEAR(e.data<float>()[i], want[i], 2e-5) << i;
}

}  // namespace
}  // namespace prax::nn::embeddings_test
