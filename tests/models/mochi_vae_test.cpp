#include "models/mochi/vae.h"

#include "models/mochi/tiles.h"
#include "support/golden.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::mochi_vae_test {
namespace {

using models::mochi::Tiling;
using models::mochi::Vae;
using models::mochi::VaeConfig;
using test::Golden;

std::optional<Tiling> tiling_of(const Golden& golden) {
  const auto& inputs = golden.json["inputs"];
  if (!inputs.contains("vae_tiling")) return {};
  const auto& t = inputs["vae_tiling"];
  return Tiling{t["tile_sample_min_height"], t["tile_sample_min_width"], t["tile_sample_stride_height"],
                t["tile_sample_stride_width"]};
}

Vae load(const Golden& golden, DType dtype) {
  const auto folder = golden.checkpoint();
  return {folder.config("vae"), checkpoint::Weights(folder.weights("vae")), dtype};
}

Tensor without_batch(const Tensor& t) { return t.view(Shape(t.shape().begin() + 1, t.shape().end())); }

//! [3, T, H, W] as the reference records it.
Tensor decode(Vae& vae, const Tensor& latents, const std::optional<Tiling>& tiling = {}) {
  std::vector<Tensor> pictures;
  vae.decode(
      latents,
      [&](const Tensor& p) {
        pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)}));
      },
      {}, tiling);
  return Tensor::concat(pictures, 0).permute({3, 0, 1, 2});
}

double decoding_error(const Golden& golden, DType dtype) {
  Vae vae = load(golden, dtype);
  const Tensor want = without_batch(golden["vae.decode.0.out"]);
  const Tensor got = decode(vae, without_batch(golden["vae.decode.0.in.0"]), tiling_of(golden));
  EXPECT_EQ(got.shape(), want.shape());
  return test::relative_error(got, want);
}

TEST(MochiVae, DecodesLikeTheReference) {
  const Golden golden("mochi_t2v");
  test::on_every_isa([&] {
    EXPECT_LT(decoding_error(golden, DType::f32), 1e-5);
    EXPECT_LT(decoding_error(golden, DType::bf16), 6e-2);
  });
}

TEST(MochiVae, DecodesTilesLikeTheReference) { EXPECT_LT(decoding_error(Golden("mochi_t2v_tiled"), DType::f32), 1e-5); }

TEST(MochiVae, DecodesLargePicturesInBf16) {
  const Golden golden("mochi_t2v");
  const Tensor latents = Generator(1).randn({12, 1, 24, 24});
  Vae exact = load(golden, DType::f32), rounded = load(golden, DType::bf16);
  EXPECT_LT(test::relative_error(decode(rounded, latents), decode(exact, latents)), 2e-2);
}

TEST(MochiVae, EncodesLikeTheReference) {
  const Golden golden("mochi_t2v");
  const Tensor video = without_batch(golden["encode.0.in.0"]).permute({1, 2, 3, 0});
  const Tensor want = without_batch(golden["encode.0.out"]);
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Vae vae = load(golden, dtype);
      const Tensor got = vae.encode(video);
      EXPECT_EQ(got.shape(), want.shape());
      EXPECT_LT(test::relative_error(got, want), dtype == DType::f32 ? 5e-5 : 1e-1);
    }
  });
}

TEST(MochiVae, EmitsFramesAsTheyCome) {
  const Golden golden("mochi_t2v");
  Vae vae = load(golden, DType::f32);
  const Tensor latents = Generator(1).randn({12, 5, 2, 3});
  std::vector<int64_t> pictures;
  int64_t count = 0;
  vae.decode(
      latents, [&](const Tensor&) { ++count; }, [&](int64_t, int64_t) { pictures.push_back(count); });
  EXPECT_EQ(pictures, (std::vector<int64_t>{1, 7, 13, 19, 25}));
}

TEST(MochiVae, ForgetsTheClipBefore) {
  const Golden golden("mochi_t2v");
  Vae vae = load(golden, DType::bf16);
  const Tensor latents = Generator(1).randn({12, 2, 4, 5});
  const Tensor first = decode(vae, latents);
  decode(vae, Generator(2).randn({12, 3, 3, 2}));
  EXPECT_EQ(test::relative_error(decode(vae, latents), first), 0);
}

