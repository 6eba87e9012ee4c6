#include "models/text/t5_encoder.h"

#include "support/golden.h"

namespace prax::t5_encoder_test {
namespace {

using models::T5Encoder;
using test::Golden;

std::vector<std::vector<int64_t>> ids_of(const Tensor& t) {
  return {std::vector<int64_t>(t.span<int64_t>().begin(), t.span<int64_t>().end())};
}

class T5Golden : public testing::TestWithParam<const char*> {};

TEST_P(T5Golden, GivesTheReferencesStates) {
  const Golden golden(GetParam());
  const auto folder = golden.checkpoint();
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto source = folder.weights("text_encoder");
      const T5Encoder encoder(folder.config("text_encoder"), checkpoint::Weights(source), dtype);
      for (const char* call : {"text_encoder.0", "text_encoder.1"}) {
        const std::string name = call;
        const Tensor want = golden[name + ".out"], got = encoder(ids_of(golden[name + ".in.0"]));
        ASSERT_EQ(got.shape(), want.shape());
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-4);
        } else {
          EXPECT_GT(test::cosine(got, want), 0.9995);
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, T5Golden, testing::Values("ltx_090_t2v", "ltx_095_t2v", "nano_t2v"));

TEST(T5Encoder, BatchesLikeSinglePrompts) {
  const Golden golden("ltx_090_t2v");
  const auto folder = golden.checkpoint();
  const T5Encoder encoder(folder.config("text_encoder"), checkpoint::Weights(folder.weights("text_encoder")),
                          DType::f32);
  const auto a = ids_of(golden["text_encoder.0.in.0"]), b = ids_of(golden["text_encoder.1.in.0"]);
  const Tensor both = encoder({a[0], b[0]});
  EXPECT_LT(test::relative_error(both.slice(0, 1), encoder(a)), 1e-6);
  EXPECT_LT(test::relative_error(both.slice(1, 2), encoder(b)), 1e-6);
}

TEST(T5Encoder, RefusesTokensThatItDoesNotKnow) {
  const Golden golden("ltx_090_t2v");
  const auto folder = golden.checkpoint();
  const T5Encoder encoder(folder.config("text_encoder"), checkpoint::Weights(folder.weights("text_encoder")),
                          DType::f32);
  EXPECT_THROW(encoder({{0, 100000}}), Error);
  EXPECT_THROW(encoder({{-1}}), Error);
}

TEST(T5Encoder, RefusesAnUnknownActivation) {
  checkpoint::Config config(nlohmann::json{{"feed_forward_proj", "gated-tanhshrink"}}, "config.json");
  EXPECT_THROW(models::T5Config::from(config), Error);
}

}  // namespace
}  // namespace prax::t5_encoder_test
