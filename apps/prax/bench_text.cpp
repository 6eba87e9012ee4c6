#include <fmt/format.h>

#include "base/error.h"
#include "bench_family.h"

namespace prax::app {

namespace {

using checkpoint::Config;

constexpr int64_t usual_tokens = 128;
constexpr int64_t stride = 7919;  // a prime: ids from all over the vocabulary
constexpr const char* projected_class = "CLIPTextModelWithProjection";

void complete_t5(const Config&, BenchOptions& o) {
  if (o.text_tokens == 0) o.text_tokens = usual_tokens;
}

void complete_clip_text(const Config& config, BenchOptions& o) {
  if (o.text_tokens == 0) o.text_tokens = models::ClipConfig::from(config).max_position_embeddings;
}

Subject encoder_subject(int64_t tokens, int64_t layers, int64_t all_layers) {
  Subject s;
  s.what = fmt::format("one prompt of {} tokens, weights streamed from the file", tokens);
  s.text_tokens = tokens;
  s.measured = layers;
  s.all = all_layers;
  return s;
}

std::vector<std::vector<int64_t>> some_text(int64_t tokens, int64_t vocabulary) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < tokens; ++i) ids.push_back(i * stride % vocabulary);
  return {ids};
}

Subject t5(const Manifest& m, const BenchOptions& o) {
  const auto whole = models::T5Config::from(m.config);
  const int64_t layers = layers_to_measure(m, o, whole.num_layers);
  const Config config = with(m.config, "num_layers", layers);
  Subject s = encoder_subject(o.text_tokens, layers, whole.num_layers);
  s.whole = operations(whole, o.text_tokens);
  s.part = operations(models::T5Config::from(config), o.text_tokens);
  s.build = [=, dtype = o.dtype, tokens = o.text_tokens]() -> Feed {
    const auto network = std::make_shared<const models::T5Encoder>(config, random_weights(), dtype);
    return [=](bool) -> Pass {
      return [=](const std::function<void()>& on_layer) {
        return (*network)(some_text(tokens, whole.vocab_size), [&](int64_t, int64_t) { on_layer(); });
      };
    };
  };
  return s;
}

Subject clip(const Manifest& m, const BenchOptions& o) {
  const auto whole = models::ClipConfig::from(m.config);
  if (o.text_tokens > whole.max_position_embeddings)
    throw Error(ErrorKind::usage, fmt::format("{} reads no text of {} tokens", m.name, o.text_tokens),
                fmt::format("use at most {} --tokens", whole.max_position_embeddings));
  const bool projected = m.class_name == projected_class;
  const int64_t layers = layers_to_measure(m, o, whole.num_hidden_layers);
  const Config config = with(m.config, "num_hidden_layers", layers);
  Subject s = encoder_subject(o.text_tokens, layers, whole.num_hidden_layers);
  s.whole = operations(whole, projected, o.text_tokens);
  s.part = operations(models::ClipConfig::from(config), projected, o.text_tokens);
  s.build = [=, dtype = o.dtype, tokens = o.text_tokens]() -> Feed {
    const auto network = std::make_shared<const models::ClipEncoder>(config, random_weights(), dtype, projected);
    return [=](bool) -> Pass {
      return [=](const std::function<void()>& on_layer) {
        std::vector<std::vector<int64_t>> text = some_text(tokens, whole.vocab_size);
        text[0].back() = whole.eos_token_id;
        return (*network)(text, [&](int64_t, int64_t) { on_layer(); }).hidden;
      };
    };
  };
  return s;
}

}  // namespace

Family text_family() {
  return {{{"T5EncoderModel", "text_encoder", complete_t5, t5},
           {"CLIPTextModel", "text_encoder", complete_clip_text, clip},
           {projected_class, "text_encoder", complete_clip_text, clip}}};
}

}  // namespace prax::app