TEST(MochiVae, DoesNotDependOnTheNumberOfThreads) {
  const Golden golden("mochi_t2v");
  Vae vae = load(golden, DType::f32);
  const Tensor latents = Generator(1).randn({12, 2, 4, 5}), video = Generator(2).rand({7, 16, 24, 3});
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = decode(vae, latents), moments = vae.encode(video);
  set_thread_count(3);
  EXPECT_EQ(test::relative_error(decode(vae, latents), one), 0);
  EXPECT_EQ(test::relative_error(vae.encode(video), moments), 0);
  set_thread_count(before);
}

TEST(MochiVae, CodesPicturesNoLargerThanATileWhole) {
  const Golden golden("mochi_t2v");
  Vae vae = load(golden, DType::f32);
  const Tensor latents = Generator(1).randn({12, 1, 3, 4}), video = Generator(2).rand({1, 24, 32, 3});
  const Tiling tiling{24, 32, 16, 24};
  EXPECT_EQ(test::relative_error(decode(vae, latents, tiling), decode(vae, latents)), 0);
  EXPECT_EQ(test::relative_error(vae.encode(video, tiling), vae.encode(video)), 0);
}

TEST(MochiVae, RefusesWhatCannotBe) {
  const Golden golden("mochi_t2v");
  Vae vae = load(golden, DType::f32);
  const Tensor latents = Generator(1).randn({12, 1, 3, 4});
  EXPECT_THROW(decode(vae, latents, Tiling{16, 16, 4, 16}), Error);
  EXPECT_THROW(decode(vae, latents, Tiling{0, 16, 16, 16}), Error);
  EXPECT_THROW(decode(vae, Generator(1).randn({11, 1, 3, 4})), Error);
  EXPECT_THROW(vae.encode(Generator(1).rand({1, 4, 32, 3})), Error);
  EXPECT_THROW(vae.encode(Generator(1).rand({1, 32, 32, 4})), Error);
  const auto parse = [](nlohmann::json values) {
    VaeConfig::from(checkpoint::Config(std::move(values), "config.json"));
  };
  EXPECT_NO_THROW(parse(nlohmann::json::object()));
  EXPECT_NO_THROW(parse({{"act_fn", "Swish"}}));
  EXPECT_THROW(parse({{"act_fn", "tanh"}}), Error);
  EXPECT_THROW(parse({{"layers_per_block", {1, 1}}}), Error);
  EXPECT_THROW(parse({{"spatial_expansions", {2, 0, 2}}}), Error);
  EXPECT_THROW(parse({{"spatial_expansions", {1 << 12, 1 << 12, 1}}}), Error);
  EXPECT_THROW(parse({{"in_channels", 3}}), Error);
  EXPECT_THROW(parse({{"in_channels", 16}}), Error);
  EXPECT_THROW(parse({{"encoder_block_out_channels", {32, 64}}}), Error);
}

TEST(MochiVae, TakesStatisticsFromConfig) {
  const Golden golden("mochi_t2v");
  const auto folder = golden.checkpoint();
  nlohmann::json values = folder.config("vae").values();
  values["latents_mean"] = nullptr;
  values["latents_std"] = std::vector<float>(12, 0.5f);
  const Vae vae(checkpoint::Config(values, "config.json"), checkpoint::Weights(folder.weights("vae")), DType::f32);
  EXPECT_FALSE(vae.latents_mean().defined());
  EXPECT_EQ(vae.latents_std().data<float>()[11], 0.5f);
  values["latents_std"] = std::vector<float>(11, 0.5f);
  EXPECT_THROW(Vae(checkpoint::Config(values, "config.json"), checkpoint::Weights(folder.weights("vae")), DType::f32),
               Error);
}

TEST(MochiTiles, BlendWithTheTileBefore) {
  // One row of four pixels in tiles of three, two apart, each coded as its number.
  const models::mochi::TileAxis row{1, 1, 1, 1, 0, 1}, columns{4, 3, 2, 2, 2, 4};
  float number = 0;
  const Tensor out = code_tiles(row, columns, [&](int64_t, int64_t, int64_t first, int64_t end) {
    number += 1;
    return Tensor::full({1, 1, end - first, 1}, number);
  });
  EXPECT_EQ(out.shape(), (Shape{1, 1, 4, 1}));
  const std::vector<float> want{1.0f, 1.0f, 1.0f, 1.5f};
  EXPECT_TRUE(std::equal(want.begin(), want.end(), out.data<float>()));
}

}  // namespace
}  // namespace prax::mochi_vae_test
