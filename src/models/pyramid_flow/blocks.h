#pragma once

#include <string>

#include "checkpoint/weights.h"
#include "models/pyramid_flow/sequence.h"
#include "nn/linear.h"

namespace prax::models::pyramid_flow {

//! What the queries and keys of a head go through before they are turned.
enum class HeadNorm { none, rms, layer };

//! What all blocks of a transformer share.
struct BlockShape {
  int64_t heads = 0, head_dim = 0;
  HeadNorm head_norm = HeadNorm::rms;
  float head_norm_eps = 1e-6f;
  DType dtype = DType::f32;  //!< of the products
  int64_t dim() const { return heads * head_dim; }
};

//! silu(temb), then a product: the shifts, scales and gates of a block (AdaLayerNormZero and its relatives).
class Modulation {
public:
  Modulation() = default;
  //! Reads "linear" under `weights`.
  Modulation(const checkpoint::Weights& weights, int64_t dim, int64_t parts, DType dtype)
      : linear_(weights["linear"], dim, parts * dim, true, dtype) {}
  //! silu_temb [1, dim] f32 -> [1, parts * dim] f32
  Tensor operator()(const Tensor& silu_temb) const { return linear_(silu_temb, DType::f32); }
  void release() { linear_.release(); }

private:
  nn::Linear linear_;
};

//! layer_norm(x) * (1 + scale) + shift without weights of its own; eps 1e-6.
Tensor modulated(const Tensor& x, const float* shift, const float* scale, DType dtype);

//! The norm of single heads; see HeadNorm.
class PerHeadNorm {
public:
  PerHeadNorm() = default;
  //! Reads "weight" and, for a layer norm, "bias" [head_dim].
  PerHeadNorm(const checkpoint::Weights& weights, const BlockShape& shape);
  //! In place: norm, then the positions from `first` on.
  void operator()(const nn::HeadRows& rows, const Rotary& rotary, int64_t first) const;

private:
  BlockShape shape_;
  Tensor weight_, bias_;
};

//! Which tokens of a sequence a block works on.
struct Scope {
  int64_t first = 0;        //!< keys and values of those before are in `known`
  int64_t needed = 0;       //!< nobody reads what the block makes of those before, beside their keys and values
  int64_t keep = 0;         //!< keys and values of those before are to be in `known` afterwards
  Tensor* known = nullptr;  //!< keys beside values, [first, 2 dim] of the activations' dtype, to become [keep, 2 dim]
};

//! Text and latents with weights of their own that meet in one attention (MMDiT, https://arxiv.org/abs/2403.03206):
//! FluxTransformerBlock and JointTransformerBlock of the authors' code.
class JointBlock {
public:
  struct Names {
    std::string added_norm_q, added_norm_k;
  };
  //! `last` is the block whose text nobody sees any more (context_pre_only).
  JointBlock(const checkpoint::Weights& weights, const BlockShape& shape, const Names& names, bool last);

  //! x [tokens - scope.first, dim] f32, in place. silu_temb [1, dim] f32.
  void operator()(Tensor& x, const Tensor& silu_temb, const Sequence& sequence, const Rotary& rotary,
                  const Scope& scope = {}) const;
  void release();

private:
  struct Stream {
    Modulation modulation;
    nn::Linear qkv, out, up, down;
    PerHeadNorm norm_q, norm_k;
  };
  void project(const Stream& stream, const Tensor& x, const float* shift, const float* scale, Tensor qkv,
               const Rotary& rotary, int64_t first) const;
  void finish(const Stream& stream, const Tensor& attended, const float* ada, Tensor x) const;

  BlockShape shape_;
  bool last_;
  Stream image_, text_;
};

//! Attention and feed-forward side by side over all tokens (FluxSingleTransformerBlock).
class SingleBlock {
public:
  SingleBlock(const checkpoint::Weights& weights, const BlockShape& shape);
  //! As JointBlock.
  void operator()(Tensor& x, const Tensor& silu_temb, const Sequence& sequence, const Rotary& rotary,
                  const Scope& scope = {}) const;
  void release();

private:
  BlockShape shape_;
  Modulation modulation_;
  nn::Linear qkv_, mlp_, out_;
  PerHeadNorm norm_q_, norm_k_;
};

}  // namespace prax::models::pyramid_flow
