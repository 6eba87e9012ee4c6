#include "pipelines/ltx/latents.h"

#include "models/ltx/vae.h"
#include "support/golden.h"
#include "tensor/random.h"

namespace prax::pipelines::ltx {
namespace {

using test::Golden;

Tensor draw(const std::string& name, const Shape& shape) {
  uint32_t seed = 0;
  for (const char c : name) seed = seed * 31 + static_cast<unsigned char>(c);
  return Generator(seed).randn(shape);
}

TEST(LtxLatents, AreUpsampledLikeTheReference) {
  const Golden golden("ltx_upsample");
  const auto checkpoint = checkpoint::Folder::open(golden.path / "checkpoint");
  test::on_every_isa([&] {
    models::ltx::Vae vae(checkpoint.config("vae"), checkpoint::Weights(checkpoint.weights("vae")), DType::f32);
    const auto weights = checkpoint.weights("latent_upsampler");
    models::ltx::LatentUpsampler upsampler(checkpoint.config("latent_upsampler"), checkpoint::Weights(weights),
                                           DType::f32);
    checkpoint::require_all_used(*weights);
    const LatentScale scale{vae.latents_mean(), vae.latents_std(), vae.config().scaling_factor};
    const auto& arguments = golden.json["arguments"];
    const Tensor got = upsample_latents(upsampler, golden["latents"], scale, arguments["adain_factor"],
                                        arguments["tone_map_compression_ratio"]);
    EXPECT_LT(test::relative_error(normalize_latents(got, scale), golden["upsampled"]), 1e-5);
    EXPECT_LT(test::relative_error(denormalize_latents(golden["upsampled"], scale), got), 1e-5);
  });
}

//! Factors on both sides of a half, where torch.lerp changes its formula, and beyond 1.
TEST(LtxLatents, AreFilteredLikeTheReference) {
  const auto tensors = checkpoint::SafetensorsFile::open(PRAX_TEST_DATA "/latent_upsampler/tensors.safetensors");
  Tensor latents = draw("latents", {2, 3, 2, 3, 2});
  for (float& v : latents.span<float>()) v = v * 2 + 1;
  const Tensor reference = draw("reference", {2, 3, 3, 2, 2});
  int filters = 0;
  for (const auto& [name, entry] : tensors->entries()) {
    SCOPED_TRACE(name);
    const double number = std::stod(name.substr(name.find('.') + 1));
    Tensor got;
    if (name.starts_with("adain.")) got = adain_filter_latent(latents, reference, static_cast<float>(number));
    if (name.starts_with("tone_map.")) got = tone_map_latents(latents, number);
    if (!got.defined()) continue;
    ++filters;
    EXPECT_EQ(got.shape(), latents.shape());
    EXPECT_LT(test::relative_error(got, tensors->tensor(name)), 1e-6);
  }
  EXPECT_EQ(filters, 7);
  EXPECT_EQ(test::relative_error(tone_map_latents(latents, 0), latents), 0);
}

TEST(LtxLatents, RefuseWhatDoesNotFit) {
  const LatentScale scale{Tensor::zeros({3}), Tensor::full({3}, 1)};
  for (const Shape& shape : {Shape{1, 4, 1, 1, 1}, Shape{3, 2, 2, 2}})
    EXPECT_THROW(denormalize_latents(Tensor::zeros(shape), scale), Error);
  EXPECT_THROW(adain_filter_latent(Tensor::zeros({1, 3, 1, 2, 2}), Tensor::zeros({1, 2, 1, 2, 2}), 1), Error);
  for (const double compression : {-0.1, 1.5, std::nan("")})
    EXPECT_THROW(tone_map_latents(Tensor::zeros({1, 3, 1, 1, 1}), compression), Error);
}

}  // namespace
}  // namespace prax::pipelines::ltx
