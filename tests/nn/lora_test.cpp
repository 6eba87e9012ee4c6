#include "nn/lora.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"
#include "nn/linear.h"
#include "support/golden.h"
#include "tensor/random.h"

namespace prax::nn::lora_test {
namespace {

using checkpoint::LoraMode;
using checkpoint::LoraSet;
using checkpoint::Weights;
using Tensors = std::map<std::string, Tensor>;

class InMemory : public checkpoint::TensorSource {
public:
  explicit InMemory(Tensors tensors) : tensors_(std::move(tensors)) {}
  bool contains(const std::string& name) const override { return tensors_.contains(name); }
  Tensor get(const std::string& name, const Shape& shape) override { return tensors_.at(name).view(shape); }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "memory"; }

private:
  Tensors tensors_;
};

constexpr int64_t in = 40, outs[] = {24, 33, 7};
constexpr const char* names[] = {"q", "k", "v"};

//! The layers q, k, v and a stored pair of halves, two LoRA files for some of them, and the same layers with the
//! changes added up in double.
struct Model {
  Model() {
    Generator random(5);
    Tensors changed;
    const auto layer = [&](const std::string& name, int64_t out) {
      weights[name + ".weight"] = random.randn({out, in});
      weights[name + ".bias"] = random.randn({out});
    };
    for (int i = 0; i < 3; ++i) layer(names[i], outs[i]);
    layer("ff", 48);
    summed = weights;
    for (auto& [name, tensor] : summed) tensor = tensor.clone();
    const auto change = [&](Tensors& file, const std::string& name, int64_t rank, double scale, bool bias) {
      const int64_t out = weights.at(name + ".weight").dim(0);
      const Tensor a = random.randn({rank, in}), b = random.randn({out, rank});
      file[name + ".lora_A.weight"] = a;
      file[name + ".lora_B.weight"] = b;
      for (int64_t i = 0; i < out; ++i)
        for (int64_t j = 0; j < in; ++j) {
          double sum = 0;
          for (int64_t r = 0; r < rank; ++r)
            sum += double{b.data<float>()[i * rank + r]} * double{a.data<float>()[r * in + j]};
          summed[name + ".weight"].data<float>()[i * in + j] += static_cast<float>(scale * sum);
        }
      if (!bias) return;
      const Tensor values = file[name + ".lora_B.bias"] = random.randn({out});
      for (int64_t i = 0; i < out; ++i)
        summed[name + ".bias"].data<float>()[i] += static_cast<float>(scale) * values.data<float>()[i];
    };
    Tensors first, second;
    change(first, "q", 3, 0.5, false);
    change(first, "v", 5, 0.5, true);
    change(first, "ff", 2, 0.5, true);
    change(second, "q", 4, -0.25, false);
    checkpoint::write_safetensors(folder / "first.safetensors", first);
    checkpoint::write_safetensors(folder / "second.safetensors", second);
  }

  Weights plain() const { return Weights(std::make_shared<InMemory>(summed)); }
  Weights with_loras(LoraMode mode) const {
    const auto set = LoraSet::open({{folder / "first.safetensors", 0.5}, {folder / "second.safetensors", -0.25}}, mode);
    return Weights(std::make_shared<InMemory>(weights), "", set);
  }

  checkpoint::TemporaryFolder folder;
  Tensors weights, summed;
};

const Model& model() {
  static const Model one;
  return one;
}

using Build = std::function<Linear(const Weights&, DType, Residency)>;
//! Runs on layers with the changes added up and on those with LoRA files in each mode, on each ISA.
void expect_the_sum(const Build& build, std::initializer_list<Residency> residencies) {
  Generator random(9);
  const int64_t rows = 37;
  const Tensor x = random.randn({rows, in});
  test::on_every_isa([&] {
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const Residency residency : residencies) {
        const Linear plain = build(model().plain(), dtype, residency);
        const int64_t out = plain.out();
        Generator more(2);
        const Tensor factor = more.randn({rows, out}), gate = more.randn({rows, out}), base = more.randn({rows, out});
        std::vector<Fusion> fusions(4);
        fusions[1].activation = kernels::Activation::gelu_tanh;
        fusions[1].factor = &factor;
        fusions[2].gate = gate.data<float>();
        fusions[2].residual = &base;
        fusions[3] = fusions[1];
        fusions[3].gate = gate.data<float>();
        fusions[3].gate_stride = out;
        fusions[3].residual = &base;
        for (const LoraMode mode : {LoraMode::automatic, LoraMode::fused, LoraMode::on_the_fly}) {
          Linear changed = build(model().with_loras(mode), dtype, residency);
          for (const Fusion& fusion : fusions) {
            const Tensor want = plain(x, DType::f32, fusion), got = changed(x, DType::f32, fusion);
            EXPECT_LT(test::relative_error(got, want), dtype == DType::f32 ? 2e-6 : 1e-2);
            changed.release();
            const Tensor again = changed(x, DType::f32, fusion);
            EXPECT_TRUE(std::equal(got.span<float>().begin(), got.span<float>().end(), again.span<float>().begin()));
          }
        }
      }
  });
}

