#include "models/pyramid_flow/transformer.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "models/pyramid_flow/flux_transformer.h"
#include "models/pyramid_flow/mmdit_transformer.h"
#include "tensor/parallel.h"

namespace prax::models::pyramid_flow {

int64_t positive(const checkpoint::Config& config, const char* key, int64_t absent) {
  const auto value = config.get<int64_t>(key, absent);
  if (value < 1)
    config.refuse(std::string(key) + " is " + std::to_string(value), "it must be at least 1; download the file again");
  return value;
}

std::unique_ptr<Transformer> Transformer::make(const checkpoint::Config& config, const checkpoint::Weights& weights,
                                               DType dtype) {
  const std::string name = config.class_name();
  if (name == "PyramidFluxTransformer") return std::make_unique<FluxTransformer>(config, weights, dtype);
  if (name == "PyramidDiffusionMMDiT") return std::make_unique<MmditTransformer>(config, weights, dtype);
  throw Error(ErrorKind::checkpoint,
              config.origin() + " is of a \"" + name + "\", which is no transformer of Pyramid Flow",
              "these are PyramidFluxTransformer and PyramidDiffusionMMDiT");
}

Transformer::Transformer(const TransformerSizes& sizes, const checkpoint::Weights& weights,
                         const JointBlock::Names& names, bool last_joint_block_ends_text)
    : sizes_(sizes) {
  const int64_t dim = sizes.block.dim();
  const DType dtype = sizes.block.dtype;
  const auto time_text = weights["time_text_embed"];
  time_embedder_ = nn::TimestepEmbedder(time_text["timestep_embedder"], dim, dtype);
  pooled_1_ = nn::Linear(time_text["text_embedder"]["linear_1"], sizes.pooled_channels, dim, true, dtype);
  pooled_2_ = nn::Linear(time_text["text_embedder"]["linear_2"], dim, dim, true, dtype);
  context_embedder_ = nn::Linear(weights["context_embedder"], sizes.text_channels, dim, true, dtype);
  for (int64_t i = 0; i < sizes.joint_blocks; ++i)
    joint_blocks_.emplace_back(weights["transformer_blocks"][static_cast<int>(i)], sizes.block, names,
                               last_joint_block_ends_text && i + 1 == sizes.joint_blocks);
  for (int64_t i = 0; i < sizes.single_blocks; ++i)
    single_blocks_.emplace_back(weights["single_transformer_blocks"][static_cast<int>(i)], sizes.block);
  norm_out_ = Modulation(weights["norm_out"], dim, 2, dtype);
  proj_out_ =
      nn::Linear(weights["proj_out"], dim, sizes.patch_size * sizes.patch_size * sizes.latent_channels, true, dtype);
}

void Transformer::release() {
  for (nn::Linear* l : {&pooled_1_, &pooled_2_, &context_embedder_, &proj_out_}) l->release();
  norm_out_.release();
  for (JointBlock& block : joint_blocks_) block.release();
  for (SingleBlock& block : single_blocks_) block.release();
}

int64_t Transformer::key_value_bytes() const {
  return (sizes_.joint_blocks + sizes_.single_blocks) * 2 * sizes_.block.dim() *
         static_cast<int64_t>(size_of(kernels::activation_dtype(sizes_.block.dtype)));
}

ClipSize Transformer::size_of_clip(const Shape& clip) const {
  const int64_t p = sizes_.patch_size;
  if (clip.size() != 4 || clip[0] != sizes_.latent_channels || clip[1] < 1 || clip[2] < p || clip[3] < p ||
      clip[2] % p != 0 || clip[3] % p != 0)
    throw Error(ErrorKind::internal, "latents " + to_string(clip) + " do not fit a transformer of " +
                                         std::to_string(sizes_.latent_channels) + " latent channels");
  return {clip[1], clip[2] / p, clip[3] / p};
}

//! silu(timestep embedding + projected pooled text), the input of all modulations.
Tensor Transformer::silu_temb(float timestep, const Tensor& pooled) const {
  const Tensor time = time_embedder_(std::span(&timestep, 1));
  nn::Fusion add;
  add.residual = &time;
  Tensor temb = pooled_2_(pooled, DType::f32, add);
  kernels::kernels().activate(temb.raw(), DType::f32, temb.numel(), kernels::Activation::silu, temb.raw(), DType::f32);
  return temb;
}

//! A token holds the rows of its patch, each pixel's channels together.
Tensor Transformer::unpatchify(const Tensor& tokens, const ClipSize& clip) const {
  const int64_t p = sizes_.patch_size, channels = sizes_.latent_channels;
  const int64_t height = clip.height * p, width = clip.width * p;
  Tensor out = Tensor::empty({channels, clip.frames, height, width});
  const float* from = tokens.data<float>();
  float* to = out.data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < clip.frames; ++t)
      for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x) {
          const int64_t token = (t * clip.height + y / p) * clip.width + x / p;
          *to++ = from[(token * p * p + y % p * p + x % p) * channels + c];
        }
  return out;
}

