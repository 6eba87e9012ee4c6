#include "models/pyramid_flow/vae.h"

#include "pyramid_flow.h"
#include "tensor/parallel.h"

namespace prax::pyramid_flow_vae_test {
namespace {

using checkpoint::Config;
using models::pyramid_flow::Vae;
using models::pyramid_flow::VaeConfig;
using models::pyramid_flow::VaeTiling;
using test::PyramidFlowGolden;

std::unique_ptr<Vae> load(const PyramidFlowGolden& golden, DType dtype, const nlohmann::json& change = {}) {
  const auto folder = golden.component();
  nlohmann::json values = test::config_of(folder).values();
  if (!change.is_null()) values.update(change);
  return std::make_unique<Vae>(Config(values, "config.json"),
                               test::weights_of(folder, "diffusion_pytorch_model.safetensors"), dtype);
}

//! Clip b of pixels [B, 3, T, H, W] -> [T, H, W, 3]
Tensor video_of(const Tensor& pixels, int64_t b = 0) {
  const Shape& s = pixels.shape();
  return pixels.slice(b, b + 1).view({s[1], s[2], s[3], s[4]}).permute({1, 2, 3, 0});
}

Tensor item(const Tensor& t, int64_t b) { return t.slice(b, b + 1).view({t.dim(1), t.dim(2), t.dim(3), t.dim(4)}); }

//! -> [3, T, H, W]
Tensor decode(Vae& vae, const Tensor& latents, const VaeTiling& tiling = {}) {
  std::vector<Tensor> pictures;
  vae.decode(latents, tiling, [&](const Tensor& p) { pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)})); });
  return Tensor::concat(pictures, 0).permute({3, 0, 1, 2});
}

void expect_equal(const Tensor& got, const Tensor& want, DType dtype, const char* what) {
  ASSERT_EQ(got.shape(), want.shape()) << what;
  if (dtype == DType::f32) {
    EXPECT_LT(test::relative_error(got, want), 1e-5) << what;
  } else {
    EXPECT_GT(test::cosine(got, want), 0.999) << what;
  }
}

TEST(PyramidFlowVae, EncodesAndDecodesAsTheReference) {
  const PyramidFlowGolden golden("vae");
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto vae = load(golden, dtype);
      const Tensor image = golden["image.pixels"], moments = golden["image.moments"];
      for (int64_t b = 0; b < image.dim(0); ++b)
        expect_equal(vae->encode(video_of(image, b), {}), item(moments, b), dtype, "image.moments");
      expect_equal(decode(*vae, item(golden["image.sample"], 0)), item(golden["image.decoded"], 0), dtype,
                   "image.decoded");
      expect_equal(vae->encode(video_of(golden["video.pixels"]), {}), item(golden["video.moments"], 0), dtype,
                   "video.moments");
      expect_equal(decode(*vae, item(golden["video.latents"], 0)), item(golden["video.decoded"], 0), dtype,
                   "video.decoded");
    }
  });
}

TEST(PyramidFlowVae, BlendsTilesAsTheReference) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  const VaeTiling tiling{true, 32};
  expect_equal(vae->encode(video_of(golden["tiled.pixels"]), tiling), item(golden["tiled.moments"], 0), DType::f32,
               "tiled.moments");
  const Tensor latents = item(golden["tiled.latents"], 0), decoded = decode(*vae, latents, tiling);
  // Recorded: every eighth picture.
  const Tensor by_picture = decoded.permute({1, 0, 2, 3}), want = golden["tiled.decoded"];
  std::vector<Tensor> some;
  for (int64_t t = 0; t < by_picture.dim(0); t += 8) some.push_back(by_picture.slice(t, t + 1));
  expect_equal(Tensor::concat(some, 0).permute({1, 0, 2, 3}), item(want, 0), DType::f32, "tiled.decoded");
  // Tiles make a difference, and none where the picture is no larger than one.
  EXPECT_GT(test::relative_error(decode(*vae, latents), decoded), 1e-3);
  EXPECT_EQ(test::relative_error(decode(*vae, latents, {true, 256}), decode(*vae, latents)), 0);
  EXPECT_THROW(decode(*vae, latents, {true, 8}), Error);
}