TEST(LowRank, PlainLayer) {
  expect_the_sum([](const Weights& w, DType dtype, Residency r) { return Linear(w["q"], in, outs[0], true, dtype, r); },
                 {Residency::packed, Residency::streamed});
}

TEST(LowRank, LayerWithoutChanges) {
  expect_the_sum([](const Weights& w, DType dtype, Residency r) { return Linear(w["k"], in, outs[1], true, dtype, r); },
                 {Residency::packed, Residency::streamed});
}

TEST(LowRank, StackedLayers) {
  expect_the_sum(
      [](const Weights& w, DType dtype, Residency r) {
        return Linear({w["q"], w["k"], w["v"]}, in, {outs[0], outs[1], outs[2]}, true, dtype, r);
      },
      {Residency::packed, Residency::streamed});
}

TEST(LowRank, Halves) {
  for (size_t half : {0, 1})
    expect_the_sum(
        [&](const Weights& w, DType dtype, Residency) { return Linear::halves(w["ff"], in, 24, true, dtype)[half]; },
        {Residency::packed});
}

TEST(LowRank, Patches) {
  expect_the_sum(
      [](const Weights& w, DType dtype, Residency) {
        return Linear::of_patches(w["ff"], {48, 10, 2, 2}, true, dtype);
      },
      {Residency::packed});
}

TEST(LowRank, ABiasComesWhereThereWasNone) {
  const Tensor x = Tensor::zeros({1, in});
  const Linear l(model().with_loras(LoraMode::fused)["ff"], in, 48, false, DType::f32);
  const Tensor y = l(x, DType::f32);
  const Tensor with = model().summed.at("ff.bias"), without = model().weights.at("ff.bias");
  for (int64_t i = 0; i < 48; ++i)
    EXPECT_NEAR(y.data<float>()[i], with.data<float>()[i] - without.data<float>()[i], 1e-6);
}

TEST(LowRank, DeepAndManyRows) {
  // Several groups of depth, several blocks of rows and columns, a rank that is no multiple of anything.
  const int64_t k = 700, n = 600, rank = 19, rows = 300;
  Generator random(11);
  const Tensor w = random.randn({n, k}), a = random.randn({rank, k}), b = random.randn({n, rank});
  const Tensor x = random.randn({rows, k});
  checkpoint::TemporaryFolder folder;
  checkpoint::write_safetensors(folder / "x.safetensors",
                                {{"l.lora_A.weight", a.to(DType::bf16)}, {"l.lora_B.weight", b.to(DType::f16)}});
  const auto source = std::make_shared<InMemory>(Tensors{{"l.weight", w}});
  test::on_every_isa([&] {
    const auto run = [&](LoraMode mode, Residency residency) {
      const Weights weights(source, "l", LoraSet::open({{folder / "x.safetensors", 0.1}}, mode));
      return Linear(weights, k, n, false, DType::f32, residency)(x, DType::f32);
    };
    const Tensor fused = run(LoraMode::fused, Residency::packed);
    for (const Residency residency : {Residency::packed, Residency::streamed})
      EXPECT_LT(test::relative_error(run(LoraMode::on_the_fly, residency), fused), 1e-5);
    EXPECT_GT(test::relative_error(Linear(Weights(source, "l"), k, n, false, DType::f32)(x, DType::f32), fused), 0.1);
  });
}

TEST(LowRank, ReadsNothingWhereTheModelHasNoData) {
  const auto source = std::make_shared<checkpoint::ManifestSource>();
  const auto set = LoraSet::open({{model().folder / "first.safetensors"}});
  const Weights weights(source, "", set);
  Linear(weights["v"], in, outs[2], true, DType::f32);
  EXPECT_EQ(source->requested().size(), 2u);
}

}  // namespace
}  // namespace prax::nn::lora_test
