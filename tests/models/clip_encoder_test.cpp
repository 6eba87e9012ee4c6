#include "models/text/clip_encoder.h"

#include "pyramid_flow.h"

namespace prax::clip_encoder_test {
namespace {

using checkpoint::Config;
using models::ClipConfig;
using models::ClipEncoder;
using test::PyramidFlowGolden;

std::vector<std::vector<int64_t>> rows_of(const Tensor& ids) {
  std::vector<std::vector<int64_t>> rows;
  for (int64_t b = 0; b < ids.dim(0); ++b) {
    const Tensor row = ids.slice(b, b + 1);
    rows.emplace_back(row.span<int64_t>().begin(), row.span<int64_t>().end());
  }
  return rows;
}

ClipEncoder load(const std::filesystem::path& folder, DType dtype) {
  const auto config = test::config_of(folder);
  return ClipEncoder(config, test::weights_of(folder, "model.safetensors"), dtype,
                     config.class_name() == "CLIPTextModelWithProjection");
}

struct Case {
  const char *golden, *checkpoint, *component, *name;
};

class ClipGolden : public testing::TestWithParam<Case> {};

TEST_P(ClipGolden, GivesTheReferencesStates) {
  const Case c = GetParam();
  const PyramidFlowGolden golden(c.golden);
  const std::string name = c.name;
  const auto folder = test::pyramid_flow_cases() / c.checkpoint / c.component;
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const ClipEncoder encoder = load(folder, dtype);
      const auto out = encoder(rows_of(golden[name + ".ids"]));
      const auto expect = [&](const std::string& what, const Tensor& got) {
        if (!golden.has(name + what)) return;
        const Tensor want = golden[name + what];
        ASSERT_EQ(got.shape(), want.shape()) << what;
        if (dtype == DType::f32) {
          EXPECT_LT(test::relative_error(got, want), 1e-5) << what;
        } else {
          EXPECT_GT(test::cosine(got, want), 0.9995) << what;
        }
      };
      expect(".last_hidden_state", out.hidden);
      expect(".pooler_output", out.pooled);
      expect(".text_embeds", out.text_embeds);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, ClipGolden,
                         testing::Values(Case{"flux_text", "checkpoint_flux", "text_encoder", "clip_l"},
                                         Case{"mmdit_text", "checkpoint_mmdit", "text_encoder", "clip_l"},
                                         Case{"mmdit_text", "checkpoint_mmdit", "text_encoder_2", "clip_g"}));

TEST(ClipEncoder, NeedsNothingBehindTheEnd) {
  const PyramidFlowGolden golden("flux_text");
  const ClipEncoder encoder = load(test::pyramid_flow_cases() / "checkpoint_flux" / "text_encoder", DType::f32);
  auto ids = rows_of(golden["clip_l.ids"].slice(0, 1));
  const Tensor whole = encoder(ids).pooled;
  const auto end = std::max_element(ids[0].begin(), ids[0].end());
  ids[0].erase(end + 1, ids[0].end());
  EXPECT_LT(test::relative_error(encoder(ids).pooled, whole), 1e-6);
}

TEST(ClipEncoder, RefusesTokensThatItDoesNotKnow) {
  const ClipEncoder encoder = load(test::pyramid_flow_cases() / "checkpoint_flux" / "text_encoder", DType::f32);
  EXPECT_THROW(encoder({{0, 100000}}), Error);
  EXPECT_THROW(encoder({{-1}}), Error);
  EXPECT_THROW(encoder({std::vector<int64_t>(78, 0)}), Error);
  EXPECT_THROW(encoder({{0, 1}, {0}}), Error);
}

TEST(ClipEncoder, RefusesConfigsWithoutSense) {
  for (const auto& change :
       {nlohmann::json{{"hidden_act", "relu6"}}, {{"num_attention_heads", 7}}, {{"hidden_size", 0}}})
    EXPECT_THROW(ClipConfig::from(Config(change, "config.json")), Error) << change;
}

}  // namespace
}  // namespace prax::clip_encoder_test
