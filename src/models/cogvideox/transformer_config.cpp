#include "models/cogvideox/transformer_config.h"

#include <utility>

#include "base/error.h"
#include "nn/activation.h"

namespace prax::models::cogvideox {

namespace {

//! The head's channels are cut into quarters and eighths, and those into pairs; so are the token's.
constexpr int64_t position_multiple = 16;
//! No size of a real model comes near; products of three fit into 64 bits.
constexpr int64_t most = int64_t{1} << 20, most_patch = 256;

void require_multiple(const checkpoint::Config& config, const std::string& what, int64_t value) {
  if (value % position_multiple != 0)
    config.refuse(what + " is " + std::to_string(value) + ", which positions in three dimensions cannot be cut into",
                  "it must be a multiple of " + std::to_string(position_multiple));
}

}  // namespace

TransformerConfig TransformerConfig::from(const checkpoint::Config& config) {
  TransformerConfig c{};
  c.num_attention_heads = config.get<int64_t>("num_attention_heads", 30);
  c.attention_head_dim = config.get<int64_t>("attention_head_dim", 64);
  c.num_layers = config.get<int64_t>("num_layers", 30);
  c.in_channels = config.get<int64_t>("in_channels", 16);
  c.out_channels = config.get<int64_t>("out_channels", 16);
  c.text_embed_dim = config.get<int64_t>("text_embed_dim", 4096);
  c.time_embed_dim = config.get<int64_t>("time_embed_dim", 512);
  c.ofs_embed_dim = config.get<int64_t>("ofs_embed_dim", 0);
  c.flip_sin_to_cos = config.get<bool>("flip_sin_to_cos", true);
  c.freq_shift = config.get<float>("freq_shift", 0.0f);
  c.patch_size = config.get<int64_t>("patch_size", 2);
  c.patch_size_t = config.get<int64_t>("patch_size_t", 0);
  c.patch_bias = config.get<bool>("patch_bias", true);
  c.sample_width = config.get<int64_t>("sample_width", 90);
  c.sample_height = config.get<int64_t>("sample_height", 60);
  c.sample_frames = config.get<int64_t>("sample_frames", 49);
  c.temporal_compression_ratio = config.get<int64_t>("temporal_compression_ratio", 4);
  c.max_text_seq_length = config.get<int64_t>("max_text_seq_length", 226);
  c.spatial_interpolation_scale = config.get<float>("spatial_interpolation_scale", 1.875f);
  c.temporal_interpolation_scale = config.get<float>("temporal_interpolation_scale", 1.0f);
  c.use_rotary_positional_embeddings = config.get<bool>("use_rotary_positional_embeddings", false);
  c.use_learned_positional_embeddings = config.get<bool>("use_learned_positional_embeddings", false);
  c.attention_bias = config.get<bool>("attention_bias", true);
  c.norm_elementwise_affine = config.get<bool>("norm_elementwise_affine", true);
  c.norm_eps = config.get<float>("norm_eps", 1e-5f);

  for (const auto& [name, value] : {std::pair{"num_attention_heads", c.num_attention_heads},
                                    {"attention_head_dim", c.attention_head_dim},
                                    {"in_channels", c.in_channels},
                                    {"out_channels", c.out_channels},
                                    {"text_embed_dim", c.text_embed_dim},
                                    {"time_embed_dim", c.time_embed_dim},
                                    {"patch_size", c.patch_size},
                                    {"sample_width", c.sample_width},
                                    {"sample_height", c.sample_height},
                                    {"sample_frames", c.sample_frames},
                                    {"temporal_compression_ratio", c.temporal_compression_ratio}})
    if (value < 1 || value > most)
      config.refuse(std::string(name) + " is " + std::to_string(value),
                    "it must be between 1 and " + std::to_string(most));
  if (c.num_layers < 0 || c.num_layers > most || c.ofs_embed_dim < 0 || c.patch_size_t < 0 ||
      c.patch_size_t > most_patch || c.patch_size > most_patch || c.max_text_seq_length < 0 ||
      c.max_text_seq_length > most || !(c.spatial_interpolation_scale > 0) || !(c.temporal_interpolation_scale > 0))
    config.refuse("a size is not one that a transformer can have", "download config.json again");
  if (c.ofs_embed_dim != 0 && c.ofs_embed_dim != c.time_embed_dim)
    config.refuse("ofs_embed_dim is " + std::to_string(c.ofs_embed_dim) + ", but it is added to a time embedding of " +
                      std::to_string(c.time_embed_dim),
                  "both must be equal");
  if (c.use_learned_positional_embeddings && !c.use_rotary_positional_embeddings)
    config.refuse("use_learned_positional_embeddings is true without use_rotary_positional_embeddings",
                  "published CogVideoX transformers that learned their positions have rotary ones too");
  if (c.use_rotary_positional_embeddings) require_multiple(config, "attention_head_dim", c.attention_head_dim);
  if (c.adds_positions()) {
    require_multiple(config, "num_attention_heads x attention_head_dim", c.inner_dim());
    if (c.frames_of_patch() != 1)
      config.refuse("patch_size_t is " + std::to_string(c.patch_size_t) + " with positions of single latent frames",
                    "transformers that pack frames have use_rotary_positional_embeddings alone");
  }

  c.activation = nn::read_activation(config, "activation_fn", "gelu-approximate",
                                     "published CogVideoX transformers have \"gelu-approximate\"");
  c.timestep_activation =
      nn::read_activation(config, "timestep_activation_fn", "silu", "published CogVideoX transformers have \"silu\"");
  return c;
}

}  // namespace prax::models::cogvideox
