#include "pipelines/step_saving.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace prax::pipelines {

namespace {

using nlohmann::json;

constexpr const char* first_block = "first-block";
constexpr const char* extrapolate = "extrapolate";
constexpr double first_block_threshold = 0.05;  // that of diffusers
constexpr double extrapolate_threshold = 0.05;

//! Where a run counts the calls of its denoiser.
constexpr const char* calls_state = "denoiser_calls";
//! Latents of a call: "cache.ITEM.STEP".
constexpr std::string_view latents_prefix = "cache.";

struct KeptLatents {
  int64_t item, step;
  std::string name;
};

std::vector<KeptLatents> kept_latents(const Run& run) {
  std::vector<KeptLatents> kept;
  for (const auto& [name, tensor] : run.state) {
    if (!name.starts_with(latents_prefix)) continue;
    const size_t dot = name.find('.', latents_prefix.size());
    try {
      kept.push_back({std::stoll(name.substr(latents_prefix.size())),
                      std::stoll(name.substr(std::min(dot, name.size() - 1) + 1)), name});
    } catch (const std::logic_error&) {
      throw Error(ErrorKind::input, "the run's \"" + name + "\" is none of a cache's", "begin it anew");
    }
  }
  return kept;
}

void count(Run& run, const Calls& more) {
  Calls calls = calls_of(run).value_or(Calls{});
  calls.whole += more.whole;
  calls.spared += more.spared;
  run.state[calls_state] = Tensor::from<int64_t>({2}, std::vector<int64_t>{calls.whole, calls.spared});
}

}  // namespace

void add_step_saving(std::vector<Argument>& arguments) {
  const Argument own[] = {
      {"cache", "string", nullptr,
       "spares blocks of the denoiser in steps that resemble earlier ones: first-block, extrapolate"},
      {"cache_threshold", "float", nullptr, "how far the first block may differ for that: larger is faster and worse"},
      {"guidance_start", "float", 0.0, "share of the steps before which there is no guidance (0 to 1)"},
      {"guidance_stop", "float", 1.0, "share of the steps behind which there is no guidance (0 to 1)"},
  };
  arguments.insert(arguments.end(), std::begin(own), std::end(own));
}

void check_step_saving(const json& a) {
  if (const json& cache = a.at("cache"); !cache.is_null() && cache != first_block && cache != extrapolate)
    throw Error(ErrorKind::usage, "cache is " + cache.dump() + ", which there is not",
                std::string("use ") + first_block + " or " + extrapolate);
  if (const json& threshold = a.at("cache_threshold"); !threshold.is_null()) {
    if (!(threshold.get<double>() >= 0))
      throw Error(ErrorKind::usage, "cache_threshold is " + threshold.dump() + ", which cannot be", "use 0 or more");
    if (a.at("cache").is_null())
      throw Error(ErrorKind::usage, "cache_threshold was given without a cache",
                  std::string("choose one with --cache ") + first_block + " or " + extrapolate);
  }
  const double start = a.at("guidance_start").get<double>(), stop = a.at("guidance_stop").get<double>();
  if (!(start >= 0 && start <= stop && stop <= 1))
    throw Error(ErrorKind::usage,
                "guidance from " + a.at("guidance_start").dump() + " to " + a.at("guidance_stop").dump() +
                    " of the steps cannot be",
                "guidance_start and guidance_stop are 0 to 1, in this order");
}

bool guides_at(const json& a, int64_t index, int64_t count) {
  const auto step_of = [&](const char* name) {
    return static_cast<int64_t>(a.at(name).get<double>() * static_cast<double>(count));
  };
  return step_of("guidance_start") <= index && index < step_of("guidance_stop");
}

std::optional<Calls> calls_of(const Run& run) {
  const auto it = run.state.find(calls_state);
  if (it == run.state.end()) return std::nullopt;
  if (it->second.dtype() != DType::i64 || it->second.numel() != 2)
    throw Error(ErrorKind::input, std::string("the run's ") + calls_state + " are no two whole numbers",
                "begin it anew");
  const auto counts = it->second.span<int64_t>();
  return Calls{counts[0], counts[1]};
}

void add_calls(const Run& earlier, Run& run) {
  if (const auto calls = calls_of(earlier)) count(run, *calls);
}

StepCache::StepCache(Run& run) : run_(run) {
  const json& a = run.request.arguments;
  if (a.at("cache").is_null()) return;
  reuse_ = a.at("cache") == first_block ? nn::BlockReuse::first_block : nn::BlockReuse::extrapolate;
  threshold_ = *reuse_ == nn::BlockReuse::first_block ? first_block_threshold : extrapolate_threshold;
  if (const json& threshold = a.at("cache_threshold"); !threshold.is_null()) threshold_ = threshold.get<double>();
}

Tensor StepCache::call(int64_t item, const Tensor& latents, const Denoiser& denoise) {
  if (!reuse_) return denoise(nullptr);
  nn::BlockCache& cache = caches_.try_emplace(item, *reuse_, threshold_).first->second;
  cache.next(again_.value_or(run_.step), again_.has_value());
  Tensor answer = denoise(&cache);
  if (again_) return answer;
  count(run_, cache.ran_whole() ? Calls{1, 0} : Calls{0, 1});
  if (cache.ran_whole()) keep(item, latents, cache.memory());
  return answer;
}

void StepCache::keep(int64_t item, const Tensor& latents, size_t most) {
  std::vector<KeptLatents> own = kept_latents(run_);
  std::erase_if(own, [&](const KeptLatents& each) { return each.item != item; });
  std::sort(own.begin(), own.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  for (size_t i = 0; i + most <= own.size(); ++i) run_.state.erase(own[i].name);
  run_.state[std::string(latents_prefix) + std::to_string(item) + "." + std::to_string(run_.step)] = latents.clone();
}

void StepCache::recall(int64_t begin, int64_t items, const Shape& shape,
                       const std::function<void(int64_t item, int64_t step, const Tensor& latents)>& again) {
  std::vector<KeptLatents> kept = kept_latents(run_);
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  for (const KeptLatents& each : kept) {
    const Tensor latents = run_.state.at(each.name);
    if (!reuse_ || each.step < begin || each.step >= run_.step || each.item < 0 || each.item >= items ||
        latents.shape() != shape || latents.dtype() != DType::f32)
      throw Error(ErrorKind::input, "the run's \"" + each.name + "\" does not fit it", "begin it anew");
    again_ = each.step;
    again(each.item, each.step, latents);
  }
  again_.reset();
}

void StepCache::clear(int64_t first) {
  caches_.erase(caches_.lower_bound(first), caches_.end());
  if (!reuse_) return;
  for (const KeptLatents& each : kept_latents(run_))
    if (each.item >= first) run_.state.erase(each.name);
}

}  // namespace prax::pipelines
