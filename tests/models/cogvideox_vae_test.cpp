#include "models/cogvideox/vae.h"

#include "support/errors.h"
#include "support/golden.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::cogvideox_vae_test {
namespace {

using models::cogvideox::Tiling;
using models::cogvideox::Vae;
using models::cogvideox::VaeConfig;
using test::Golden;

Vae load(const Golden& golden, DType dtype) {
  const auto folder = golden.checkpoint();
  return Vae(folder.config("vae"), checkpoint::Weights(folder.weights("vae")), dtype);
}

//! [1, C, T, H, W] as the reference records it -> [C, T, H, W]
Tensor clip(const Tensor& recorded) {
  return recorded.view({recorded.dim(1), recorded.dim(2), recorded.dim(3), recorded.dim(4)});
}

Tensor decode(Vae& vae, const Tensor& latents) {
  std::vector<Tensor> pictures;
  vae.decode(latents, [&](const Tensor& p) { pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)})); });
  return Tensor::concat(pictures, 0).permute({3, 0, 1, 2});
}

class CogVideoXVaeGolden : public testing::TestWithParam<const char*> {};

TEST_P(CogVideoXVaeGolden, DecodesLikeTheReference) {
  const Golden golden(GetParam());
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Vae vae = load(golden, dtype);
      if (golden.json["inputs"].contains("vae_tiling")) vae.enable_tiling();
      const Tensor want = golden["vae.decode.0.out"], got = decode(vae, clip(golden["vae.decode.0.in.0"]));
      ASSERT_EQ(got.shape(), clip(want).shape());
      EXPECT_LT(test::relative_error(got, want), dtype == DType::f32 ? 2e-5 : 6e-2);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, CogVideoXVaeGolden,
                         testing::Values("cogvideox_2b_t2v", "cogvideox_5b_t2v", "cogvideox_5b_t2v_tiled",
                                         "cogvideox_15_t2v"));

class CogVideoXVaeEncoderGolden : public testing::TestWithParam<const char*> {};

TEST_P(CogVideoXVaeEncoderGolden, EncodesLikeTheReference) {
  const Golden golden(GetParam());
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Vae vae = load(golden, dtype);
      const Tensor got = vae.encode(clip(golden["vae.encode.0.in.0"]).permute({1, 2, 3, 0}));
      const Tensor want = golden["vae.encode.0.out"];
      ASSERT_EQ(got.shape(), clip(want).shape());
      EXPECT_LT(test::relative_error(got, want), dtype == DType::f32 ? 2e-5 : 6e-2);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, CogVideoXVaeEncoderGolden,
                         testing::Values("cogvideox_5b_i2v", "cogvideox_5b_v2v", "cogvideox_15_i2v"));

// What scripts/cogvideox_vae_cases.py recorded.

constexpr const char* recorded = PRAX_TEST_DATA "/cogvideox_vae";

Vae load_design(const std::string& name, DType dtype) {
  const std::filesystem::path folder =
      name == "published" ? std::filesystem::path(PRAX_TEST_DATA) / "cases/cogvideox_2b_t2v/checkpoint/vae"
                          : std::filesystem::path(recorded) / name;
  return Vae(checkpoint::Config::read(folder / "config.json"),
             checkpoint::Weights(checkpoint::open_safetensors({folder / "diffusion_pytorch_model.safetensors"})),
             dtype);
}

template <typename T>
std::optional<T> number(const nlohmann::json& values, const char* key) {
  return values.contains(key) && !values[key].is_null() ? std::optional(values[key].get<T>()) : std::nullopt;
}

Tiling tiling_of(const nlohmann::json& values) {
  return {number<int64_t>(values, "tile_sample_min_height"), number<int64_t>(values, "tile_sample_min_width"),
          number<double>(values, "tile_overlap_factor_height"), number<double>(values, "tile_overlap_factor_width")};
}

//! Every step-th row and column of [C, T, H, W].
Tensor thinned(const Tensor& clip, int64_t step) {
  const int64_t planes = clip.dim(0) * clip.dim(1), height = clip.dim(2), width = clip.dim(3);
  Tensor out = Tensor::empty({clip.dim(0), clip.dim(1), (height + step - 1) / step, (width + step - 1) / step});
  float* to = out.data<float>();
  for (int64_t p = 0; p < planes; ++p)
    for (int64_t y = 0; y < height; y += step)
      for (int64_t x = 0; x < width; x += step) *to++ = clip.data<float>()[(p * height + y) * width + x];
  return out;
}

TEST(CogVideoXVae, TilesNearAnySizeLineUp) {
  Vae vae = load(Golden("cogvideox_5b_t2v"), DType::f32);
  const int64_t ratio = vae.config().spatial_ratio();
  for (const int64_t side : {1, 64, 100, 128, 256, 512})
    for (const int64_t latents : {1, 7, 30, 61, 135}) {
      SCOPED_TRACE(std::to_string(side) + ", " + std::to_string(latents));
      vae.enable_tiling(vae.tiling_near(side));
      EXPECT_EQ(vae.picture_size(latents, 2 * latents), std::pair(latents * ratio, 2 * latents * ratio));
    }
}

