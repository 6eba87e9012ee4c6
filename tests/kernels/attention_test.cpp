#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "tensor/parallel.h"

namespace prax::kernels::attention_test {
namespace {

constexpr float inf = INFINITY;

//! One problem in f32 numbers (already rounded to bf16 where dtype is bf16), tokens outermost: [batch, tokens, heads,
//! head_dim] with room for other channels beside, as a packed query-key-value projection has it.
struct Problem {
  AttentionShape shape;
  DType dtype;
  std::vector<float> q, k, v, key_bias, score_bias;
  float scale = 1;
  bool integers = false;
};

float rounded(float x, DType dtype) { return dtype == DType::bf16 ? float(bfloat16(x)) : x; }

Problem problem(AttentionShape s, DType dtype, int seed = 1, float spread = 1) {
  Problem p{s, dtype, {}, {}, {}, {}, {}, 1 / std::sqrt(static_cast<float>(s.head_dim))};
  std::mt19937 random(static_cast<unsigned>(seed));
  std::normal_distribution<float> normal;
  const auto fill = [&](std::vector<float>& x, int64_t tokens, float size) {
    x.resize(static_cast<size_t>(s.batch * tokens * s.heads * s.head_dim));
    for (float& e : x) e = rounded(normal(random) * size, dtype);
  };
  fill(p.q, s.query_tokens, spread);
  fill(p.k, s.key_tokens, 1);
  fill(p.v, s.key_tokens, 1);
  return p;
}

struct Layout {
  int64_t token_stride = 0;  //!< elements; 0 for heads * head_dim
  int64_t offset = 0;        //!< channels before the first head
};

//! Elements of the dtype in the layout, gaps filled with NaN, which must never be read.
struct Buffer {
  std::vector<float> f32;
  std::vector<bfloat16> bf16;
  AttentionOperand operand;
};

Buffer lay_out(const std::vector<float>& x, const Problem& p, int64_t tokens, Layout l) {
  const int64_t width = p.shape.heads * p.shape.head_dim, stride = l.token_stride ? l.token_stride : width;
  Buffer b;
  std::vector<float> all(static_cast<size_t>(p.shape.batch * tokens * stride), NAN);
  for (int64_t t = 0; t < p.shape.batch * tokens; ++t)
    for (int64_t c = 0; c < width; ++c)
      all[static_cast<size_t>(t * stride + l.offset + c)] = x.empty() ? NAN : x[static_cast<size_t>(t * width + c)];
  b.operand = {nullptr, tokens * stride, stride, p.shape.head_dim};
  if (p.dtype == DType::bf16) {
    for (float e : all) b.bf16.push_back(bfloat16(e));
    b.operand.data = b.bf16.data() + l.offset;
  } else {
    b.f32 = std::move(all);
    b.operand.data = b.f32.data() + l.offset;
  }
  return b;
}

//! Runs it and gives [batch, query_tokens, heads, head_dim] back; fails when a gap of `out` was written.
std::vector<float> run(const Problem& p, Layout in = {}, Layout out = {}) {
  const Buffer q = lay_out(p.q, p, p.shape.query_tokens, in), k = lay_out(p.k, p, p.shape.key_tokens, in),
               v = lay_out(p.v, p, p.shape.key_tokens, in);
  Buffer o = lay_out({}, p, p.shape.query_tokens, out);
  AttentionArguments a;
  a.shape = p.shape;
  a.dtype = p.dtype;
  a.query = q.operand;
  a.key = k.operand;
  a.value = v.operand;
  a.out = const_cast<void*>(o.operand.data);
  a.out_batch_stride = o.operand.batch_stride;
  a.out_token_stride = o.operand.token_stride;
  a.out_head_stride = o.operand.head_stride;
  a.scale = p.scale;
  a.integers = p.integers;
  if (!p.key_bias.empty()) a.key_bias = p.key_bias.data();
  if (!p.score_bias.empty()) a.score_bias = p.score_bias.data();
  attention(a);
  const int64_t width = p.shape.heads * p.shape.head_dim, stride = o.operand.token_stride;
  std::vector<float> result;
  for (int64_t t = 0; t < p.shape.batch * p.shape.query_tokens; ++t)
    for (int64_t c = 0; c < stride; ++c) {
      const size_t i = static_cast<size_t>(t * stride + c);
      const float x = p.dtype == DType::bf16 ? float(o.bf16[i]) : o.f32[i];
      if (c >= out.offset && c < out.offset + width) {
        result.push_back(x);
      } else {
        EXPECT_TRUE(std::isnan(x)) << "wrote beside the output, token " << t << " channel " << c;
      }
    }
  return result;
}

//! What rounding to integers may do to the result of one query: six standard deviations of the rounding of all
//! operands, each even over the steps that attention.h tells. `score` are its scores; q, k and v its
//! head's, with `stride` from token to token.
class IntegerSteps {
public:
  IntegerSteps(const Problem& p, const float* q, const float* k, const float* v, const std::vector<double>& score)
      : p_(p), v_(v), score_(score), stride_(p.shape.heads * p.shape.head_dim) {
    const double most_channel = std::floor(std::sqrt(0x1p31 / static_cast<double>(std::max<int64_t>(64, dim()))));
    for (int64_t j = 0; j < p.shape.key_tokens; ++j) {
      double variance = 0;
      const double query_step = largest(q) / most_channel, key_step = largest(k + j * stride_) / most_channel;
      for (int64_t c = 0; c < dim(); ++c)
        variance += std::pow(query_step * k[j * stride_ + c], 2) + std::pow(key_step * q[c], 2);
      score_error_ = std::max(score_error_, 6 * std::sqrt(variance / 12) * std::abs(p.scale));
    }
  }

