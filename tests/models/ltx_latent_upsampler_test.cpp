#include "models/ltx/latent_upsampler.h"

#include "support/errors.h"
#include "support/golden.h"
#include "tensor/random.h"

namespace prax::ltx_latent_upsampler_test {
namespace {

using models::ltx::LatentUpsampler;
using nlohmann::json;

const std::filesystem::path folder = std::filesystem::path(PRAX_TEST_DATA) / "latent_upsampler";

Tensor draw(const std::string& name, const Shape& shape) {
  uint32_t seed = 0;
  for (const char c : name) seed = seed * 31 + static_cast<unsigned char>(c);
  return Generator(seed).randn(shape);
}

//! The weights that scripts/latent_upsampler_cases.py gave the reference.
class Drawn : public checkpoint::TensorSource {
public:
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string& name, const Shape& shape) override {
    Tensor t = draw(name, shape);
    const float scale =
        shape.size() > 1 ? std::sqrt(static_cast<float>(shape[0]) / static_cast<float>(t.numel())) : 0.25f;
    const float offset = shape.size() == 1 && name.ends_with("weight") ? 1 : 0;
    for (float& v : t.span<float>()) v = v * scale + offset;
    return t;
  }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "drawn"; }
};

LatentUpsampler upsampler_of(const json& config, DType dtype) {
  return LatentUpsampler(checkpoint::Config(config, "the test's config"),
                         checkpoint::Weights(std::make_shared<Drawn>()), dtype);
}

TEST(LtxLatentUpsampler, UpsamplesLikeTheReference) {
  std::ifstream file(folder / "cases.json");
  const json cases = json::parse(file);
  const auto tensors = checkpoint::SafetensorsFile::open(folder / "tensors.safetensors");
  test::on_every_isa([&] {
    for (size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(cases[i].dump());
      const std::string number = std::to_string(i);
      const Tensor want = tensors->tensor("model." + number);
      const Tensor latents = draw("latents." + number, cases[i]["shape"].get<Shape>());
      for (const DType dtype : {DType::f32, DType::bf16}) {
        LatentUpsampler upsampler = upsampler_of(cases[i]["config"], dtype);
        for (int repeat = 0; repeat < (dtype == DType::f32 ? 2 : 1); ++repeat) {
          const Tensor got = upsampler(latents);
          EXPECT_EQ(got.shape(), want.shape());
          EXPECT_LT(test::relative_error(got, want), dtype == DType::f32 ? 1e-5 : 4e-2);
        }
      }
    }
  });
}

TEST(LtxLatentUpsampler, RefusesConfigsThatCannotBe) {
  const json good{{"in_channels", 4}, {"mid_channels", 32}, {"num_blocks_per_stage", 1}};
  for (const json& change : {json{{"in_channels", 0}}, json{{"mid_channels", -32}}, json{{"mid_channels", 48}},
                             json{{"dims", 1}}, json{{"num_blocks_per_stage", -1}},
                             json{{"num_blocks_per_stage", int64_t{1} << 40}}, json{{"mid_channels", int64_t{1} << 60}},
                             json{{"spatial_upsample", false}}, json{{"dims", 2}, {"temporal_upsample", true}}}) {
    json config = good;
    config.update(change);
    SCOPED_TRACE(config.dump());
    test::error_of(ErrorKind::checkpoint, [&] { upsampler_of(config, DType::f32); });
  }
}

TEST(LtxLatentUpsampler, RefusesLatentsOfAnotherShape) {
  LatentUpsampler upsampler = upsampler_of({{"in_channels", 4}, {"mid_channels", 32}}, DType::f32);
  for (const Shape& shape : {Shape{4, 2, 2, 2}, Shape{1, 5, 1, 1, 1}, Shape{1, 4, 0, 1, 1}, Shape{0, 4, 1, 1, 1}})
    test::error_of(ErrorKind::input, [&] { upsampler(Tensor::zeros(shape)); });
}

}  // namespace
}  // namespace prax::ltx_latent_upsampler_test