TEST(CogVideoXVae, CodesClipsOfAllLengthsSizesAndDesignsLikeTheReference) {
  nlohmann::json json;
  std::ifstream(std::string(recorded) + "/case.json") >> json;
  const auto tensors = checkpoint::SafetensorsFile::open(std::string(recorded) + "/tensors.safetensors");
  for (const auto& c : json.at("cases")) {
    const std::string name = c.at("name");
    SCOPED_TRACE(name);
    Vae vae = load_design(c.at("design"), DType::f32);
    if (!c.at("tiling").empty()) vae.enable_tiling(tiling_of(c["tiling"]));
    const auto shape = c.at("shape").get<Shape>();
    const bool decodes = name.starts_with("decode");
    Generator generator(c.at("seed").get<uint64_t>());
    const Shape whole{decodes ? vae.config().latent_channels : vae.config().in_channels, shape[0], shape[1], shape[2]};
    Tensor got;
    if (decodes) {
      const Tensor video = decode(vae, generator.randn(whole));
      EXPECT_EQ(video.dim(1), vae.config().decoded_frames(shape[0]));
      EXPECT_EQ(std::pair(video.dim(2), video.dim(3)), vae.picture_size(shape[1], shape[2]));
      got = thinned(video, json["step"]);
    } else {
      Tensor video = generator.rand(whole);
      for (float& v : video.span<float>()) v = v * 2 - 1;
      got = vae.encode(video.permute({1, 2, 3, 0}));
    }
    const Tensor want = tensors->tensor(name);
    ASSERT_EQ(got.shape(), want.shape());
    EXPECT_LT(test::relative_error(got, want), 2e-5);
  }
}

TEST(CogVideoXVae, EmitsPicturesOfEachChunk) {
  Vae vae = load_design("published", DType::bf16);
  std::vector<std::pair<int64_t, int64_t>> pictures_at;
  int64_t pictures = 0;
  vae.decode(
      Generator(1).randn({4, 5, 2, 3}),
      [&](const Tensor& p) {
        EXPECT_EQ(p.shape(), (Shape{16, 24, 3}));
        ++pictures;
      },
      [&](int64_t done, int64_t all) {
        EXPECT_EQ(all, 5);
        pictures_at.emplace_back(done, pictures);
      });
  EXPECT_EQ(pictures_at, (std::vector<std::pair<int64_t, int64_t>>{{3, 9}, {5, 17}}));
}

TEST(CogVideoXVae, CodesAgainAfterItWasInterrupted) {
  Vae vae = load_design("published", DType::f32);
  const Tensor z = Generator(1).randn({4, 5, 2, 3});
  const Tensor before = decode(vae, z);
  EXPECT_THROW(vae.decode(z, [](const Tensor&) { throw Error(ErrorKind::interrupted, "interrupted"); }), Error);
  EXPECT_EQ(test::relative_error(decode(vae, z), before), 0);
}

TEST(CogVideoXVae, DoesNotDependOnTheNumberOfThreads) {
  Vae vae = load_design("published", DType::bf16);
  const Tensor z = Generator(1).randn({4, 3, 3, 5});
  const int threads = thread_count();
  set_thread_count(1);
  const Tensor one = decode(vae, z);
  set_thread_count(3);
  const Tensor three = decode(vae, z);
  set_thread_count(threads);
  EXPECT_TRUE(std::equal(one.span<float>().begin(), one.span<float>().end(), three.span<float>().begin()));
}

TEST(CogVideoXVae, RefusesWhatItCannotCode) {
  Vae vae = load_design("published", DType::f32);
  EXPECT_TRUE(test::contains(test::error_of(ErrorKind::usage,
                                            [&] {
                                              vae.encode(Tensor::zeros({1, 7, 16, 3}));
                                            }),
                             "too small"));
  test::error_of(ErrorKind::internal, [&] { vae.encode(Tensor::zeros({1, 16, 16, 4})); });
  test::error_of(ErrorKind::internal, [&] { vae.decode(Tensor::zeros({5, 1, 2, 2}), [](const Tensor&) {}); });
  const auto tiles = [&](const Tiling& t) { return test::error_of(ErrorKind::usage, [&] { vae.enable_tiling(t); }); };
  EXPECT_TRUE(test::contains(tiles({7, 16, {}, {}}), "16x7"));
  EXPECT_TRUE(test::contains(tiles({16, 16, 1.0, {}}), "leave nothing"));
  EXPECT_TRUE(test::contains(tiles({16, 16, {}, -0.5}), "leave nothing"));
}

TEST(CogVideoXVae, ResnetsHaveTheConfigsActivation) {
  const Golden golden("cogvideox_2b_t2v");
  const auto folder = golden.checkpoint();
  nlohmann::json values = folder.config("vae").values();
  values["act_fn"] = "relu";
  Vae vae(checkpoint::Config(values, "config.json"), checkpoint::Weights(folder.weights("vae")), DType::f32);
  EXPECT_GT(test::relative_error(decode(vae, clip(golden["vae.decode.0.in.0"])), golden["vae.decode.0.out"]), 1e-2);
}

TEST(CogVideoXVae, RefusesConfigsThatItCannotFollow) {
  const auto of = [](const nlohmann::json& config) {
    return test::error_of(ErrorKind::checkpoint, [&] { VaeConfig::from(checkpoint::Config(config, "config.json")); });
  };
  EXPECT_TRUE(test::contains(of({{"act_fn", "snake"}}), "act_fn \"snake\""));
  EXPECT_TRUE(test::contains(of({{"norm_num_groups", 48}}), "128 channels"));
  EXPECT_TRUE(test::contains(of({{"block_out_channels", {32, 64}}}), "down_block_types has 4 entries"));
  EXPECT_TRUE(test::contains(of({{"up_block_types", {"A", "B", "C", "D"}}}), "\"A\""));
  EXPECT_TRUE(test::contains(of({{"use_quant_conv", true}}), "use_quant_conv"));
  EXPECT_TRUE(test::contains(of({{"temporal_compression_ratio", 0}}), "size"));
  EXPECT_TRUE(test::contains(of({{"latent_channels", int64_t{1} << 40}}), "size"));
  EXPECT_TRUE(test::contains(of({{"scaling_factor", "one"}}), "scaling_factor"));
}

}  // namespace
}  // namespace prax::cogvideox_vae_test
