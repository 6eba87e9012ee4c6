#include "models/cogvideox/transformer.h"

#include "support/errors.h"
#include "support/golden.h"
#include "tensor/parallel.h"

namespace prax::cogvideox_transformer_test {
namespace {

using models::cogvideox::Rotary;
using models::cogvideox::Transformer;
using models::cogvideox::TransformerConfig;
using test::Golden;

Tensor item(const Tensor& batch, int64_t b) {
  const Shape& shape = batch.shape();
  return batch.slice(b, b + 1).view(Shape(shape.begin() + 1, shape.end()));
}

Transformer load(const Golden& golden, DType dtype) {
  const auto folder = golden.checkpoint();
  return Transformer(folder.config("transformer"), checkpoint::Weights(folder.weights("transformer")), dtype);
}

Rotary rotary_of(const Transformer& transformer, const Tensor& latents) {
  return transformer.rotary(latents.dim(1), latents.dim(3), latents.dim(4));
}

Tensor run(const Golden& golden, const Transformer& transformer, const std::string& call) {
  const Tensor latents = golden[call + ".in.hidden_states"], text = golden[call + ".in.encoder_hidden_states"];
  const Tensor timestep = golden[call + ".in.timestep"].to(DType::f32);
  std::optional<float> ofs;
  if (golden.has(call + ".in.ofs")) ofs = *golden[call + ".in.ofs"].data<float>();
  std::vector<Tensor> out;
  for (int64_t b = 0; b < latents.dim(0); ++b)
    out.push_back(
        transformer(item(latents, b), item(text, b), timestep.data<float>()[b], ofs, rotary_of(transformer, latents)));
  return Tensor::concat(out, 0);
}

class CogVideoXTransformerGolden : public testing::TestWithParam<const char*> {};

TEST_P(CogVideoXTransformerGolden, PredictsWhatTheReferencePredicts) {
  const Golden golden(GetParam());
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Transformer transformer = load(golden, dtype);
      for (const char* call : {"transformer.0", "transformer.1"}) {
        const Tensor want = golden[std::string(call) + ".out"], got = run(golden, transformer, call);
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-5);
        } else {
          EXPECT_GT(test::cosine(got, want), 0.9995);
        }
      }
    }
  });
}

TEST_P(CogVideoXTransformerGolden, TurnsByTheReferencesAngles) {
  const Golden golden(GetParam());
  const Rotary got = rotary_of(load(golden, DType::f32), golden["transformer.0.in.hidden_states"]);
  ASSERT_EQ(got.defined(), golden.has("transformer.0.in.image_rotary_emb.0"));
  if (!got.defined()) return;
  EXPECT_LT(test::relative_error(got.cos, golden["transformer.0.in.image_rotary_emb.0"]), 1e-6);
  EXPECT_LT(test::relative_error(got.sin, golden["transformer.0.in.image_rotary_emb.1"]), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Cases, CogVideoXTransformerGolden,
                         testing::Values("cogvideox_2b_t2v", "cogvideox_5b_t2v", "cogvideox_5b_i2v", "cogvideox_5b_v2v",
                                         "cogvideox_15_t2v", "cogvideox_15_i2v"));

TEST(CogVideoXTransformer, DoesNotDependOnTheNumberOfThreads) {
  const Golden golden("cogvideox_5b_t2v");
  const Transformer transformer = load(golden, DType::bf16);
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = run(golden, transformer, "transformer.0");
  set_thread_count(3);
  const Tensor three = run(golden, transformer, "transformer.0");
  set_thread_count(before);
  EXPECT_TRUE(std::equal(one.span<float>().begin(), one.span<float>().end(), three.span<float>().begin()));
}

TEST(CogVideoXTransformer, GivesTheSameAfterItsPackedWeightsWereReleased) {
  const Golden golden("cogvideox_15_i2v");
  Transformer transformer = load(golden, DType::f32);
  const Tensor before = run(golden, transformer, "transformer.1");
  transformer.release();
  EXPECT_EQ(test::relative_error(run(golden, transformer, "transformer.1"), before), 0);
}

TEST(CogVideoXTransformer, RefusesClipsThatItHasNoPositionsFor) {
  const auto predict = [](const char* name, const Shape& latents, int64_t text_tokens) {
    const Transformer transformer = load(Golden(name), DType::f32);
    const Rotary rotary = transformer.rotary(latents[0], latents[2], latents[3]);
    transformer(Tensor::zeros(latents), Tensor::zeros({text_tokens, 32}), 999, {}, rotary);
  };
  const auto of = [&](const char* name, const Shape& latents, int64_t text_tokens = 20) {
    return test::error_of(ErrorKind::usage, [&] { predict(name, latents, text_tokens); });
  };
  EXPECT_TRUE(test::contains(of("cogvideox_2b_t2v", {3, 4, 6, 9}), "9x6 latents cannot be cut into patches of 2x2"));
  EXPECT_TRUE(test::contains(of("cogvideox_2b_t2v", {3, 4, 6, 10}, 19), "positions for 20 text tokens, not 19"));
  EXPECT_TRUE(
      test::contains(of("cogvideox_5b_i2v", {3, 8, 8, 10}), "learned the positions of pictures of 10x6 latents"));
  EXPECT_TRUE(test::contains(of("cogvideox_15_t2v", {3, 4, 6, 10}), "3 latent frames cannot be cut into patches of 2"));
  EXPECT_TRUE(test::contains(of("cogvideox_15_t2v", {4, 4, 12, 10}), "pictures of up to 10x10 latents, not for 10x12"));
  // Sizes and lengths that training did not see are fine for the others.
  EXPECT_NO_THROW(predict("cogvideox_2b_t2v", {5, 4, 8, 4}, 20));
  EXPECT_NO_THROW(predict("cogvideox_5b_t2v", {2, 4, 8, 12}, 7));
  EXPECT_NO_THROW(predict("cogvideox_5b_i2v", {4, 8, 6, 10}, 20));
}

TEST(CogVideoXTransformer, RefusesConfigsThatItCannotFollow) {
  const auto of = [](const nlohmann::json& config) {
    return test::error_of(ErrorKind::checkpoint,
                          [&] { TransformerConfig::from(checkpoint::Config(config, "config.json")); });
  };
  EXPECT_TRUE(test::contains(of({{"activation_fn", "geglu"}}), "activation_fn \"geglu\""));
  EXPECT_TRUE(test::contains(of({{"timestep_activation_fn", "snake"}}), "timestep_activation_fn \"snake\""));
  EXPECT_TRUE(test::contains(of({{"num_attention_heads", 0}}), "num_attention_heads is 0"));
  EXPECT_TRUE(test::contains(of({{"attention_head_dim", int64_t{1} << 40}}), "attention_head_dim"));
  EXPECT_TRUE(test::contains(of({{"patch_size", 4096}}), "size"));
  EXPECT_TRUE(test::contains(of({{"spatial_interpolation_scale", 0}}), "size"));
  EXPECT_TRUE(test::contains(of({{"use_learned_positional_embeddings", true}}), "without use_rotary"));
  EXPECT_TRUE(test::contains(of({{"ofs_embed_dim", 128}}), "ofs_embed_dim is 128"));
  EXPECT_TRUE(test::contains(of({{"attention_head_dim", 20}, {"use_rotary_positional_embeddings", true}}), "20"));
  EXPECT_TRUE(test::contains(of({{"patch_size_t", 2}}), "patch_size_t is 2"));
  EXPECT_TRUE(test::contains(of({{"num_layers", "thirty"}}), "num_layers"));
}

}  // namespace
}  // namespace prax::cogvideox_transformer_test
