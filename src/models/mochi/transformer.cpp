#include "models/mochi/transformer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/attention.h"
#include "nn/activation.h"
#include "nn/embeddings.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models::mochi {

namespace {

constexpr float norm_eps = 1e-6f;     // MochiTransformerBlock, AdaLayerNormContinuous
constexpr float qk_norm_eps = 1e-5f;  // MochiAttention
constexpr int64_t pool_heads = 8;     // MochiCombinedTimestepCaptionEmbedding
constexpr double base_side = 192.0;   // MochiRoPE: positions are scaled to the area of 192 x 192 latents
//! Tokens that go through a feed-forward together: its inner width is the widest of all activations.
constexpr int64_t feed_forward_rows = 8192;

constexpr auto spread = nn::RowLayout::spread;

Tensor silu(const Tensor& x) {
  Tensor y = Tensor::empty(x.shape());
  kernels::kernels().activate(x.raw(), DType::f32, x.numel(), kernels::Activation::silu, y.raw(), DType::f32);
  return y;
}

//! x += norm(y) * gate, the root mean square norm.
void add_normalized(Tensor& x, const Tensor& y, const float* gate) {
  const int64_t dim = x.dim(1);
  const auto& k = kernels::kernels();
  parallel_for(x.dim(0), std::max<int64_t>(1, 16384 / dim), [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(dim));
    for (int64_t r = begin; r < end; ++r) {
      k.norm(y.data<float>() + r * dim, DType::f32, dim, true, norm_eps, gate, nullptr, nullptr, nullptr,
             kernels::Activation::none, row.data(), DType::f32);
      float* to = x.data<float>() + r * dim;
      for (int64_t c = 0; c < dim; ++c) to[c] += row[static_cast<size_t>(c)];
    }
  });
}

//! Middles of `count` equal parts of [-extent / 2, extent / 2], from torch.linspace in f32.
std::vector<float> centres(double extent, int64_t count) {
  const float start = static_cast<float>(-extent / 2), stop = static_cast<float>(extent / 2);
  const float step = (stop - start) / static_cast<float>(count);
  const auto edge = [&](int64_t i) {
    return i < (count + 1) / 2 ? start + step * static_cast<float>(i) : stop - step * static_cast<float>(count - i);
  };
  std::vector<float> middles(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) middles[static_cast<size_t>(i)] = (edge(i) + edge(i + 1)) / 2;
  return middles;
}

//! Tokens before the padding.
int64_t text_length(const Tensor& text, std::span<const int64_t> mask) {
  const auto end = std::find(mask.begin(), mask.end(), 0);
  if (static_cast<int64_t>(mask.size()) != text.dim(0) ||
      std::any_of(end, mask.end(), [](int64_t m) { return m != 0; }))
    throw Error(ErrorKind::internal, "the mask of the text does not fit it, or there is text behind its padding");
  return end - mask.begin();
}

}  // namespace

TransformerConfig TransformerConfig::from(const checkpoint::Config& config) {
  TransformerConfig c{};
  c.patch_size = config.get<int64_t>("patch_size", 2);
  c.num_attention_heads = config.get<int64_t>("num_attention_heads", 24);
  c.attention_head_dim = config.get<int64_t>("attention_head_dim", 128);
  c.num_layers = config.get<int64_t>("num_layers", 48);
  c.pooled_projection_dim = config.get<int64_t>("pooled_projection_dim", 1536);
  c.in_channels = config.get<int64_t>("in_channels", 12);
  c.out_channels = config.get<int64_t>("out_channels", 0);
  if (c.out_channels == 0) c.out_channels = c.in_channels;
  c.text_embed_dim = config.get<int64_t>("text_embed_dim", 4096);
  c.time_embed_dim = config.get<int64_t>("time_embed_dim", 256);
  const auto activation = config.get<std::string>("activation_fn", "swiglu");
  c.gated = activation == "swiglu";
  const auto known = nn::activation_named(c.gated ? "silu" : activation);
  if (!known)
    nn::refuse_activation(config, "activation_fn", activation, "the published Mochi transformer has \"swiglu\"");
  c.activation = *known;
  for (const int64_t size : {c.patch_size, c.num_attention_heads, c.attention_head_dim, c.pooled_projection_dim,
                             c.in_channels, c.out_channels, c.text_embed_dim, c.time_embed_dim})
    if (size < 1 || size > (1 << 20))
      config.refuse(std::to_string(size) + " is not a possible size", "download the file again");
  if (c.num_layers < 0 || c.attention_head_dim % 2 != 0 || c.text_embed_dim % pool_heads != 0)
    config.refuse(
        "num_layers is negative, attention_head_dim is odd, or text_embed_dim is not a "
        "multiple of " +
            std::to_string(pool_heads),
        "download the file again");
  return c;
}

