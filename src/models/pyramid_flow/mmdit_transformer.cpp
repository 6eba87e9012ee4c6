#include "models/pyramid_flow/mmdit_transformer.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::models::pyramid_flow {

namespace {

HeadNorm head_norm_from(const checkpoint::Config& config) {
  const auto it = config.values().find("qk_norm");
  if (it != config.values().end() && it->is_null()) return HeadNorm::none;
  const auto name = config.get<std::string>("qk_norm", "rms_norm");
  if (name == "rms_norm") return HeadNorm::rms;
  if (name == "layer_norm") return HeadNorm::layer;
  config.refuse("qk_norm \"" + name + "\" is not known", "it is \"rms_norm\", \"layer_norm\" or null");
}

TransformerSizes mmdit_sizes_from(const checkpoint::Config& config, DType dtype) {
  TransformerSizes s;
  s.block = {positive(config, "num_attention_heads", 24), positive(config, "attention_head_dim", 64),
             head_norm_from(config), 1e-5f, dtype};
  s.latent_channels = positive(config, "in_channels", 16);
  s.patch_size = positive(config, "patch_size", 2);
  s.text_channels = positive(config, "joint_attention_dim", 4096);
  s.pooled_channels = positive(config, "pooled_projection_dim", 2048);
  s.joint_blocks = config.get<int64_t>("num_layers", 24);
  const auto caption = config.get<int64_t>("caption_projection_dim", 1152);
  if (caption != s.block.dim())
    config.refuse("caption_projection_dim is " + std::to_string(caption) + ", but the tokens have " +
                      std::to_string(s.block.dim()) + " channels",
                  "it must be num_attention_heads x attention_head_dim");
  const auto positions = config.get<std::string>("pos_embed_type", "rope");
  if (positions != "sincos")
    config.refuse("pos_embed_type \"" + positions + "\" cannot make videos, as its authors say",
                  "published transformers have \"sincos\"");
  if (s.block.head_dim % 2 != 0)
    config.refuse("attention_head_dim " + std::to_string(s.block.head_dim) + " cannot be turned",
                  "rotary positions need an even number");
  return s;
}

}  // namespace

// The authors' code loads every checkpoint with add_temp_pos_embed, temp_pos_embed_type "rope", interp_condition_pos
// and use_temporal_causal, whatever its config.json says.
MmditTransformer::MmditTransformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : Transformer(mmdit_sizes_from(config, dtype), weights, {"norm_add_q", "norm_add_k"}, true),
      table_size_(positive(config, "pos_embed_max_size", 192)) {
  const auto pos_embed = weights["pos_embed"];
  const int64_t p = sizes_.patch_size, dim = sizes_.block.dim();
  proj_ = nn::Linear::of_patches(pos_embed["proj"], {dim, sizes_.latent_channels, p, p}, true, dtype);
  table_ = pos_embed.tensor("pos_embed", {1, table_size_ * table_size_, dim});
  table_name_ = pos_embed.path("pos_embed");
  checkpoint::require_floating(table_, table_name_);
}

void MmditTransformer::release() {
  Transformer::release();
  proj_.release();
}

//! rows += the middle of the table, as large as the noisy clip, resized to the clip.
void MmditTransformer::add_positions(const ClipSize& clip, const ClipSize& noisy, float* rows) const {
  if (noisy.height > table_size_ || noisy.width > table_size_)
    throw Error(ErrorKind::usage,
                "a picture of " + std::to_string(noisy.width) + "x" + std::to_string(noisy.height) +
                    " tokens is larger than the model's positions",
                "choose a width and height of at most " + std::to_string(table_size_ * sizes_.patch_size) + " latents");
  const int64_t dim = sizes_.block.dim();
  const int64_t top = (table_size_ - noisy.height) / 2, left = (table_size_ - noisy.width) / 2;
  const Tensor table = table_.view({table_size_, table_size_ * dim});
  const Tensor crop = table.slice(top, top + noisy.height).to(DType::f32);
  checkpoint::require_finite(crop, table_name_);
  const auto at = [&](int64_t y, int64_t x) { return crop.data<float>() + y * table_size_ * dim + (left + x) * dim; };
  parallel_for(clip.height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const Between y = source_of(row, clip.height, noisy.height);
      for (int64_t column = 0; column < clip.width; ++column) {
        const Between x = source_of(column, clip.width, noisy.width);
        const float *a = at(y.from, x.from), *b = at(y.from, x.to), *c = at(y.to, x.from), *d = at(y.to, x.to);
        for (int64_t t = 0; t < clip.frames; ++t) {
          float* to = rows + ((t * clip.height + row) * clip.width + column) * dim;
          for (int64_t i = 0; i < dim; ++i)
            to[i] += (1 - y.weight) * ((1 - x.weight) * a[i] + x.weight * b[i]) +
                     y.weight * ((1 - x.weight) * c[i] + x.weight * d[i]);
        }
      }
    }
  });
}

void MmditTransformer::embed(std::span<const Tensor> clips, std::span<const ClipSize> sizes, const ClipSize& noisy,
                             Tensor rows) const {
  const int64_t p = sizes_.patch_size, channels = sizes_.latent_channels;
  Tensor patches = Tensor::empty({rows.dim(0), channels * p * p});
  float* to = patches.data<float>();
  for (size_t i = 0; i < clips.size(); ++i) {
    const ClipSize& clip = sizes[i];
    const int64_t height = clip.height * p, width = clip.width * p, plane = clip.frames * height * width;
    const float* from = clips[i].data<float>();
    for (int64_t token = 0; token < clip.tokens(); ++token) {
      const int64_t t = token / (clip.height * clip.width);
      const int64_t y = token / clip.width % clip.height * p, x = token % clip.width * p;
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t row = 0; row < p; ++row)
          to = std::copy_n(from + c * plane + (t * height + y + row) * width + x, p, to);
    }
  }
  proj_.into(patches, rows);
  float* first = rows.data<float>();
  for (const ClipSize& clip : sizes) {
    add_positions(clip, noisy, first);
    first += clip.tokens() * sizes_.block.dim();
  }
}

Rotary MmditTransformer::rotary(const Sequence& sequence) const {
  const int64_t head_dim = sizes_.block.head_dim;
  Rotary r{Tensor::full({sequence.tokens(), head_dim}, 1.0f), Tensor::zeros({sequence.tokens(), head_dim})};
  sequence.each_position([&](int64_t token, int64_t time, float, float) {
    write_angles(static_cast<double>(time), head_dim, r.cos.data<float>() + token * head_dim,
                 r.sin.data<float>() + token * head_dim);
  });
  return r;
}

}  // namespace prax::models::pyramid_flow
