#include "models/ltx/vae.h"

#include "support/golden.h"

namespace prax::ltx_vae_test {
namespace {

using models::ltx::Vae;
using test::Golden;

//! [1, 3, T, H, W] as the reference records it.
Tensor decode(Vae& vae, const Golden& golden) {
  const Tensor z = golden["vae.decode.0.in.0"];
  std::optional<float> timestep;
  if (golden.has("vae.decode.0.in.1")) timestep = *golden["vae.decode.0.in.1"].data<float>();
  Generator noise(golden.json["global_seed"].get<uint64_t>());
  std::vector<Tensor> pictures;
  vae.decode(z.view({z.dim(1), z.dim(2), z.dim(3), z.dim(4)}), timestep, noise, [&](const Tensor& p) {
    pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)}));
  });
  return Tensor::concat(pictures, 0).permute({3, 0, 1, 2});
}

class VaeGolden : public testing::TestWithParam<const char*> {};

TEST_P(VaeGolden, DecodesLikeTheReference) {
  const Golden golden(GetParam());
  const auto folder = golden.checkpoint();
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Vae vae(folder.config("vae"), checkpoint::Weights(folder.weights("vae")), dtype);
      const double error = test::relative_error(decode(vae, golden), golden["vae.decode.0.out"]);
      EXPECT_LT(error, dtype == DType::f32 ? 2e-4 : 6e-2);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, VaeGolden,
                         testing::Values("ltx_090_t2v", "ltx_091_t2v", "ltx_091_t2v_rescale", "ltx_095_t2v",
                                         "nano_t2v"));

TEST(LtxVae, EncodesLikeTheReference) {
  const Golden golden("ltx_090_i2v");
  const auto folder = golden.checkpoint();
  test::on_every_isa([&] {
    Vae vae(folder.config("vae"), checkpoint::Weights(folder.weights("vae")), DType::f32);
    const Tensor pixels = golden["vae.encode.0.in.0"];  // [1, 3, T, H, W]
    const Tensor video = pixels.permute({0, 2, 3, 4, 1}).view({pixels.dim(2), pixels.dim(3), pixels.dim(4), 3});
    EXPECT_LT(test::relative_error(vae.encode(video), golden["vae.encode.0.out"]), 2e-4);
  });
}

TEST(LtxVae, EmitsFramesBeforeTheLastLatentCame) {
  const Golden golden("ltx_090_t2v");
  const auto folder = golden.checkpoint();
  Vae vae(folder.config("vae"), checkpoint::Weights(folder.weights("vae")), DType::f32);
  const Tensor z = Generator(1).randn({golden["vae.decode.0.in.0"].dim(1), 40, 2, 3});
  Generator noise(0);
  int64_t pictures = 0, before_last = 0;
  vae.decode(
      z, {}, noise, [&](const Tensor&) { ++pictures; },
      [&](int64_t done, int64_t all) {
        if (done + 1 == all) before_last = pictures;
      });
  EXPECT_EQ(pictures, 39 * 8 + 1);
  EXPECT_GT(before_last, pictures / 2);
}

}  // namespace
}  // namespace prax::ltx_vae_test