Transformer::FeedForward Transformer::make_feed_forward(const checkpoint::Weights& weights, int64_t dim,
                                                        DType dtype) const {
  const int64_t inner = 4 * dim * 2 / 3;
  const auto in = weights["net"][0]["proj"];
  FeedForward f;
  if (config_.gated) {
    auto halves = nn::Linear::halves(in, dim, inner, false, dtype);
    f.up = std::move(halves[0]);
    f.gate = std::move(halves[1]);
  } else {
    f.up = nn::Linear(in, dim, inner, false, dtype);
  }
  f.down = nn::Linear(weights["net"][2], inner, dim, false, dtype);
  return f;
}

Transformer::Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(TransformerConfig::from(config)), dtype_(dtype) {
  const TransformerConfig& c = config_;
  const int64_t dim = c.inner_dim(), text_dim = c.pooled_projection_dim, head_dim = c.attention_head_dim;
  patch_embed_ = nn::Linear::of_patches(weights["patch_embed"]["proj"],
                                        {dim, c.in_channels, c.patch_size, c.patch_size}, true, dtype);
  pos_frequencies_ = nn::load_f32(weights, "pos_frequencies", {3, c.num_attention_heads, head_dim / 2});
  const auto time = weights["time_embed"], embedder = time["timestep_embedder"], pooler = time["pooler"];
  time_1_ = nn::Linear(embedder["linear_1"], c.time_embed_dim, dim, true, dtype);
  time_2_ = nn::Linear(embedder["linear_2"], dim, dim, true, dtype);
  pool_kv_ = nn::Linear(pooler["to_kv"], c.text_embed_dim, 2 * c.text_embed_dim, true, dtype);
  pool_q_ = nn::Linear(pooler["to_q"], c.text_embed_dim, c.text_embed_dim, true, dtype);
  pool_out_ = nn::Linear(pooler["to_out"], c.text_embed_dim, dim, true, dtype);
  caption_ = nn::Linear(time["caption_proj"], c.text_embed_dim, text_dim, true, dtype);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto w = weights["transformer_blocks"][static_cast<int>(i)];
    const auto attn = w["attn1"], context = w["norm1_context"];
    Block b;
    b.text_ends = i == c.num_layers - 1;
    b.modulation = nn::Linear({w["norm1"]["linear"], context[b.text_ends ? "linear_1" : "linear"]}, dim,
                              {4 * dim, b.text_ends ? text_dim : 4 * text_dim}, true, dtype);
    b.video.qkv = nn::Linear({attn["to_q"], attn["to_k"], attn["to_v"]}, dim, {dim, dim, dim}, false, dtype);
    b.video.norm_q = nn::load_f32(attn["norm_q"], "weight", {head_dim});
    b.video.norm_k = nn::load_f32(attn["norm_k"], "weight", {head_dim});
    b.video.out = nn::Linear(attn["to_out"][0], dim, dim, true, dtype);
    b.video.feed_forward = make_feed_forward(w["ff"], dim, dtype);
    b.text.qkv = nn::Linear({attn["add_q_proj"], attn["add_k_proj"], attn["add_v_proj"]}, text_dim, {dim, dim, dim},
                            false, dtype);
    b.text.norm_q = nn::load_f32(attn["norm_added_q"], "weight", {head_dim});
    b.text.norm_k = nn::load_f32(attn["norm_added_k"], "weight", {head_dim});
    if (!b.text_ends) {
      b.text.out = nn::Linear(attn["to_add_out"], dim, text_dim, true, dtype);
      b.text.feed_forward = make_feed_forward(w["ff_context"], text_dim, dtype);
    }
    blocks_.push_back(std::move(b));
  }
  norm_out_ = nn::Linear(weights["norm_out"]["linear"], dim, 2 * dim, true, dtype);
  proj_out_ = nn::Linear(weights["proj_out"], dim, c.patch_size * c.patch_size * c.out_channels, true, dtype);
}

