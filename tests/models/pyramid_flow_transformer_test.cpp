#include "models/pyramid_flow/transformer.h"

#include "pyramid_flow.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::pyramid_flow_transformer_test {
namespace {

using checkpoint::Config;
using models::pyramid_flow::Transformer;
using test::PyramidFlowGolden;

std::unique_ptr<Transformer> load(const PyramidFlowGolden& golden, DType dtype) {
  const auto folder = golden.component();
  return Transformer::make(test::config_of(folder), test::weights_of(folder, "diffusion_pytorch_model.safetensors"),
                           dtype);
}

//! Row b of a tensor [B, ...].
Tensor row(const Tensor& t, int64_t b) {
  const Shape& shape = t.shape();
  return t.slice(b, b + 1).view(Shape(shape.begin() + 1, shape.end()));
}

Tensor predict(const PyramidFlowGolden& golden, const Transformer& transformer, const std::string& call) {
  const Tensor text = golden[call + ".text"], mask = golden[call + ".text_mask"], pooled = golden[call + ".pooled"];
  std::vector<Tensor> out;
  for (int64_t b = 0; b < text.dim(0); ++b) {
    std::vector<Tensor> clips;
    for (int i = 0; golden.has(call + ".clip" + std::to_string(i)); ++i)
      clips.push_back(row(golden[call + ".clip" + std::to_string(i)], b));
    const Tensor row_mask = row(mask, b);
    const int64_t tokens = std::count(row_mask.span<int64_t>().begin(), row_mask.span<int64_t>().end(), 1);
    const float timestep = golden[call + ".timestep"].data<float>()[b];
    const Tensor velocity = transformer(clips, row(text, b).slice(0, tokens), row(pooled, b), timestep);
    Shape shape = velocity.shape();
    shape.insert(shape.begin(), 1);
    out.push_back(velocity.view(shape));
  }
  return Tensor::concat(out, 0);
}

class PyramidFlowTransformer : public testing::TestWithParam<const char*> {};

TEST_P(PyramidFlowTransformer, PredictsWhatTheReferencePredicts) {
  const PyramidFlowGolden golden(GetParam());
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto transformer = load(golden, dtype);
      for (const char* call : {"first", "history"}) {
        const Tensor want = golden[std::string(call) + ".output"], got = predict(golden, *transformer, call);
        ASSERT_EQ(got.shape(), want.shape());
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-5) << call;
        } else {
          EXPECT_GT(test::cosine(got, want), 0.999) << call;
        }
      }
    }
  });
}

TEST_P(PyramidFlowTransformer, DoesNotDependOnTheNumberOfThreads) {
  const PyramidFlowGolden golden(GetParam());
  const auto transformer = load(golden, DType::f32);
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = predict(golden, *transformer, "history");
  set_thread_count(3);
  const Tensor three = predict(golden, *transformer, "history");
  set_thread_count(before);
  EXPECT_TRUE(std::equal(one.span<float>().begin(), one.span<float>().end(), three.span<float>().begin()));
}

TEST_P(PyramidFlowTransformer, SeesNothingOfLaterFrames) {
  // Two noisy frames: what the first is told does not depend on the second.
  const PyramidFlowGolden golden(GetParam());
  const auto transformer = load(golden, DType::f32);
  const Tensor text = row(golden["first.text"], 0).slice(0, 3), pooled = row(golden["first.pooled"], 0);
  const Tensor frame = row(golden["first.clip0"], 0);
  Tensor other = frame.clone();
  for (float& v : other.span<float>()) v = -v;
  const std::vector<Tensor> alike{Tensor::concat({frame, frame}, 1)}, unlike{Tensor::concat({frame, other}, 1)};
  const Tensor a = (*transformer)(alike, text, pooled, 500.0f), b = (*transformer)(unlike, text, pooled, 500.0f);
  const int64_t plane = frame.dim(2) * frame.dim(3);
  double first = 0, second = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    double& sum = i / plane % 2 == 0 ? first : second;
    sum = std::max<double>(sum, std::abs(a.data<float>()[i] - b.data<float>()[i]));
  }
  EXPECT_LT(first, 1e-5);
  EXPECT_GT(second, 1e-2);
}

