#include "models/mochi/transformer.h"

#include "support/golden.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::mochi_transformer_test {
namespace {

using models::mochi::Transformer;
using models::mochi::TransformerConfig;
using test::Golden;

//! One item of a recorded call without its batch dimension.
Tensor item(const Golden& golden, const std::string& name, int64_t index) {
  const Tensor batch = golden[name];
  const Shape& shape = batch.shape();
  return batch.slice(index, index + 1).view(Shape(shape.begin() + 1, shape.end()));
}

Tensor run(const Golden& golden, const Transformer& transformer, const std::string& call) {
  std::vector<Tensor> out;
  for (int64_t b = 0; b < golden[call + ".in.timestep"].numel(); ++b) {
    const Tensor latents = item(golden, call + ".in.hidden_states", b);
    const Tensor mask = item(golden, call + ".in.encoder_attention_mask", b);
    const float timestep = golden[call + ".in.timestep"].data<float>()[b];
    out.push_back(transformer(latents, item(golden, call + ".in.encoder_hidden_states", b), mask.span<int64_t>(),
                              timestep, transformer.rotary(latents.dim(1), latents.dim(2), latents.dim(3))));
  }
  return Tensor::concat(out, 0);
}

Transformer load(const Golden& golden, DType dtype) {
  const auto folder = golden.checkpoint();
  return {folder.config("transformer"), checkpoint::Weights(folder.weights("transformer")), dtype};
}

class MochiTransformerGolden : public testing::TestWithParam<const char*> {};

TEST_P(MochiTransformerGolden, PredictsWhatTheReferencePredicts) {
  const Golden golden(GetParam());
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Transformer transformer = load(golden, dtype);
      for (const std::string call : {"transformer.0", "transformer.1"}) {
        const Tensor want = golden[call + ".out"], got = run(golden, transformer, call);
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-5);
        } else {
          EXPECT_GT(test::cosine(got, want), 0.9995);
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, MochiTransformerGolden, testing::Values("mochi_t2v"));

struct Inputs {
  Tensor latents, text;
  std::vector<int64_t> mask;
};

Inputs inputs_of(const Golden& golden) {
  Inputs in{
      item(golden, "transformer.0.in.hidden_states", 1), item(golden, "transformer.0.in.encoder_hidden_states", 1), {}};
  in.mask.assign(static_cast<size_t>(in.text.dim(0)), 1);
  return in;
}

TEST(MochiTransformer, DoesNotSeePadding) {
  const Golden golden("mochi_t2v");
  const Transformer transformer = load(golden, DType::f32);
  Inputs in = inputs_of(golden);
  const auto rotary = transformer.rotary(in.latents.dim(1), in.latents.dim(2), in.latents.dim(3));
  const auto predict = [&] { return transformer(in.latents, in.text, in.mask, 500.0f, rotary); };
  const Tensor all = predict();
  for (size_t i = 5; i < in.mask.size(); ++i) in.mask[i] = 0;
  const Tensor some = predict();
  for (int64_t i = 5 * in.text.dim(1); i < in.text.numel(); ++i) in.text.data<float>()[i] = 1e3f;
  EXPECT_EQ(test::relative_error(predict(), some), 0);
  EXPECT_GT(test::relative_error(all, some), 1e-3);
}

TEST(MochiTransformer, TakesNoTextAtAll) {
  const Golden golden("mochi_t2v");
  const Transformer transformer = load(golden, DType::f32);
  Inputs in = inputs_of(golden);
  std::fill(in.mask.begin(), in.mask.end(), 0);
  const auto rotary = transformer.rotary(in.latents.dim(1), in.latents.dim(2), in.latents.dim(3));
  const Tensor out = transformer(in.latents, in.text, in.mask, 500.0f, rotary);
  EXPECT_LT(test::relative_error(out, out), 1e-6);  // finite
}

TEST(MochiTransformer, DoesNotDependOnTheNumberOfThreads) {
  const Golden golden("mochi_t2v");
  const Transformer transformer = load(golden, DType::bf16);
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = run(golden, transformer, "transformer.0");
  set_thread_count(3);
  const Tensor three = run(golden, transformer, "transformer.0");
  set_thread_count(before);
  EXPECT_EQ(test::relative_error(one, three), 0);
}

TEST(MochiTransformer, RefusesWhatDoesNotFit) {
  const Golden golden("mochi_t2v");
  const Transformer transformer = load(golden, DType::f32);
  Inputs in = inputs_of(golden);
  const auto rotary = transformer.rotary(in.latents.dim(1), in.latents.dim(2), in.latents.dim(3));
  EXPECT_THROW(transformer(Tensor::zeros({in.latents.dim(0), 1, 3, 4}), in.text, in.mask, 0.0f, rotary), Error);
  EXPECT_THROW(transformer(Tensor::zeros({in.latents.dim(0), 1, 4, 4}), in.text, in.mask, 0.0f, rotary), Error);
  EXPECT_THROW(transformer(Tensor::zeros({in.latents.dim(0) + 1, 1, 4, 4}), in.text, in.mask, 0.0f, rotary), Error);
  in.mask[0] = 0;
  EXPECT_THROW(transformer(in.latents, in.text, in.mask, 0.0f, rotary), Error);
  in.mask.pop_back();
  EXPECT_THROW(transformer(in.latents, in.text, in.mask, 0.0f, rotary), Error);
}

TEST(MochiTransformer, RefusesBrokenConfigs) {
  const auto parse = [](nlohmann::json values) {
    TransformerConfig::from(checkpoint::Config(std::move(values), "config.json"));
  };
  EXPECT_NO_THROW(parse(nlohmann::json::object()));
  EXPECT_NO_THROW(parse({{"activation_fn", "gelu-approximate"}}));
  EXPECT_THROW(parse({{"activation_fn", "geglu"}}), Error);
  EXPECT_THROW(parse({{"attention_head_dim", 3}}), Error);
  EXPECT_THROW(parse({{"num_attention_heads", 0}}), Error);
  EXPECT_THROW(parse({{"patch_size", -2}}), Error);
  EXPECT_THROW(parse({{"text_embed_dim", 30}}), Error);
  EXPECT_THROW(parse({{"in_channels", int64_t{1} << 40}}), Error);
}

}  // namespace
}  // namespace prax::mochi_transformer_test