void Transformer::release() {
  for (nn::Linear* l :
       {&patch_embed_, &time_1_, &time_2_, &pool_q_, &pool_kv_, &pool_out_, &caption_, &norm_out_, &proj_out_})
    l->release();
  for (Block& b : blocks_) {
    b.modulation.release();
    for (Stream* s : {&b.video, &b.text})
      for (nn::Linear* l : {&s->qkv, &s->out, &s->feed_forward.gate, &s->feed_forward.up, &s->feed_forward.down})
        l->release();
  }
}

//! MochiRoPE: the angle of a head's pair is t f_t + y f_y + x f_x, with t the frame, y and x measured from the middle.
Rotary Transformer::rotary(int64_t frames, int64_t height, int64_t width) const {
  const int64_t rows = height / config_.patch_size, columns = width / config_.patch_size;
  const int64_t dim = config_.inner_dim(), pairs = dim / 2, tokens = frames * rows * columns;
  if (tokens < 1) throw Error(ErrorKind::usage, "the video is smaller than a patch", "ask for a larger one");
  const double scale = std::sqrt(base_side * base_side / static_cast<double>(rows * columns));
  const std::vector<float> y = centres(static_cast<double>(rows) * scale, rows);
  const std::vector<float> x = centres(static_cast<double>(columns) * scale, columns);
  const float* frequency = pos_frequencies_.data<float>();
  Rotary r{Tensor::empty({tokens, dim}), Tensor::empty({tokens, dim})};
  parallel_for(tokens, 16, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float position[3] = {static_cast<float>(i / (rows * columns)), y[static_cast<size_t>(i / columns % rows)],
                                 x[static_cast<size_t>(i % columns)]};
      float* cos = r.cos.data<float>() + i * dim;
      float* sin = r.sin.data<float>() + i * dim;
      for (int64_t j = 0; j < pairs; ++j) {
        const float angle =
            position[0] * frequency[j] + position[1] * frequency[pairs + j] + position[2] * frequency[2 * pairs + j];
        cos[2 * j] = cos[2 * j + 1] = std::cos(angle);
        sin[2 * j] = sin[2 * j + 1] = std::sin(angle);
      }
    }
  });
  return r;
}

//! [channels, frames, height, width] -> [tokens, channels * patch * patch]
Tensor Transformer::patches(const Tensor& latents) const {
  const int64_t p = config_.patch_size, channels = config_.in_channels;
  if (latents.rank() != 4 || latents.dim(0) != channels || latents.dim(2) % p != 0 || latents.dim(3) % p != 0)
    throw Error(ErrorKind::usage,
                "latents " + to_string(latents.shape()) + " do not fit a transformer of " + std::to_string(channels) +
                    " channels and patches of " + std::to_string(p) + " x " + std::to_string(p),
                "choose a width and height that the model can cut into patches");
  const int64_t frames = latents.dim(1), height = latents.dim(2), width = latents.dim(3);
  const int64_t rows = height / p, columns = width / p, row = channels * p * p;
  Tensor out = Tensor::empty({frames * rows * columns, row});
  const float* from = latents.data<float>();
  parallel_for(frames * rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t f = line / rows, y = line % rows * p;
      for (int64_t x = 0; x < columns; ++x) {
        float* to = out.data<float>() + (line * columns + x) * row;
        for (int64_t c = 0; c < channels; ++c)
          for (int64_t dy = 0; dy < p; ++dy)
            for (int64_t dx = 0; dx < p; ++dx) *to++ = from[((c * frames + f) * height + y + dy) * width + x * p + dx];
      }
    }
  });
  return out;
}

//! Channel (dy * patch + dx) * channels + c of a token is channel c of its pixel (dy, dx).
Tensor Transformer::unpatchify(const Tensor& tokens, const Shape& latents) const {
  const int64_t p = config_.patch_size, channels = config_.out_channels;
  const int64_t frames = latents[1], height = latents[2], width = latents[3];
  Tensor out = Tensor::empty({channels, frames, height, width});
  parallel_for(frames * height, 8, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const int64_t f = line / height, y = line % height;
      for (int64_t x = 0; x < width; ++x) {
        const int64_t token = (f * (height / p) + y / p) * (width / p) + x / p;
        const float* from = tokens.data<float>() + token * tokens.dim(1) + (y % p * p + x % p) * channels;
        for (int64_t c = 0; c < channels; ++c) out.data<float>()[((c * frames + f) * height + y) * width + x] = from[c];
      }
    }
  });
  return out;
}

