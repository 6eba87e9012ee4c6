#include "pipelines/pyramid_flow/prompts.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/t5.h"

namespace prax::pipelines::pyramid_flow {

namespace {

constexpr int64_t t5_length = 128;
//! Buffers that releases of these encoders may carry.
const std::vector<std::string> ignored_clip_tensors{"text_model.embeddings.position_ids", "text_projection.weight"};
const std::vector<std::string> ignored_t5_tensors{"encoder.embed_tokens.weight"};

std::string numbered(const char* name, size_t index) {
  return index == 0 ? std::string(name) : std::string(name) + "_" + std::to_string(index + 1);
}

}  // namespace

int64_t Prompt::tokens() const { return std::count(mask.begin(), mask.end(), 1); }

TextEncoders::TextEncoders(const checkpoint::Folder& folder, const LoadOptions& options, Design design)
    : folder_(folder),
      options_(options),
      design_(design),
      cache_(folder, options),
      t5_name_(numbered("text_encoder", design == Design::flux ? 1 : 2)),
      t5_config_(models::T5Config::from(folder.config(t5_name_))) {
  const size_t clips = design == Design::flux ? 1 : 2;
  for (size_t i = 0; i < clips; ++i) {
    const std::string name = numbered("text_encoder", i);
    clips_.push_back({name, text::ClipTokenizer::load(folder.component_path(numbered("tokenizer", i))),
                      models::ClipConfig::from(folder.config(name)), nullptr});
    if (!cache_.on()) open(clips_.back());
  }
  t5_tokenizer_ =
      std::make_unique<text::T5Tokenizer>(text::T5Tokenizer::load(folder.component_path(numbered("tokenizer", clips))));
  if (!cache_.on()) open_t5();
}

models::ClipEncoder& TextEncoders::open(Clip& clip) const {
  if (!clip.encoder) {
    const auto weights = folder_.weights(clip.name, options_.variant);
    clip.encoder = std::make_unique<models::ClipEncoder>(folder_.config(clip.name), checkpoint::Weights(weights),
                                                         wide_dtype(options_.dtype), design_ == Design::mmdit);
    checkpoint::require_all_used(*weights, ignored_clip_tensors);
  }
  return *clip.encoder;
}

models::T5Encoder& TextEncoders::open_t5() {
  if (!t5_) t5_ = pipelines::open_t5(folder_, t5_name_, options_, ignored_t5_tensors);
  return *t5_;
}

int64_t TextEncoders::pooled_channels() const {
  int64_t channels = 0;
  for (const Clip& clip : clips_)
    channels += design_ == Design::flux ? clip.config.hidden_size : clip.config.projection_dim;
  return channels;
}

std::vector<Prompt> TextEncoders::encode(const std::vector<std::string>& texts, const std::vector<std::string>& names,
                                         const Monitor& monitor) {
  int64_t layers = t5_config_.num_layers, done_before = 0;
  for (const Clip& clip : clips_) layers += clip.config.num_hidden_layers;
  const auto on_layer = [&](int64_t done, int64_t) {
    monitor.check();
    monitor.report("text", done_before + done, layers);
  };
  std::vector<Prompt> prompts(texts.size());
  std::vector<std::vector<Tensor>> pooled(texts.size());
  // The second encoder's texts are cut at the first tokenizer's length, too.
  const int64_t clip_length =
      std::min(clips_[0].tokenizer.model_max_length(), clips_[0].config.max_position_embeddings);
  const auto probe = [&](size_t text, const char* part, const Tensor& states) {
    const auto row = static_cast<int64_t>(text);
    if (monitor.probe && states.defined()) monitor.probe(names[text] + part, states.slice(row, row + 1));
  };
  const auto probe_ids = [&](size_t text, const char* part, const std::vector<int64_t>& ids) {
    if (monitor.probe)
      monitor.probe(names[text] + part, Tensor::from<int64_t>({1, static_cast<int64_t>(ids.size())}, ids));
  };
  for (size_t c = 0; c < clips_.size(); ++c) {
    Clip& clip = clips_[c];
    std::vector<std::vector<int64_t>> ids;
    for (const std::string& text : texts) ids.push_back(clip.tokenizer.encode(text, clip_length).ids);
    const Tensor states = cache_.encoded(clip.name, ids, {}, [&](const auto& some, const auto&) {
      const auto out = open(clip)(some, on_layer);
      // Where the cache knew some of the texts nobody looks.
      for (size_t i = 0; some.size() == texts.size() && i < texts.size(); ++i) {
        probe_ids(i, c == 0 ? ".clip_l.ids" : ".clip_g.ids", ids[i]);
        probe(i, c == 0 ? ".clip_l.last_hidden_state" : ".clip_g.last_hidden_state", out.hidden);
        if (design_ == Design::flux) probe(i, ".clip_l.pooler_output", out.pooled);
        probe(i, c == 0 ? ".clip_l.text_embeds" : ".clip_g.text_embeds", out.text_embeds);
      }
      return design_ == Design::flux ? out.pooled : out.text_embeds;
    });
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto row = static_cast<int64_t>(i);
      pooled[i].push_back(states.slice(row, row + 1).view({states.dim(1)}));
    }
    done_before += clip.config.num_hidden_layers;
  }

  std::vector<std::vector<int64_t>> ids, masks;
  for (const std::string& text : texts) {
    const auto encoding = t5_tokenizer_->encode(text, t5_length);
    if (encoding.truncated > 0)
      log_warning("a prompt is too long: its last " + std::to_string(encoding.truncated) +
                  " tokens are cut (the model "
                  "reads " +
                  std::to_string(t5_length) + ")");
    ids.push_back(encoding.ids);
    masks.push_back(encoding.mask);
  }
  const Tensor states = cache_.encoded(
      t5_name_, ids, masks, [&](const auto& some, const auto& masked) { return open_t5()(some, masked, on_layer); });
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    prompts[i] = {states.slice(row, row + 1).view({t5_length, states.dim(2)}), masks[i], Tensor::concat(pooled[i], 0)};
    if (!monitor.probe) continue;
    probe_ids(i, ".t5.ids", ids[i]);
    probe(i, ".embeds", states);
    monitor.probe(names[i] + ".mask", Tensor::from<int64_t>({1, t5_length}, masks[i]));
    monitor.probe(names[i] + ".pooled", prompts[i].pooled.view({1, prompts[i].pooled.dim(0)}));
  }
  return prompts;
}

}  // namespace prax::pipelines::pyramid_flow