  //! Of channel c, where weights sum to `total` times that of `most`, the largest score.
  double allowed(int64_t c, double most, double total, double absolute) const {
    constexpr int64_t block = 128;
    double variance = 0, largest_value = 0;
    for (int64_t first = 0; first < p_.shape.key_tokens; first += block) {
      const int64_t end = std::min(p_.shape.key_tokens, first + block);
      double weight = 0, value = 0;
      for (int64_t j = first; j < end; ++j) {
        weight = std::max(weight, std::exp(score_[static_cast<size_t>(j)] - most) / total);
        value = std::max(value, std::abs(double(v_[j * stride_ + c])));
      }
      largest_value = std::max(largest_value, value);
      for (int64_t j = first; j < end; ++j) {
        const double own = std::exp(score_[static_cast<size_t>(j)] - most) / total;
        variance += std::pow(weight / 8191 * v_[j * stride_ + c], 2) + std::pow(value / 2047 * own, 2);
        variance += std::pow(weight / 8191 * absolute, 2);  // of the sum that all is divided by
      }
    }
    const double of_scores = score_error_ < 0.1 ? std::expm1(2 * score_error_) * absolute : 2 * largest_value;
    return of_scores + 6 * std::sqrt(variance / 12) + 1e-5 * absolute;
  }

private:
  int64_t dim() const { return p_.shape.head_dim; }
  double largest(const float* x) const {
    double most = 0;
    for (int64_t c = 0; c < dim(); ++c) most = std::max(most, std::abs(double(x[c])));
    return most;
  }