Context Transformer::prepare(std::span<const Tensor> past, const Shape& noisy, const Tensor& text,
                             const Tensor& pooled) const {
  std::vector<ClipSize> sizes;
  for (const Tensor& clip : past) sizes.push_back(size_of_clip(clip.shape()));
  sizes.push_back(size_of_clip(noisy));
  const int64_t text_tokens = text.dim(0);
  Context context{Sequence(text_tokens, std::move(sizes)), {}, {}, {}};
  const Sequence& sequence = context.sequence;
  context.positions = rotary(sequence);
  nn::Fusion silu;
  silu.activation = kernels::Activation::silu;
  context.pooled = pooled_1_(pooled.view({1, sizes_.pooled_channels}), DType::f32, silu);
  context.tokens = Tensor::empty({sequence.noisy_begin(), sizes_.block.dim()});
  Tensor text_rows = context.tokens.slice(0, text_tokens);
  context_embedder_.into(text, text_rows);
  if (!past.empty())
    embed(past, std::span(sequence.clips()).first(past.size()), sequence.noisy(),
          context.tokens.slice(text_tokens, sequence.noisy_begin()));
  return context;
}

Tensor Transformer::operator()(std::span<const Tensor> clips, const Tensor& text, const Tensor& pooled, float timestep,
                               const std::function<void()>& on_block) const {
  if (clips.empty()) throw Error(ErrorKind::internal, "a transformer was given no latents");
  const Tensor& noisy = clips.back();
  return (*this)(prepare(clips.first(clips.size() - 1), noisy.shape(), text, pooled), noisy, timestep, on_block);
}

Tensor Transformer::operator()(const Context& context, const Tensor& noisy, float timestep,
                               const std::function<void()>& on_block, KeyValues* known, int64_t keep,
                               nn::BlockCache* cache) const {
  const Sequence& sequence = context.sequence;
  const int64_t dim = sizes_.block.dim(), noisy_begin = sequence.noisy_begin(), tokens = sequence.tokens();
  const auto ends_a_frame = [&](int64_t count) {
    return std::any_of(sequence.runs().begin(), sequence.runs().end(),
                       [&](const Sequence::Run& run) { return run.end == count && count <= noisy_begin; });
  };
  const int64_t first = known ? known->tokens : 0;
  if (!known) keep = 0;
  if ((first > 0 && !ends_a_frame(first)) || (keep > first && !ends_a_frame(keep)))
    throw Error(ErrorKind::internal, "known keys and values do not end with a frame of the past");
  const Tensor temb = silu_temb(timestep, context.pooled);

  Tensor x = Tensor::empty({tokens - first, dim});
  std::copy_n(context.tokens.data<float>() + first * dim, (noisy_begin - first) * dim, x.data<float>());
  embed(std::span(&noisy, 1), std::span(&sequence.noisy(), 1), sequence.noisy(),
        x.slice(noisy_begin - first, tokens - first));

  const size_t blocks = joint_blocks_.size() + single_blocks_.size();
  if (known) known->blocks.resize(blocks);
  // Of the last block only the noisy tokens go on; the first frame's time has the text in it.
  const auto noisy_run = std::find_if(sequence.runs().begin(), sequence.runs().end(),
                                      [&](const Sequence::Run& run) { return run.end > noisy_begin; });
  Tensor of_noisy = x.slice(noisy_begin - first, tokens - first);
  if (cache) cache->before_first(of_noisy);
  size_t at = 0;
  bool spared = false;
  const auto through = [&](const auto& block) {
    if (spared) return;
    Scope scope{first, at + 1 == blocks ? noisy_run->begin : 0, keep, known ? &known->blocks[at] : nullptr};
    block(x, temb, sequence, context.positions, scope);
    ++at;
    if (on_block) on_block();
    if (at == 1 && cache) spared = !cache->needs_others(of_noisy);
  };
  const Tensor known_before = known && cache ? known->blocks[0] : Tensor();
  for (const JointBlock& block : joint_blocks_) through(block);
  for (const SingleBlock& block : single_blocks_) through(block);
  if (cache) cache->after_last(of_noisy);
  if (known && spared) {
    known->blocks[0] = known_before;
  } else if (known) {
    known->tokens = std::max(first, keep);
  }

  const Tensor scale_shift = norm_out_(temb);
  const Tensor last = modulated(of_noisy, scale_shift.data<float>() + dim, scale_shift.data<float>(),
                                kernels::activation_dtype(sizes_.block.dtype));
  return unpatchify(proj_out_(last, DType::f32), sequence.noisy());
}

}  // namespace prax::models::pyramid_flow
