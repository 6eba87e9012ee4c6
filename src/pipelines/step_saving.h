#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "nn/block_cache.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Arguments that spare a denoiser work, the same in all families: cache, cache_threshold, guidance_start,
//! guidance_stop. By default nothing is spared.
void add_step_saving(std::vector<Argument>& arguments);
//! Error(usage) for values of these that cannot be.
void check_step_saving(const nlohmann::json& arguments);

//! Whether step `index` of `count` is guided by the negative prompt, as the guiders of diffusers (`start`, `stop`) have
//! it: https://arxiv.org/abs/2404.07724.
bool guides_at(const nlohmann::json& arguments, int64_t index, int64_t count);

//! How often a run with a cache called its denoiser.
struct Calls {
  int64_t whole = 0;   //!< that ran all blocks
  int64_t spared = 0;  //!< that ran the first block alone
};
//! Of a run as it stands; nothing for one without a cache.
std::optional<Calls> calls_of(const Run& run);
//! Counts the calls of an earlier pass into a run.
void add_calls(const Run& earlier, Run& run);

//! The cache of a run that asks for one (see nn::BlockCache): each prompt with each clip has its own.
//!
//! What it knows is not kept in the run, which would be many times the latents. The run keeps the latents of the calls
//! that it was learned from, and when the run is gone on with these calls are made again.
class StepCache {
public:
  //! Calls the denoiser with a cache, which is null for a run without.
  using Denoiser = std::function<Tensor(nn::BlockCache* cache)>;

  explicit StepCache(Run& run);

  //! A call for `item` (a number for each prompt with each clip) with its latents, in the run's step.
  Tensor call(int64_t item, const Tensor& latents, const Denoiser& denoise);
  //! Makes the calls again that a run which is gone on with has learned from since step `begin`. `again` makes one
  //! through call(). Error(input) for other steps, items that there are not, and latents of another shape.
  void recall(int64_t begin, int64_t items, const Shape& shape,
              const std::function<void(int64_t item, int64_t step, const Tensor& latents)>& again);
  //! Forgets everything, or the items from `first` on: what is to come has nothing to do with it.
  void clear(int64_t first = 0);

private:
  void keep(int64_t item, const Tensor& latents, size_t most);

  Run& run_;
  std::optional<nn::BlockReuse> reuse_;
  double threshold_ = 0;
  std::map<int64_t, nn::BlockCache> caches_;
  std::optional<int64_t> again_;  //!< the step whose call is made again
};

}  // namespace prax::pipelines