TEST(PyramidFlowVae, GivesPicturesAsSoonAsTheirLatentsAreThere) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  const Tensor latents = item(golden["video.latents"], 0).permute({1, 0, 2, 3});
  std::vector<Tensor> pictures;
  std::vector<size_t> counts;
  vae->begin_decoding();
  for (int64_t t = 0; t < latents.dim(0); ++t) {
    vae->decode_next(latents.slice(t, t + 1).view({latents.dim(1), 1, latents.dim(2), latents.dim(3)}),
                     [&](const Tensor& p) {
                       pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)}));
                     });
    counts.push_back(pictures.size());
  }
  vae->end_decoding();
  for (size_t t = 0; t < counts.size(); ++t) EXPECT_EQ(counts[t], 1 + 8 * t);
  expect_equal(Tensor::concat(pictures, 0).permute({3, 0, 1, 2}), item(golden["video.decoded"], 0), DType::f32,
               "video.decoded");
}

TEST(PyramidFlowVae, DecodesAFrameAloneAmidAnotherClip) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  const Tensor latents = item(golden["video.latents"], 0);
  const Tensor by_frame = latents.permute({1, 0, 2, 3});
  const auto frame = [&](int64_t t) {
    return by_frame.slice(t, t + 1).view({latents.dim(0), 1, latents.dim(2), latents.dim(3)});
  };
  const Tensor alone = vae->decode_alone(frame(1));
  std::vector<Tensor> pictures;
  vae->begin_decoding();
  for (int64_t t = 0; t < by_frame.dim(0); ++t) {
    vae->decode_next(frame(t), [&](const Tensor& p) { pictures.push_back(p.view({1, p.dim(0), p.dim(1), p.dim(2)})); });
    EXPECT_EQ(test::relative_error(vae->decode_alone(frame(1)), alone), 0);
    EXPECT_EQ(vae->decode_alone(Tensor::zeros({latents.dim(0), 1, 2, 2})).rank(), 3);
  }
  vae->end_decoding();
  EXPECT_EQ(test::relative_error(Tensor::concat(pictures, 0).permute({3, 0, 1, 2}), decode(*vae, latents)), 0);
}

TEST(PyramidFlowVae, DoesNotDependOnTheNumberOfThreads) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  const Tensor latents = item(golden["image.sample"], 0);
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = decode(*vae, latents);
  set_thread_count(3);
  const Tensor three = decode(*vae, latents);
  set_thread_count(before);
  EXPECT_EQ(test::relative_error(three, one), 0);
}

TEST(PyramidFlowVae, RefusesWhatDoesNotFit) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  EXPECT_THROW(vae->encode(Tensor::zeros({1, 12, 16, 3}), {}), Error);
  EXPECT_THROW(vae->encode(Tensor::zeros({1, 16, 16, 4}), {}), Error);
  EXPECT_THROW(vae->decode_next(Tensor::zeros({1, 1, 2, 2}), [](const Tensor&) {}), Error);
}

void expect_refused(const nlohmann::json& change, const std::string& said) {
  nlohmann::json values = test::config_of(PyramidFlowGolden("vae").component()).values();
  values.update(change);
  try {
    VaeConfig::from(Config(values, "config.json"));
    ADD_FAILURE() << change << " was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(e.what()).find(said), std::string::npos) << e.what();
  }
}

TEST(PyramidFlowVae, EachSideHasItsActivation) {
  const PyramidFlowGolden golden("vae");
  const auto vae = load(golden, DType::f32);
  const auto encoder = load(golden, DType::f32, {{"encoder_act_fn", "relu"}});
  const auto decoder = load(golden, DType::f32, {{"decoder_act_fn", "relu"}});
  const Tensor image = video_of(golden["image.pixels"]), latents = item(golden["image.sample"], 0);
  const Tensor moments = vae->encode(image, {}), decoded = decode(*vae, latents);
  EXPECT_GT(test::relative_error(encoder->encode(image, {}), moments), 1e-2);
  EXPECT_EQ(test::relative_error(decode(*encoder, latents), decoded), 0);
  EXPECT_GT(test::relative_error(decode(*decoder, latents), decoded), 1e-2);
  EXPECT_EQ(test::relative_error(decoder->encode(image, {}), moments), 0);
}

TEST(PyramidFlowVae, NamesWhatItCannotRun) {
  expect_refused({{"encoder_act_fn", "snake"}}, "encoder_act_fn");
  expect_refused({{"decoder_up_block_types", {"UpDecoderBlock2D"}}}, "UpDecoderBlock2D");
  expect_refused({{"decoder_layers_per_block", {1, 1}}}, "one length");
  expect_refused({{"decoder_in_channels", 5}}, "decoder_in_channels");
  expect_refused({{"decoder_spatial_up_sample", {true, true, false, false}}}, "another size");
}

}  // namespace
}  // namespace prax::pyramid_flow_vae_test
