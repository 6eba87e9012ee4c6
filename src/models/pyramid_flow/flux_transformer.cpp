#include "models/pyramid_flow/flux_transformer.h"

#include <numeric>

#include "base/error.h"

namespace prax::models::pyramid_flow {

namespace {

constexpr int64_t patch = 2;  // fixed in the authors' code, whatever patch_size says
constexpr size_t axes_count = 3;

TransformerSizes flux_sizes_from(const checkpoint::Config& config, DType dtype) {
  TransformerSizes s;
  s.block = {positive(config, "num_attention_heads", 24), positive(config, "attention_head_dim", 64), HeadNorm::rms,
             1e-6f, dtype};
  const int64_t in_channels = positive(config, "in_channels", 64);
  if (in_channels % (patch * patch) != 0)
    config.refuse("in_channels " + std::to_string(in_channels) + " are not those of 2x2 latents",
                  "it must be a multiple of 4; download the file again");
  // The last product has patch_size^2 * in_channels outputs, which are cut into 2x2 latents of in_channels / 4.
  if (config.get<int64_t>("patch_size", 1) != 1)
    config.refuse("patch_size " + std::to_string(config.get<int64_t>("patch_size", 1)) + " cannot run with 2x2 patches",
                  "published miniFLUX transformers have patch_size 1");
  s.latent_channels = in_channels / (patch * patch);
  s.patch_size = patch;
  s.text_channels = positive(config, "joint_attention_dim", 4096);
  s.pooled_channels = positive(config, "pooled_projection_dim", 768);
  s.joint_blocks = config.get<int64_t>("num_layers", 19);
  s.single_blocks = config.get<int64_t>("num_single_layers", 38);
  return s;
}

}  // namespace

FluxTransformer::FluxTransformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : Transformer(flux_sizes_from(config, dtype), weights, {"norm_added_q", "norm_added_k"}, false),
      axes_(config.get<std::vector<int64_t>>("axes_dims_rope", {16, 24, 24})),
      x_embedder_(weights["x_embedder"], sizes_.latent_channels * patch * patch, sizes_.block.dim(), true, dtype) {
  bool even = axes_.size() == axes_count;
  for (const int64_t channels : axes_) even = even && channels >= 0 && channels % 2 == 0;
  if (!even || std::accumulate(axes_.begin(), axes_.end(), int64_t{0}) != sizes_.block.head_dim)
    config.refuse(
        "axes_dims_rope do not share out the " + std::to_string(sizes_.block.head_dim) + " channels of a head",
        "they are three even numbers whose sum is attention_head_dim");
}

void FluxTransformer::release() {
  Transformer::release();
  x_embedder_.release();
}

void FluxTransformer::embed(std::span<const Tensor> clips, std::span<const ClipSize> sizes, const ClipSize& /*noisy*/,
                            Tensor rows) const {
  const int64_t channels = sizes_.latent_channels, values = patch * patch * channels;
  Tensor patches = Tensor::empty({rows.dim(0), values});
  float* to = patches.data<float>();
  for (size_t i = 0; i < clips.size(); ++i) {
    const ClipSize& clip = sizes[i];
    const int64_t height = clip.height * patch, width = clip.width * patch, plane = clip.frames * height * width;
    const float* from = clips[i].data<float>();
    for (int64_t token = 0; token < clip.tokens(); ++token) {
      const int64_t t = token / (clip.height * clip.width);
      const int64_t y = token / clip.width % clip.height * patch, x = token % clip.width * patch;
      for (int64_t p = 0; p < patch * patch; ++p)
        for (int64_t c = 0; c < channels; ++c)
          *to++ = from[c * plane + (t * height + y + p / patch) * width + x + p % patch];
    }
  }
  x_embedder_.into(patches, rows);
}

Rotary FluxTransformer::rotary(const Sequence& sequence) const {
  const int64_t head_dim = sizes_.block.head_dim;
  Rotary r{Tensor::full({sequence.tokens(), head_dim}, 1.0f), Tensor::zeros({sequence.tokens(), head_dim})};
  sequence.each_position([&](int64_t token, int64_t time, float row, float column) {
    const double positions[axes_count] = {static_cast<double>(time), row, column};
    float* cos = r.cos.data<float>() + token * head_dim;
    float* sin = r.sin.data<float>() + token * head_dim;
    for (size_t axis = 0; axis < axes_count; ++axis) {
      write_angles(positions[axis], axes_[axis], cos, sin);
      cos += axes_[axis];
      sin += axes_[axis];
    }
  });
  return r;
}

}  // namespace prax::models::pyramid_flow
