// Models with LoRA files predict what the reference predicts with the same files loaded and active at once.

#include "checkpoint/lora.h"

#include "models/cogvideox/transformer.h"
#include "models/ltx/transformer.h"
#include "support/golden.h"

namespace prax::lora_test {
namespace {

using checkpoint::LoraMode;
using checkpoint::LoraSet;
using checkpoint::Weights;
using test::Golden;

std::shared_ptr<LoraSet> loras_of(const Golden& golden, LoraMode mode) {
  std::vector<checkpoint::LoraRequest> requests;
  for (const auto& lora : golden.json["inputs"]["loras"])
    requests.push_back({golden.path / lora["file"].get<std::string>(), lora["weight"].get<double>()});
  return LoraSet::open(requests, mode);
}

Tensor item(const Tensor& batch, int64_t b) {
  const Shape& shape = batch.shape();
  return batch.slice(b, b + 1).view(Shape(shape.begin() + 1, shape.end()));
}

template <typename Transformer>
Transformer load(const Golden& golden, DType dtype, const std::shared_ptr<LoraSet>& loras) {
  const auto folder = golden.checkpoint();
  return Transformer(folder.config("transformer"), Weights(folder.weights("transformer"), "", loras), dtype);
}

Tensor predict(const models::cogvideox::Transformer& transformer, const Golden& golden, const std::string& call,
               int64_t b) {
  const Tensor latents = golden[call + ".in.hidden_states"], text = golden[call + ".in.encoder_hidden_states"];
  const float timestep = golden[call + ".in.timestep"].to(DType::f32).data<float>()[b];
  return transformer(item(latents, b), item(text, b), timestep, {},
                     transformer.rotary(latents.dim(1), latents.dim(3), latents.dim(4)));
}

Tensor predict(const models::ltx::Transformer& transformer, const Golden& golden, const std::string& call, int64_t b) {
  // The geometry of ltx_090: 32 pixels and 8 frames a latent.
  const auto& arguments = golden.json["arguments"];
  const float scale[3] = {static_cast<float>(8 / arguments["frame_rate"].get<double>()), 32, 32};
  const auto rotary =
      transformer.rotary((arguments["num_frames"].get<int64_t>() - 1) / 8 + 1, arguments["height"].get<int64_t>() / 32,
                         arguments["width"].get<int64_t>() / 32, scale);
  const Tensor mask = item(golden[call + ".in.encoder_attention_mask"], b);
  const float timestep = golden[call + ".in.timestep"].data<float>()[b];
  return transformer(item(golden[call + ".in.hidden_states"], b), item(golden[call + ".in.encoder_hidden_states"], b),
                     mask.span<int64_t>(), std::span(&timestep, 1), rotary);
}

template <typename Transformer>
void expect_the_reference(const std::string& name) {
  const Golden golden(name);
  test::on_every_isa([&] {
    for (const LoraMode mode : {LoraMode::automatic, LoraMode::fused, LoraMode::on_the_fly})
      for (const DType dtype : {DType::f32, DType::bf16}) {
        const auto loras = loras_of(golden, mode);
        const auto transformer = load<Transformer>(golden, dtype, loras);
        loras->require_all_used();
        for (const char* call : {"transformer.0", "transformer.1"}) {
          const Tensor want = golden[std::string(call) + ".out"];
          for (int64_t b = 0; b < want.dim(0); ++b) {
            const Tensor got = predict(transformer, golden, call, b);
            if (dtype == DType::f32) {
              EXPECT_LT(test::relative_error(got, item(want, b)), 1e-5);
            } else {
              EXPECT_GT(test::cosine(got, item(want, b)), 0.9995);
            }
          }
        }
      }
  });
  // The files matter: the same prediction without them is far away.
  const auto plain = load<Transformer>(golden, DType::f32, nullptr);
  const Tensor without = predict(plain, golden, "transformer.0", 0);
  EXPECT_GT(test::relative_error(without, item(golden["transformer.0.out"], 0)), 0.01);
}

TEST(Lora, LtxPredictsWhatTheReferencePredicts) { expect_the_reference<models::ltx::Transformer>("ltx_lora"); }

TEST(Lora, CogVideoXPredictsWhatTheReferencePredicts) {
  expect_the_reference<models::cogvideox::Transformer>("cogvideox_lora");
}

TEST(Lora, OfAnotherFamilyIsRefused) {
  const Golden ltx("ltx_lora"), cogvideox("cogvideox_lora");
  const auto loras = loras_of(ltx, LoraMode::automatic);
  try {
    load<models::cogvideox::Transformer>(cogvideox, DType::f32, loras);
    loras->require_all_used();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(error.what()).find("attn2"), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("'transformer_blocks.0.attn1."), std::string::npos) << error.hint();
  }
}

}  // namespace
}  // namespace prax::lora_test
