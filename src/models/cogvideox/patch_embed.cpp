#include "models/cogvideox/patch_embed.h"

#include <algorithm>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::models::cogvideox {

namespace {

//! What a picture or clip of that many latents is called in messages.
std::string latent_size(int64_t height, int64_t width) {
  return std::to_string(width) + "x" + std::to_string(height) + " latents";
}

}  // namespace

PatchEmbed::PatchEmbed(const TransformerConfig& config, const checkpoint::Weights& weights, DType dtype)
    : config_(config), dtype_(dtype) {
  const TransformerConfig& c = config_;
  const int64_t dim = c.inner_dim();
  if (c.use_learned_positional_embeddings) {
    const int64_t frames = (c.sample_frames - 1) / c.temporal_compression_ratio + 1;
    const int64_t patches = frames * (c.sample_height / c.patch_size) * (c.sample_width / c.patch_size);
    learned_positions_ = weights.tensor("pos_embedding", {1, c.max_text_seq_length + patches, dim});
    positions_name_ = weights.path("pos_embedding");
    checkpoint::require_floating(learned_positions_, positions_name_);
  }
  const auto proj = weights["proj"];
  if (c.patch_size_t > 0) {
    proj_ = nn::Linear(proj, c.patch_values(c.in_channels), dim, true, dtype);
  } else {
    weight_ = proj.tensor("weight", {dim, c.in_channels, c.patch_size, c.patch_size});
    weight_name_ = proj.path("weight");
    checkpoint::require_floating(weight_, weight_name_);
    if (c.patch_bias) bias_ = nn::load_f32(proj, "bias", {dim});
  }
  text_proj_ = nn::Linear(weights["text_proj"], c.text_embed_dim, dim, true, dtype);
}

void PatchEmbed::release() {
  text_proj_.release();
  proj_.release();
  packed_ = {};
}

Grid PatchEmbed::grid(const Tensor& latents) const {
  const int64_t frames = latents.dim(0), height = latents.dim(2), width = latents.dim(3);
  const int64_t p = config_.patch_size, pt = config_.frames_of_patch();
  if (height % p != 0 || width % p != 0)
    throw Error(ErrorKind::usage,
                "a picture of " + latent_size(height, width) + " cannot be cut into patches of " + std::to_string(p) +
                    "x" + std::to_string(p),
                "choose a width and height that are multiples of " + std::to_string(p) + " latents");
  if (frames % pt != 0)
    throw Error(
        ErrorKind::usage,
        "a clip of " + std::to_string(frames) + " latent frames cannot be cut into patches of " + std::to_string(pt),
        "the latent frames must be padded to a multiple of " + std::to_string(pt));
  return {frames / pt, height / p, width / p};
}

//! One row a token: channels, then frames, rows and columns of the patch.
Tensor PatchEmbed::patches(const Tensor& latents, const Grid& grid) const {
  const int64_t p = config_.patch_size, pt = config_.frames_of_patch(), channels = config_.in_channels;
  const int64_t height = latents.dim(2), width = latents.dim(3);
  Tensor out = Tensor::empty({grid.tokens(), config_.patch_values(channels)});
  const float* from = latents.data<float>();
  parallel_for(grid.tokens(), 64, [&](int64_t begin, int64_t end) {
    float* to = out.data<float>() + begin * out.dim(1);
    for (int64_t token = begin; token < end; ++token) {
      const int64_t t = token / (grid.height * grid.width) * pt;
      const int64_t y = token / grid.width % grid.height * p, x = token % grid.width * p;
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t a = 0; a < pt; ++a)
          for (int64_t i = 0; i < p; ++i)
            to = std::copy_n(from + (((t + a) * channels + c) * height + y + i) * width + x, p, to);
    }
  });
  return out;
}

void PatchEmbed::add_positions(Tensor& tokens, int64_t text_tokens, const Tensor& latents, const Grid& grid) const {
  const TransformerConfig& c = config_;
  if (text_tokens != c.max_text_seq_length)
    throw Error(ErrorKind::usage,
                "the model has positions for " + std::to_string(c.max_text_seq_length) + " text tokens, not " +
                    std::to_string(text_tokens),
                "set max_sequence_length to " + std::to_string(c.max_text_seq_length));
  const int64_t height = latents.dim(2), width = latents.dim(3);
  const bool sample_size = height == c.sample_height && width == c.sample_width;
  const bool sample_length = (latents.dim(0) - 1) * c.temporal_compression_ratio + 1 == c.sample_frames;
  if (c.use_learned_positional_embeddings && !sample_size)
    throw Error(ErrorKind::usage,
                "the model has learned the positions of pictures of " + latent_size(c.sample_height, c.sample_width) +
                    ", not of " + latent_size(height, width),
                "choose the size that the model was trained for");
  Tensor table;
  int64_t row = 0;
  if (c.use_learned_positional_embeddings && sample_length) {  // with rows for the text
    checkpoint::require_finite(learned_positions_, positions_name_);
    table = learned_positions_.view({learned_positions_.dim(1), c.inner_dim()}).to(DType::f32);
  } else {
    table = sincos_positions(grid, c.inner_dim(), c.spatial_interpolation_scale, c.temporal_interpolation_scale);
    // The reference makes the table of a sample's size with the model, and rounds it to the checkpoint's dtype.
    if (sample_size && sample_length && weight_.defined()) table = table.to(weight_.dtype()).to(DType::f32);
    row = text_tokens;
  }
  const int64_t dim = c.inner_dim();
  float* to = tokens.data<float>() + row * dim;
  const float* from = table.data<float>();
  parallel_for(table.dim(0), 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * dim; i < end * dim; ++i) to[i] += from[i];
  });
}

Tensor PatchEmbed::operator()(const Tensor& latents, const Tensor& text) const {
  const TransformerConfig& c = config_;
  if (latents.rank() != 4 || latents.dim(1) != c.in_channels || text.rank() != 2 || text.dim(1) != c.text_embed_dim)
    throw Error(ErrorKind::internal, "latents " + to_string(latents.shape()) + " and text " + to_string(text.shape()) +
                                         " do not fit a transformer of " + std::to_string(c.in_channels) +
                                         " latent channels and text states of " + std::to_string(c.text_embed_dim));
  const Grid cells = grid(latents);
  const int64_t text_tokens = text.dim(0);
  Tensor tokens = Tensor::empty({text_tokens + cells.tokens(), c.inner_dim()});
  Tensor of_text = tokens.slice(0, text_tokens), of_video = tokens.slice(text_tokens, tokens.dim(0));
  text_proj_.into(text, of_text);
  const Tensor rows = patches(latents, cells);
  if (c.patch_size_t > 0) {
    proj_.into(rows, of_video);
  } else {
    if (!packed_.defined()) {
      checkpoint::require_finite(weight_, weight_name_);
      packed_ = kernels::PackedMatrix::pack(weight_.view({c.inner_dim(), rows.dim(1)}), wide_dtype(dtype_));
    }
    kernels::Epilogue e;
    e.bias = bias_.defined() ? bias_.data<float>() : nullptr;
    e.out = of_video.raw();
    e.out_stride = c.inner_dim();
    kernels::matmul(rows.raw(), rows.dtype(), rows.dim(0), rows.dim(1), packed_, e);
  }
  if (c.adds_positions()) add_positions(tokens, text_tokens, latents, cells);
  return tokens;
}

}  // namespace prax::models::cogvideox
