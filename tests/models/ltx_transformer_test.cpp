#include "models/ltx/transformer.h"

#include "support/golden.h"
#include "tensor/parallel.h"

namespace prax::ltx_transformer_test {
namespace {

using models::ltx::Transformer;
using test::Golden;

struct Geometry {
  int64_t frames, height, width;
  float scale[3];
};

Geometry geometry_of(const Golden& golden) {
  const auto& a = golden.json["arguments"];
  const checkpoint::Config vae = golden.checkpoint().config("vae");
  int64_t halvings = 0;
  for (bool scaled : vae.get<std::vector<bool>>("spatio_temporal_scaling", {})) halvings += scaled;
  const int64_t spatial = vae.get<int64_t>("spatial_compression_ratio", vae.get<int64_t>("patch_size", 4) << halvings);
  const int64_t temporal = vae.get<int64_t>("temporal_compression_ratio", 1 << halvings);
  return {(a["num_frames"].get<int64_t>() - 1) / temporal + 1,
          a["height"].get<int64_t>() / spatial,
          a["width"].get<int64_t>() / spatial,
          {static_cast<float>(static_cast<double>(temporal) / a["frame_rate"].get<double>()),
           static_cast<float>(spatial), static_cast<float>(spatial)}};
}

Tensor run(const Golden& golden, const Transformer& transformer, const std::string& call) {
  const Geometry g = geometry_of(golden);
  const auto rotary = transformer.rotary(g.frames, g.height, g.width, g.scale);
  const Tensor hidden = golden[call + ".in.hidden_states"], text = golden[call + ".in.encoder_hidden_states"];
  const Tensor mask = golden[call + ".in.encoder_attention_mask"], timestep = golden[call + ".in.timestep"];
  std::vector<Tensor> out;
  for (int64_t b = 0; b < hidden.dim(0); ++b) {
    const Tensor m = mask.slice(b, b + 1), t = timestep.slice(b, b + 1);
    out.push_back(transformer(hidden.slice(b, b + 1).view({hidden.dim(1), hidden.dim(2)}),
                              text.slice(b, b + 1).view({text.dim(1), text.dim(2)}), m.span<int64_t>(), t.span<float>(),
                              rotary));
  }
  return Tensor::concat(out, 0);
}

class TransformerGolden : public testing::TestWithParam<const char*> {};

TEST_P(TransformerGolden, PredictsWhatTheReferencePredicts) {
  const Golden golden(GetParam());
  const auto folder = golden.checkpoint();
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Transformer transformer(folder.config("transformer"), checkpoint::Weights(folder.weights("transformer")),
                                    dtype);
      for (const char* call : {"transformer.0", "transformer.1"}) {
        const Tensor want = golden[std::string(call) + ".out"], got = run(golden, transformer, call);
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-4);
        } else {
          EXPECT_GT(test::cosine(got, want), 0.9995);
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, TransformerGolden,
                         testing::Values("ltx_090_t2v", "ltx_091_t2v", "ltx_095_t2v", "nano_t2v"));

TEST(LtxTransformer, TakesOneTimestepAToken) {
  const Golden golden("ltx_090_t2v");
  const auto folder = golden.checkpoint();
  const Transformer transformer(folder.config("transformer"), checkpoint::Weights(folder.weights("transformer")),
                                DType::f32);
  const Geometry g = geometry_of(golden);
  const auto rotary = transformer.rotary(g.frames, g.height, g.width, g.scale);
  const Tensor hidden = golden["transformer.0.in.hidden_states"].slice(0, 1),
               text = golden["transformer.0.in.encoder_hidden_states"].slice(0, 1);
  const Tensor mask = golden["transformer.0.in.encoder_attention_mask"].slice(0, 1);
  const float one = *golden["transformer.0.in.timestep"].data<float>();
  const std::vector<float> each(static_cast<size_t>(hidden.dim(1)), one);
  const auto predict = [&](std::span<const float> t) {
    return transformer(hidden.view({hidden.dim(1), hidden.dim(2)}), text.view({text.dim(1), text.dim(2)}),
                       mask.span<int64_t>(), t, rotary);
  };
  EXPECT_LT(test::relative_error(predict(each), predict(std::span(&one, 1))), 1e-6);
}

TEST(LtxTransformer, DoesNotDependOnTheNumberOfThreads) {
  const Golden golden("nano_t2v");
  const auto folder = golden.checkpoint();
  const Transformer transformer(folder.config("transformer"), checkpoint::Weights(folder.weights("transformer")),
                                DType::bf16);
  const int before = thread_count();
  set_thread_count(1);
  const Tensor one = run(golden, transformer, "transformer.0");
  set_thread_count(3);
  const Tensor three = run(golden, transformer, "transformer.0");
  set_thread_count(before);
  EXPECT_TRUE(std::equal(one.span<float>().begin(), one.span<float>().end(), three.span<float>().begin()));
}

}  // namespace
}  // namespace prax::ltx_transformer_test
