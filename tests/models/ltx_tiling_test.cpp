#include "models/ltx/tiling.h"

#include "support/errors.h"
#include "support/golden.h"
#include "tensor/random.h"

namespace prax::ltx_tiling_test {
namespace {

using models::ltx::FadedTiles;
using models::ltx::Tiling;
using models::ltx::Vae;
using nlohmann::json;

const std::filesystem::path folder = std::filesystem::path(PRAX_TEST_DATA) / "vae_tiling";

Vae vae_of(const std::string& name) {
  const auto checkpoint =
      checkpoint::Folder::open(std::filesystem::path(PRAX_TEST_DATA) / "cases" / name / "checkpoint");
  return Vae(checkpoint.config("vae"), checkpoint::Weights(checkpoint.weights("vae")), DType::f32);
}

Tiling tiling_of(const json& options) {
  Tiling t;
  t.use_tiling = options.value("use_tiling", t.use_tiling);
  t.use_framewise_decoding = options.value("use_framewise_decoding", t.use_framewise_decoding);
  t.tile_sample_min_height = options.value("tile_sample_min_height", t.tile_sample_min_height);
  t.tile_sample_min_width = options.value("tile_sample_min_width", t.tile_sample_min_width);
  t.tile_sample_min_num_frames = options.value("tile_sample_min_num_frames", t.tile_sample_min_num_frames);
  t.tile_sample_stride_height = options.value("tile_sample_stride_height", t.tile_sample_stride_height);
  t.tile_sample_stride_width = options.value("tile_sample_stride_width", t.tile_sample_stride_width);
  t.tile_sample_stride_num_frames = options.value("tile_sample_stride_num_frames", t.tile_sample_stride_num_frames);
  return t;
}

template <typename T>
std::optional<T> optional(const json& object, const char* key) {
  return object.contains(key) && !object[key].is_null() ? std::optional<T>(object[key].get<T>()) : std::nullopt;
}

//! [C, T, H / 5, W / 5] of pictures [H, W, C], as the cases keep them.
Tensor sampled(const std::vector<Tensor>& pictures) {
  constexpr int64_t step = 5;
  const Tensor& first = pictures.at(0);
  const int64_t rows = (first.dim(0) + step - 1) / step, columns = (first.dim(1) + step - 1) / step;
  const int64_t channels = first.dim(2);
  Tensor out = Tensor::empty({channels, static_cast<int64_t>(pictures.size()), rows, columns});
  float* to = out.data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (const Tensor& p : pictures)
      for (int64_t y = 0; y < rows; ++y)
        for (int64_t x = 0; x < columns; ++x)
          *to++ = p.data<float>()[(y * step * first.dim(1) + x * step) * channels + c];
  return out;
}

struct Coded {
  Tensor values;
  Shape decoded;  //!< [1, C, T, H, W]
};

//! What the library makes of a case.
Coded code(const json& c) {
  Vae vae = vae_of(c["checkpoint"]);
  const Tiling tiling = tiling_of(c["tiling"]);
  const auto shape = c["shape"].get<Shape>();
  Generator generator(c["seed"].get<uint64_t>()), injected(c["seed"].get<uint64_t>() + 1);
  if (c["kind"] == "encode") {
    Tensor video = generator.rand(shape);
    for (float& v : video.span<float>()) v = v * 2 - 1;
    return {encode(vae, tiling, video.view({shape[1], shape[2], shape[3], shape[4]}).permute({1, 2, 3, 0})), {}};
  }
  const Tensor latents = generator.randn(shape).view({shape[1], shape[2], shape[3], shape[4]});
  std::vector<Tensor> pictures;
  const auto keep = [&](const Tensor& picture) { pictures.push_back(picture.clone()); };
  int64_t reports = 0, done = 0, all = 0;
  const auto on_latent_frame = [&](int64_t now, int64_t of) {
    EXPECT_EQ(now, ++reports);
    done = now;
    all = of;
  };
  if (c["kind"] == "decode") {
    decode(vae, tiling, latents, optional<float>(c, "timestep"), injected, keep, on_latent_frame);
  } else {
    const json& a = c["arguments"];
    FadedTiles tiles;
    tiles.horizontal_tiles = a.value("horizontal_tiles", tiles.horizontal_tiles);
    tiles.vertical_tiles = a.value("vertical_tiles", tiles.vertical_tiles);
    tiles.overlap = a.value("overlap", tiles.overlap);
    tiles.last_frame_fix = a.value("last_frame_fix", tiles.last_frame_fix);
    tiles.decode_timestep = optional<float>(a, "decode_timestep");
    tiles.decode_noise_scale = optional<float>(a, "decode_noise_scale");
    decode_faded(vae, tiles, tiling, latents, generator, injected, keep, on_latent_frame);
  }
  EXPECT_GT(reports, 0);
  EXPECT_EQ(done, all);
  const Tensor& first = pictures.at(0);
  return {sampled(pictures), {1, first.dim(2), std::ssize(pictures), first.dim(0), first.dim(1)}};
}

TEST(LtxTiling, CodesLikeTheReference) {
  std::ifstream file(folder / "cases.json");
  const json cases = json::parse(file);
  const auto tensors = checkpoint::SafetensorsFile::open(folder / "tensors.safetensors");
  for (const json& c : cases) {
    const auto name = c["name"].get<std::string>();
    SCOPED_TRACE(name);
    const Tensor want = tensors->tensor(name);
    const Coded got = code(c);
    EXPECT_EQ(got.values.shape(), want.shape());
    if (c.contains("decoded")) {
      EXPECT_EQ(got.decoded, c["decoded"].get<Shape>());
    }
    EXPECT_LT(test::relative_error(got.values, want), 1e-5);
  }
}

TEST(LtxTiling, TilesOfAClipStream) {
  Vae vae = vae_of("ltx_090_t2v");
  Tiling tiling;
  tiling.use_framewise_decoding = true;
  const Tensor latents = Generator(5).randn({8, 9, 1, 1});
  Generator noise(0);
  int64_t pictures = 0, half = 0;
  decode(
      vae, tiling, latents, {}, noise, [&](const Tensor&) { ++pictures; },
      [&](int64_t done, int64_t all) {
        if (done == all / 2) half = pictures;
      });
  EXPECT_EQ(pictures, 65);
  EXPECT_GT(half, 16);
}

TEST(LtxTiling, SmallClipsAreCodedWhole) {
  Vae vae = vae_of("ltx_090_t2v");
  Tiling tiling = tiling_of({{"use_tiling", true},
                             {"use_framewise_decoding", true},
                             {"tile_sample_min_height", 64},
                             {"tile_sample_min_width", 64},
                             {"tile_sample_stride_height", 32},
                             {"tile_sample_stride_width", 32}});
  const Tensor latents = Generator(5).randn({8, 2, 2, 2});
  Generator noise(0);
  std::vector<Tensor> whole, tiled;
  vae.decode(latents, {}, noise, [&](const Tensor& p) { whole.push_back(p); });
  decode(vae, tiling, latents, {}, noise, [&](const Tensor& p) { tiled.push_back(p); });
  ASSERT_EQ(whole.size(), tiled.size());
  for (size_t i = 0; i < whole.size(); ++i) EXPECT_EQ(test::relative_error(tiled[i], whole[i]), 0);
  const Tensor video = Tensor::concat({whole[0].view({1, 64, 64, 3}), whole[1].view({1, 64, 64, 3})}, 0);
  EXPECT_EQ(test::relative_error(encode(vae, tiling, video), vae.encode(video)), 0);
}

TEST(LtxTiling, RefusesWhatLeavesNoTile) {
  Vae vae = vae_of("ltx_090_t2v");
  const Tensor latents = Generator(5).randn({8, 3, 2, 4});
  Generator noise(0);
  const auto ignore = [](const Tensor&) {};
  for (const json& options : {json{{"use_tiling", true}, {"tile_sample_stride_width", 31}},
                              json{{"use_tiling", true}, {"tile_sample_min_height", 0}},
                              json{{"use_framewise_decoding", true}, {"tile_sample_stride_num_frames", 7}},
                              json{{"use_framewise_decoding", true}, {"tile_sample_min_num_frames", -8}}})
    test::error_of(ErrorKind::usage, [&] { decode(vae, tiling_of(options), latents, {}, noise, ignore); });
  // Tiles that the encoder's patches of 4 pixels do not divide.
  const json odd{{"use_tiling", true}, {"tile_sample_min_height", 50}, {"tile_sample_min_width", 64}};
  test::error_of(ErrorKind::usage, [&] { encode(vae, tiling_of(odd), Tensor::zeros({1, 64, 64, 3})); });
  constexpr int64_t huge = int64_t{1} << 62;
  for (const FadedTiles& tiles : {FadedTiles{5, 1, 0}, FadedTiles{2, 1, 5}, FadedTiles{0, 1, 0}, FadedTiles{1, -1, 0},
                                  FadedTiles{huge, 1, 0}, FadedTiles{2, 1, huge}})
    test::error_of(ErrorKind::usage, [&] { decode_faded(vae, tiles, {}, latents, noise, noise, ignore); });
}

TEST(LtxTiling, TheEncoderRefusesClipsThatItsBlocksDoNotDivide) {
  Vae vae = vae_of("ltx_095_t2v");
  test::error_of(ErrorKind::usage, [&] { vae.encode(Tensor::zeros({8, 32, 32, 3})); });
  EXPECT_EQ(vae.encode(Tensor::zeros({9, 32, 32, 3})).dim(1), 2);
}

}  // namespace
}  // namespace prax::ltx_tiling_test