  const Problem& p_;
  const float* v_;
  const std::vector<double>& score_;
  int64_t stride_;
  double score_error_ = 0;
};

//! Compares with the formula in double. What f32 cannot avoid is allowed: scores are off by some units of the sum of
//! their terms' sizes, and weights by that; bf16 rounds the probabilities and the result to 8 bits.
void expect_right(const Problem& p, const std::vector<float>& out) {
  const auto& s = p.shape;
  const int64_t d = s.head_dim;
  double worst = 0;
  std::string where;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t h = 0; h < s.heads; ++h)
      for (int64_t i = 0; i < s.query_tokens; ++i) {
        const float* q = p.q.data() + ((b * s.query_tokens + i) * s.heads + h) * d;
        std::vector<double> score(static_cast<size_t>(s.key_tokens));
        double most = -inf, size = 0;
        for (int64_t j = 0; j < s.key_tokens; ++j) {
          const float* k = p.k.data() + ((b * s.key_tokens + j) * s.heads + h) * d;
          double dot = 0, absolute = 0;
          for (int64_t c = 0; c < d; ++c) {
            dot += double(q[c]) * k[c];
            absolute += std::abs(double(q[c]) * k[c]);
          }
          double x = dot * p.scale;
          absolute *= std::abs(p.scale);
          if (!p.key_bias.empty()) x += p.key_bias[static_cast<size_t>(b * s.key_tokens + j)];
          if (!p.score_bias.empty())
            x += p.score_bias[static_cast<size_t>((h * s.query_tokens + i) * s.key_tokens + j)];
          score[static_cast<size_t>(j)] = x;
          most = std::max(most, x);
          if (x > -inf) size = std::max(size, absolute + std::abs(x));
        }
        double total = 0;
        for (double x : score) total += most > -inf ? std::exp(x - most) : 0;
        const auto head = [&](const std::vector<float>& x) { return x.data() + (b * s.key_tokens * s.heads + h) * d; };
        std::optional<IntegerSteps> steps;
        if (p.integers && total > 0) steps.emplace(p, q, head(p.k), head(p.v), score);
        for (int64_t c = 0; c < d; ++c) {
          double want = 0, absolute = 0;
          for (int64_t j = 0; j < s.key_tokens && total > 0; ++j) {
            const double v = p.v[static_cast<size_t>(((b * s.key_tokens + j) * s.heads + h) * d + c)];
            const double weight = std::exp(score[static_cast<size_t>(j)] - most) / total;
            want += weight * v;
            absolute += weight * std::abs(v);
          }
          double allowed = (1e-6 + 2.5e-7 * size) * absolute + 1e-37;
          if (p.dtype == DType::bf16) allowed += 0x1p-8 * 1.01 * (absolute + std::abs(want));
          if (steps) allowed += steps->allowed(c, most, total, absolute);
          const float got = out[static_cast<size_t>(((b * s.query_tokens + i) * s.heads + h) * d + c)];
          const double ratio = std::isfinite(got) ? std::abs(got - want) / allowed : inf;
          if (ratio > worst) {
            worst = ratio;
            where = "batch " + std::to_string(b) + " head " + std::to_string(h) + " query " + std::to_string(i) +
                    " channel " + std::to_string(c) + ": " + std::to_string(got) + " for " + std::to_string(want);
          }
        }
      }
  EXPECT_LE(worst, 1) << where;
}

struct Case {
  Isa isa;
  DType dtype;
  bool integers = false;
};

class Attention : public testing::TestWithParam<Case> {
protected:
  void SetUp() override { set_isa(GetParam().isa); }
  void TearDown() override {
    set_isa(available_isas().back());
    set_thread_count(0);
  }
  Problem make(AttentionShape s, int seed = 1, float spread = 1) {
    Problem p = problem(s, GetParam().dtype, seed, spread);
    p.integers = GetParam().integers;
    return p;
  }
};

TEST_P(Attention, HeadDimensions) {
  int seed = 0;
  for (int64_t d : {8, 12, 16, 20, 31, 32, 33, 48, 64, 72, 80, 96, 128, 160, 256}) {
    SCOPED_TRACE("head_dim " + std::to_string(d));
    const Problem p = make({1, 2, 19, 70, d}, ++seed);
    expect_right(p, run(p));
  }
}

TEST_P(Attention, TokenCounts) {
  int seed = 100;
  for (int64_t queries : {1, 7, 32, 33, 100, 131})
    for (int64_t keys : {1, 2, 15, 16, 17, 48, 127, 128, 129, 255, 256, 257, 300}) {
      SCOPED_TRACE(std::to_string(queries) + " queries, " + std::to_string(keys) + " keys");
      const Problem p = make({1, 1, queries, keys, 24}, ++seed);
      expect_right(p, run(p));
    }
}

TEST_P(Attention, ManyBlocks) {
  Problem p = make({2, 2, 140, 1100, 64}, 7);
  expect_right(p, run(p));
  p = make({1, 1, 5, 3001, 128}, 8);
  expect_right(p, run(p));
}

TEST_P(Attention, SumsOfThousandsOfKeysStayExact) {
  Problem p = make({1, 1, 2, 17776, 16}, 9, 0.1f);
  for (float& v : p.v) v = rounded(std::abs(v), p.dtype);  // no cancellation: rounding errors would show
  expect_right(p, run(p));
}

TEST_P(Attention, PackedProjection) {
  const int64_t heads = 3, d = 20;
  const Problem p = make({2, heads, 37, 37, d}, 11);
  const std::vector<float> plain = run(p);
  expect_right(p, plain);
  for (int64_t part : {0, 1, 2}) EXPECT_EQ(run(p, {3 * heads * d, part * heads * d}), plain) << part;
  EXPECT_EQ(run(p, {}, {heads * d + 5, 3}), plain);
}

TEST_P(Attention, KeyBias) {
  Problem p = make({2, 2, 40, 530, 32}, 12);
  std::mt19937 random(5);
  p.key_bias.resize(2 * 530);
  for (float& b : p.key_bias) b = std::normal_distribution<float>()(random);
  expect_right(p, run(p));
}

TEST_P(Attention, MaskedKeysWeighNothing) {
  Problem p = make({2, 2, 40, 530, 32}, 13);
  p.key_bias.assign(2 * 530, 0);
  for (int64_t j = 0; j < 530; ++j) {
    if (j % 3 == 1 || j < 300) p.key_bias[static_cast<size_t>(j)] = -inf;             // whole blocks first, then holes
    if (j >= 77) p.key_bias[static_cast<size_t>(530 + j)] = j < 400 ? -inf : -10000;  // a tail of both kinds
  }
  expect_right(p, run(p));
}

TEST_P(Attention, MaskedTailEqualsShorterKeys) {
  const Problem shorter = make({1, 2, 9, 90, 40}, 14);
  Problem p = shorter;
  p.shape.key_tokens = 400;
  p.k.resize(400 * 2 * 40, 3.0f);
  p.v.resize(400 * 2 * 40, 3.0f);
  p.key_bias.assign(400, 0);
  for (size_t j = 90; j < 400; ++j) p.key_bias[j] = -inf;
  expect_right(shorter, run(p));
}

TEST_P(Attention, AllKeysMaskedGivesZeros) {
  Problem p = make({2, 1, 33, 300, 16}, 15);
  p.key_bias.assign(600, 0);
  for (size_t j = 0; j < 300; ++j) p.key_bias[j] = -inf;
  std::vector<float> out = run(p);
  for (size_t i = 0; i < 33 * 16; ++i) ASSERT_EQ(out[i], 0) << i;
  expect_right(p, out);

  p.key_bias.clear();  // and per query, where the mask is not a tail that can be skipped
  p.score_bias.assign(33 * 300, 0);
  for (size_t j = 0; j < 300; ++j) p.score_bias[4 * 300 + j] = -inf;
  out = run(p);
  for (size_t c = 0; c < 16; ++c) ASSERT_EQ(out[4 * 16 + c], 0) << c;
  expect_right(p, out);
}

TEST_P(Attention, AllKeysAtMinusTenThousandAreStillWeighed) {
  Problem p = make({1, 1, 12, 300, 16}, 16);
  p.key_bias.assign(300, -10000);
  expect_right(p, run(p));
  for (size_t j = 20; j < 300; ++j) p.key_bias[j] = -30000;
  expect_right(p, run(p));
}

TEST_P(Attention, ScoreBias) {
  Problem p = make({2, 3, 50, 290, 16}, 17);
  std::mt19937 random(6);
  p.score_bias.resize(3 * 50 * 290);
  for (float& b : p.score_bias) b = 3 * std::normal_distribution<float>()(random);
  p.scale = 1;
  expect_right(p, run(p));
  p.key_bias.assign(2 * 290, 0);
  for (size_t j = 0; j < 2 * 290; j += 5) p.key_bias[j] = -inf;
  expect_right(p, run(p));
}

TEST_P(Attention, LargeScores) {
  for (float spread : {30.0f, 1000.0f, 10000.0f}) {
    SCOPED_TRACE(spread);
    const Problem p = make({1, 2, 35, 800, 64}, 18, spread);
    expect_right(p, run(p));
  }
}

//! The maximum grows from block to block, by little and by far, so that older sums and outputs must be scaled.
TEST_P(Attention, GrowingScores) {
  for (float step : {0.02f, 0.2f, 2.0f}) {
    SCOPED_TRACE(step);
    Problem p = make({1, 1, 40, 1300, 32}, 19);
    for (float& q : p.q) q = rounded(std::abs(q), p.dtype);
    for (int64_t j = 0; j < 1300; ++j)
      for (int64_t c = 0; c < 32; ++c)
        p.k[static_cast<size_t>(j * 32 + c)] = rounded(step * static_cast<float>(j / 64), p.dtype);
    expect_right(p, run(p));
  }
  Problem p = make({1, 1, 40, 1300, 32}, 20);  // one key far above all, in the middle
  for (size_t c = 0; c < 32; ++c) p.k[700 * 32 + c] = rounded(p.q[c] * 100, p.dtype);
  expect_right(p, run(p));
}

//! Where one key takes all the weight, its value comes out as it went in.
TEST_P(Attention, DominantKeyIsCopied) {
  Problem p = make({1, 2, 45, 1, 72}, 30);
  std::vector<float> out = run(p);
  expect_right(p, out);
  for (size_t i = 0; i < out.size() && !p.integers; ++i) ASSERT_EQ(out[i], p.v[i % (2 * 72)]) << i;

  p = make({1, 1, 33, 700, 64}, 31);
  for (size_t c = 0; c < 64; ++c) {
    for (size_t i = 0; i < 33; ++i) p.q[i * 64 + c] = rounded(p.q[c], p.dtype);
    p.k[555 * 64 + c] = rounded(p.q[c] * 30, p.dtype);
  }
  out = run(p);
  expect_right(p, out);
  for (size_t i = 0; i < out.size() && !p.integers; ++i) ASSERT_EQ(out[i], p.v[555 * 64 + i % 64]) << i;
}

TEST_P(Attention, NegativeAndZeroScale) {
  Problem p = make({1, 1, 20, 600, 32}, 21);
  p.scale = -0.5f;
  expect_right(p, run(p));
  p.scale = 0;
  expect_right(p, run(p));
}

TEST_P(Attention, NoKeysOrNoQueries) {
  Problem p = make({1, 2, 5, 0, 16}, 22);
  for (float x : run(p)) EXPECT_EQ(x, 0);
  p = make({1, 2, 0, 5, 16}, 23);
  EXPECT_TRUE(run(p).empty());
}

TEST_P(Attention, SameBitsOnAnyNumberOfThreads) {
  const Problem p = make({2, 3, 301, 700, 64}, 24);
  set_thread_count(1);
  const std::vector<float> one = run(p);
  for (int threads : {2, 3, 5}) {
    set_thread_count(threads);
    EXPECT_EQ(run(p), one) << threads << " threads";
  }
}

//! A query's result must not depend on which others are computed beside it.
TEST_P(Attention, SameBitsForAnyQueryCount) {
  const Problem p = make({1, 1, 150, 600, 64}, 25);
  const std::vector<float> all = run(p);
  Problem few = p;
  few.shape.query_tokens = 3;
  few.q.resize(3 * 64);
  const std::vector<float> part = run(few);
  EXPECT_EQ(std::vector<float>(all.begin(), all.begin() + 3 * 64), part);
}

TEST_P(Attention, NaNIsNotHidden) {
  Problem p = make({1, 1, 4, 40, 16}, 26);
  p.q[16] = NAN;
  const std::vector<float> out = run(p);
  EXPECT_TRUE(std::isnan(out[16]));
  EXPECT_FALSE(std::isnan(out[0]));
  p = make({1, 1, 4, 40, 16}, 27);
  p.v[33 * 16 + 3] = NAN;
  const std::vector<float> of_value = run(p);
  EXPECT_TRUE(std::isnan(of_value[3]));
  p = make({1, 1, 4, 40, 16}, 28);
  p.k[33 * 16 + 3] = NAN;
  for (const float x : run(p)) EXPECT_TRUE(std::isnan(x));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (Isa isa : available_isas())
    for (const bool integers : {false, true})
      for (DType dtype : {DType::f32, DType::bf16}) all.push_back({isa, dtype, integers});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Isas, Attention, testing::ValuesIn(cases()), [](const auto& param_info) {
  return std::string(name_of(param_info.param.isa)) + "_" + std::string(prax::name_of(param_info.param.dtype)) +
         (param_info.param.integers ? "_integers" : "");
});

TEST(AttentionErrors, RefusesWhatItCannotDo) {
  float x[16] = {};
  AttentionArguments a;
  a.shape = {1, 1, 1, 1, 16};
  a.out = x;
  EXPECT_THROW(attention(a), Error);  // no operands
  a.query.data = a.key.data = a.value.data = x;
  a.dtype = DType::f16;
  EXPECT_THROW(attention(a), Error);
  a.dtype = DType::f32;
  a.shape.key_tokens = -1;
  EXPECT_THROW(attention(a), Error);
}

}  // namespace
}  // namespace prax::kernels::attention_test