//! MochiAttentionPool: the mean of the text's tokens asks them and itself. text [n, text_embed_dim] -> [1, inner_dim]
Tensor Transformer::pool(const Tensor& text) const {
  const int64_t tokens = text.dim(0), dim = text.dim(1), head_dim = dim / pool_heads;
  Tensor mean = Tensor::zeros({1, dim});
  for (int64_t i = 0; i < tokens; ++i)
    for (int64_t c = 0; c < dim; ++c) mean.data<float>()[c] += text.data<float>()[i * dim + c];
  for (float& m : mean.span<float>()) m /= static_cast<float>(std::max<int64_t>(tokens, 1));
  const Tensor kv = pool_kv_(Tensor::concat({mean, text}, 0), DType::f32), q = pool_q_(mean, DType::f32);
  Tensor pooled = Tensor::empty({1, dim});
  kernels::AttentionArguments a;
  a.shape = {1, pool_heads, 1, 1 + tokens, head_dim};
  a.query = {q.raw(), 0, dim, head_dim};
  a.key = {kv.raw(), 0, 2 * dim, head_dim};
  a.value = {kv.data<float>() + dim, 0, 2 * dim, head_dim};
  a.out = pooled.raw();
  a.out_token_stride = dim;
  a.out_head_stride = head_dim;
  a.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  kernels::attention(a);
  return pool_out_(pooled, DType::f32);
}

//! silu(time embedding + pooled text), [1, inner_dim]: nobody asks for it without the silu.
Tensor Transformer::conditioning(const Tensor& text, float timestep) const {
  nn::Fusion first;
  first.activation = kernels::Activation::silu;
  const Tensor sinusoids = nn::timestep_embedding(std::span(&timestep, 1), config_.time_embed_dim);
  Tensor sum = time_2_(time_1_(sinusoids, DType::f32, first), DType::f32);
  const Tensor pooled = pool(text);
  for (int64_t i = 0; i < sum.numel(); ++i) sum.data<float>()[i] += pooled.data<float>()[i];
  return silu(sum);
}

//! Query, key and value of norm(x) * (1 + scale), side by side in the rows of `qkv`.
void Transformer::project(const Stream& stream, const Tensor& x, const float* scale, Tensor& qkv,
                          const Rotary* rotary) const {
  const int64_t heads = config_.num_attention_heads, rows = x.dim(0), stride = qkv.dim(1);
  nn::Norm norm;
  norm.eps = norm_eps;
  norm.scale = scale;
  stream.qkv.into(nn::normalize(x, norm, qkv.dtype(), spread), qkv);
  char* k = static_cast<char*>(qkv.raw()) + static_cast<size_t>(config_.inner_dim()) * size_of(qkv.dtype());
  const nn::Norm norm_q = nn::rms_norm(stream.norm_q, qk_norm_eps), norm_k = nn::rms_norm(stream.norm_k, qk_norm_eps);
  nn::norm_rotate({qkv.raw(), qkv.dtype(), rows, stride, heads, config_.attention_head_dim}, &norm_q, rotary);
  nn::norm_rotate({k, qkv.dtype(), rows, stride, heads, config_.attention_head_dim}, &norm_k, rotary);
}

//! x += norm(to_out(attention(q, k, v))) * gate for both streams, which attend to each other: rows of q, k and v are
//! those of the video, then those of the text.
void Transformer::attention(const Block& block, Tensor& video, Tensor& text, const Modulation& of_video,
                            const Modulation& of_text, const Rotary& rotary) const {
  const int64_t dim = config_.inner_dim(), head_dim = config_.attention_head_dim;
  const int64_t tokens = video.dim(0), all = tokens + text.dim(0), asking = block.text_ends ? tokens : all;
  const DType dtype = kernels::activation_dtype(dtype_);
  Tensor qkv = nn::empty_rows(all, 3 * dim, dtype, spread);
  Tensor qkv_video = qkv.slice(0, tokens), qkv_text = qkv.slice(tokens, all);
  project(block.video, video, of_video.scale_attention, qkv_video, &rotary);
  if (all > tokens) project(block.text, text, of_text.scale_attention, qkv_text, nullptr);

  Tensor attended = nn::empty_rows(asking, dim, dtype, spread);
  const auto part = [&](int64_t i) {
    const char* start = static_cast<const char*>(qkv.raw()) + static_cast<size_t>(i * dim) * size_of(dtype);
    return kernels::AttentionOperand{start, 0, qkv.dim(1), head_dim};
  };
  kernels::AttentionArguments a;
  a.shape = {1, config_.num_attention_heads, asking, all, head_dim};
  a.dtype = dtype;
  a.query = part(0);
  a.key = part(1);
  a.value = part(2);
  a.out = attended.raw();
  a.out_token_stride = attended.dim(1);
  a.out_head_stride = head_dim;
  a.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  a.integers = dtype_ == DType::i8;
  kernels::attention(a);
  qkv = qkv_video = qkv_text = Tensor();

  add_normalized(video, block.video.out(attended.slice(0, tokens), DType::f32), of_video.gate_attention);
  if (asking > tokens)
    add_normalized(text, block.text.out(attended.slice(tokens, all), DType::f32), of_text.gate_attention);
}

