#include "pipelines/memory_plan.h"

#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "checkpoint/folder.h"
#include "pipelines/denoisers.h"

namespace prax::pipelines {

namespace {

using nlohmann::json;

//! A way of decoding with less memory: arguments of the family, by the reference's names.
struct Saving {
  json arguments;
  std::string words;
};

//! From the quickest on; each takes less than the one before.
std::vector<Saving> savings_of(const Pipeline& pipeline, const Request& request) {
  const auto& all = pipeline.arguments();
  const auto takes = [&](const char* name) {
    return !request.arguments.contains(name) &&
           std::any_of(all.begin(), all.end(), [&](const Argument& a) { return a.name == name; });
  };
  std::vector<Saving> savings{{json::object(), ""}};
  const auto add = [&](json arguments, const std::string& words) {
    json together = savings.back().arguments;
    together.update(arguments);
    const bool more = !savings.back().words.empty() && !arguments.contains("vae_tiling");
    savings.push_back({together, more ? savings.back().words + ", " + words : words});
  };
  if (takes("stream")) add({{"stream", false}}, "decoding at the end");
  if (!takes("vae_tiling")) return savings;
  if (takes("save_memory")) {  // the family whose tiles have two sizes
    add({{"vae_tiling", true}, {"save_memory", false}}, "decoding at the end, in tiles of 512 pixels");
    add({{"vae_tiling", true}, {"save_memory", true}}, "decoding at the end, in tiles of 256 pixels");
    return savings;
  }
  for (const int64_t side : {512, 256, 128}) {
    const json tiling = pipeline.tiling_near(side);
    add({{"vae_tiling", tiling}}, "decoding in tiles of " + tiling.at("tile_sample_min_width").dump() + "x" +
                                      tiling.at("tile_sample_min_height").dump() + " pixels");
  }
  return savings;
}

//! Bytes of the denoiser's weights when all of them are packed.
uint64_t packed_bytes(const checkpoint::Folder& folder, const LoadOptions& options) {
  uint64_t most = 0;
  for (const std::string& name : denoisers_of(folder)) {
    const auto noting = std::make_shared<checkpoint::NotingSource>(folder.weights(name, options.variant));
    describe_denoiser(folder.config(name), noting, options.dtype);
    uint64_t bytes = 0;
    for (const auto& product : noting->products())
      bytes += static_cast<uint64_t>(product.in * product.out) * size_of(product.dtype);
    most = std::max(most, bytes);
  }
  return most;
}

class Planner {
public:
  Planner(const std::filesystem::path& path, const LoadOptions& options, const Request& request, uint64_t limit,
          const SinkMemory& sink)
      : path_(path), limit_(limit), sink_(sink), plan_{options, request, {}, {}} {}

  MemoryPlan make(bool may_quantize) {
    foresee();
    if (!fits()) choose_decoding();
    if (!fits() && may_quantize && plan_.load.dtype == DType::bf16) {
      plan_.load.dtype = DType::i8;
      foresee();
    }
    if (!fits()) choose_residency();
    if (!fits()) {
      const StageMemory& most = plan_.forecast.largest();
      const auto needed = static_cast<uint64_t>(static_cast<double>(most.anonymous) / usable_share) + 1;
      throw Error(ErrorKind::resource,
                  "this clip takes at least " + human_bytes(needed) + " of memory (stage " + most.stage +
                      ", with all that saves memory), more than the limit of " + human_bytes(limit_),
                  "raise the limit, or choose a smaller --size or fewer --frames");
    }
    std::string words = plan_.load.dtype == DType::i8 ? "int8" : std::string(name_of(plan_.load.dtype));
    words += residency_.empty() ? ", all weights packed" : ", " + residency_;
    words += decoding_.empty() ? ", decoding whole pictures" : ", " + decoding_;
    plan_.choice = words;
    return std::move(plan_);
  }

private:
  // What a forecast may be wrong by.
  static constexpr double usable_share = 0.94;

  uint64_t usable() const { return static_cast<uint64_t>(static_cast<double>(limit_) * usable_share); }
  void foresee() { plan_.forecast = forecast_memory(path_, plan_.load, plan_.request, sink_); }
  bool fits() const { return plan_.forecast.anonymous() <= usable(); }
  static uint64_t coding(const MemoryPlan& plan) {
    return std::max(plan.forecast.anonymous("decode"), plan.forecast.anonymous("encode"));
  }
  bool coding_fits() const { return coding(plan_) <= usable(); }

  //! The first way of decoding that fits, else the one that takes least.
  void choose_decoding() {
    std::vector<Saving> savings;
    {
      const auto pipeline = load(path_, plan_.load);
      savings = savings_of(*pipeline, plan_.request);
    }
    const json asked = plan_.request.arguments;
    MemoryPlan least = plan_;
    for (auto saving = savings.begin() + 1; saving != savings.end() && !coding_fits(); ++saving) {
      plan_.request.arguments = asked;
      plan_.request.arguments.update(saving->arguments);
      foresee();
      if (coding(plan_) >= coding(least)) continue;
      least = plan_;
      decoding_ = saving->words;
    }
    plan_ = std::move(least);
  }

  //! As many weights as there is room for.
  void choose_residency() {
    constexpr double least_gain = 0.98, first_guess = 0.95;
    const auto all = packed_bytes(checkpoint::Folder::open(path_), plan_.load);
    plan_.load.packed_weights = 0;
    foresee();
    residency_ = "the denoiser's weights from the file in each step";
    if (!fits() || all == 0) return;
    const uint64_t without = std::max(plan_.forecast.anonymous("denoise"), plan_.forecast.anonymous("decode"));
    auto budget = static_cast<double>(usable() - std::min(usable(), without)) * first_guess;
    const MemoryPlan streamed = plan_;
    for (; budget / static_cast<double>(all) > 1 - least_gain; budget *= 0.9) {
      plan_.load.packed_weights = static_cast<uint64_t>(budget);
      foresee();
      if (!fits()) continue;
      const auto percent = static_cast<int>(100 * std::min(1.0, budget / static_cast<double>(all)));
      residency_ =
          std::to_string(percent) + " % of the denoiser's weights packed, the others from the file in each step";
      return;
    }
    plan_ = streamed;
  }

  std::filesystem::path path_;
  uint64_t limit_;
  SinkMemory sink_;
  MemoryPlan plan_;
  std::string decoding_, residency_;
};

}  // namespace

MemoryPlan plan_memory(const std::filesystem::path& folder, const LoadOptions& options, const Request& request,
                       uint64_t limit, bool may_quantize, const SinkMemory& sink) {
  return Planner(folder, options, request, limit, sink).make(may_quantize);
}

json Pipeline::tiling_near(int64_t side) const {
  const int64_t stride = side * 3 / 4;
  return {{"tile_sample_min_height", side},
          {"tile_sample_min_width", side},
          {"tile_sample_stride_height", stride},
          {"tile_sample_stride_width", stride}};
}

}  // namespace prax::pipelines