TEST_P(PyramidFlowTransformer, KnownKeysAndValuesAreThoseOfTheWholeSequence) {
  const PyramidFlowGolden golden(GetParam());
  const Tensor text = row(golden["first.text"], 0).slice(0, 3), pooled = row(golden["first.pooled"], 0);
  const Tensor noisy = row(golden["first.clip0"], 0);
  const int64_t channels = noisy.dim(0), height = noisy.dim(2), width = noisy.dim(3), p = 2;
  const auto clip = [&](uint64_t seed, int64_t frames) {
    return Generator(seed).randn({channels, frames, height / 2, width / 2});
  };
  const Tensor first = clip(1, 1), second = clip(2, 1), third = clip(3, 1);
  const std::vector<Tensor> shorter{first, second}, longer{Tensor::concat({first, second}, 1), third};
  const int64_t frame_tokens = height / 2 / p * (width / 2 / p);
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto transformer = load(golden, dtype);
      const auto before = transformer->prepare(shorter, noisy.shape(), text, pooled);
      const auto after = transformer->prepare(longer, noisy.shape(), text, pooled);
      models::pyramid_flow::KeyValues known;
      const Tensor kept = (*transformer)(before, noisy, 400.0f, {}, &known, before.sequence.noisy_begin());
      ASSERT_EQ(known.tokens, 3 + 2 * frame_tokens);
      EXPECT_EQ(test::relative_error(kept, (*transformer)(before, noisy, 400.0f)), 0);
      const Tensor want = (*transformer)(after, noisy, 400.0f);
      EXPECT_EQ(test::relative_error((*transformer)(after, noisy, 400.0f, {}, &known, 0), want), 0);
      const auto grown = (*transformer)(after, noisy, 400.0f, {}, &known, after.sequence.noisy_begin());
      EXPECT_EQ(test::relative_error(grown, want), 0);
      EXPECT_EQ(known.tokens, 3 + 3 * frame_tokens);
      EXPECT_EQ(test::relative_error((*transformer)(after, noisy, 400.0f, {}, &known, 0), want), 0);
      // They are read: others make a difference; and they are of this timestep alone.
      EXPECT_GT(test::relative_error((*transformer)(after, noisy, 500.0f, {}, &known, 0),
                                     (*transformer)(after, noisy, 500.0f)),
                1e-6);
      models::pyramid_flow::KeyValues broken;
      broken.tokens = 4;
      EXPECT_THROW((*transformer)(after, noisy, 400.0f, {}, &broken, 0), Error);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, PyramidFlowTransformer, testing::Values("flux_transformer", "mmdit_transformer"));

void expect_refused(const char* name, const nlohmann::json& change, const std::string& said) {
  const PyramidFlowGolden golden(name);
  nlohmann::json values = test::config_of(golden.component()).values();
  values.update(change);
  const auto weights = test::weights_of(golden.component(), "diffusion_pytorch_model.safetensors");
  try {
    Transformer::make(Config(values, "config.json"), weights, DType::f32);
    ADD_FAILURE() << change << " was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(e.what()).find(said), std::string::npos) << e.what();
    EXPECT_FALSE(e.hint().empty());
  }
}

TEST(PyramidFlowTransformerConfig, NamesWhatItCannotRun) {
  expect_refused("flux_transformer", {{"patch_size", 2}}, "patch_size");
  expect_refused("flux_transformer", {{"axes_dims_rope", {2, 4}}}, "axes_dims_rope");
  expect_refused("flux_transformer", {{"in_channels", 7}}, "in_channels");
  expect_refused("flux_transformer", {{"num_attention_heads", 0}}, "num_attention_heads");
  expect_refused("flux_transformer", {{"_class_name", "FluxTransformer2DModel"}}, "FluxTransformer2DModel");
  expect_refused("mmdit_transformer", {{"qk_norm", "l2"}}, "qk_norm");
  expect_refused("mmdit_transformer", {{"pos_embed_type", "rope"}}, "pos_embed_type");
  expect_refused("mmdit_transformer", {{"caption_projection_dim", 1}}, "caption_projection_dim");
}

TEST(PyramidFlowTransformerConfig, RefusesPicturesLargerThanItsPositions) {
  const PyramidFlowGolden golden("mmdit_transformer");
  const auto transformer = load(golden, DType::f32);
  const int64_t side = 2 * test::config_of(golden.component()).get<int64_t>("pos_embed_max_size", 0) + 2;
  const std::vector<Tensor> clips{Tensor::zeros({transformer->sizes().latent_channels, 1, 4, side})};
  const Tensor text = row(golden["first.text"], 0).slice(0, 1), pooled = row(golden["first.pooled"], 0);
  EXPECT_THROW((*transformer)(clips, text, pooled, 1.0f), Error);
}

}  // namespace
}  // namespace prax::pyramid_flow_transformer_test