//! x += norm(down(up(y) * silu(gate(y)))) * gate with y = norm(x) * (1 + scale)
void Transformer::feed_forward(const FeedForward& layer, Tensor& x, const Modulation& modulation) const {
  const DType dtype = kernels::activation_dtype(dtype_);
  nn::Norm norm;
  norm.eps = norm_eps;
  norm.scale = modulation.scale_feed_forward;
  nn::Fusion activation;
  activation.activation = config_.activation;
  for (int64_t begin = 0; begin < x.dim(0); begin += feed_forward_rows) {
    Tensor rows = x.slice(begin, std::min(begin + feed_forward_rows, x.dim(0)));
    const Tensor y = nn::normalize(rows, norm, dtype, spread);
    Tensor inner;
    if (config_.gated) {
      const Tensor gate = layer.gate(y, dtype, activation, spread);
      nn::Fusion product;
      product.factor = &gate;
      inner = layer.up(y, dtype, product, spread);
    } else {
      inner = layer.up(y, dtype, activation, spread);
    }
    add_normalized(rows, layer.down(inner, DType::f32), modulation.gate_feed_forward);
  }
}

Tensor Transformer::operator()(const Tensor& latents, const Tensor& text, std::span<const int64_t> mask, float timestep,
                               const Rotary& rotary, const std::function<void()>& on_block,
                               nn::BlockCache* cache) const {
  const int64_t dim = config_.inner_dim(), text_dim = config_.pooled_projection_dim;
  const DType dtype = kernels::activation_dtype(dtype_);
  Tensor video = patch_embed_(patches(latents), DType::f32);
  if (rotary.cos.dim(0) != video.dim(0))
    throw Error(ErrorKind::internal, "there are positions of " + std::to_string(rotary.cos.dim(0)) + " tokens for " +
                                         std::to_string(video.dim(0)));
  // The reference takes padding out of the attention, so what it computes for it reaches nothing.
  const Tensor words = text.slice(0, text_length(text, mask));
  const Tensor temb = conditioning(words, timestep);
  Tensor captions = words.dim(0) > 0 ? caption_(words, DType::f32) : Tensor::empty({0, text_dim});

  if (cache) cache->before_first(video);  // nothing behind the blocks sees the text
  for (const Block& block : blocks_) {
    Tensor ada = block.modulation(temb, DType::f32);
    const auto parts = [&](float* first, int64_t width) {
      for (float* gate : {first + width, first + 3 * width})
        for (int64_t i = 0; i < width; ++i) gate[i] = std::tanh(gate[i]);
      return Modulation{first, first + width, first + 2 * width, first + 3 * width};
    };
    float* of_text = ada.data<float>() + 4 * dim;
    const Modulation video_parts = parts(ada.data<float>(), dim);
    const Modulation text_parts =
        block.text_ends ? Modulation{of_text, nullptr, nullptr, nullptr} : parts(of_text, text_dim);
    attention(block, video, captions, video_parts, text_parts, rotary);
    feed_forward(block.video.feed_forward, video, video_parts);
    if (!block.text_ends) feed_forward(block.text.feed_forward, captions, text_parts);
    if (on_block) on_block();
    if (cache && &block == &blocks_.front() && !cache->needs_others(video)) break;
  }
  if (cache) cache->after_last(video);

  const Tensor scale_shift = norm_out_(temb, DType::f32);
  nn::Norm norm;
  norm.rms = false;
  norm.eps = norm_eps;
  norm.scale = scale_shift.data<float>();
  norm.shift = scale_shift.data<float>() + dim;
  return unpatchify(proj_out_(nn::normalize(video, norm, dtype), DType::f32), latents.shape());
}

}  // namespace prax::models::mochi
