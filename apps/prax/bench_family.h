#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bench_models.h"
#include "bench_run.h"
#include "checkpoint/folder.h"
#include "checkpoint/weights.h"
#include "operations.h"
#include "pipelines/pipeline.h"
#include "tensor/tensor.h"

//! How bench sees the families: each says in a file of its own (bench_<family>.cpp) which of its networks can be
//! measured, and how one is made and fed. bench_models.cpp times them all alike.
namespace prax::app {

constexpr uint64_t bench_seed = 1;       //!< of weights and inputs
constexpr float some_timestep = 500.0f;  //!< of a step in the middle

//! Once through a network, which is what is timed. Calls back after each layer (or latent frame) and gives something
//! that must be finite.
using Pass = std::function<Tensor(const std::function<void()>& on_layer)>;
//! Makes the inputs of a pass, which is not timed: those that were asked for, or the smallest that reach all weights.
using Feed = std::function<Pass(bool smallest)>;

//! A network with random weights that waits to be measured, whole or in part.
struct Subject {
  std::string what;                     //!< one sentence: the work that is timed
  int64_t tokens = 0, text_tokens = 0;  //!< of a denoiser or a text encoder
  std::string parts = "layers";         //!< what it is measured in
  int64_t measured = 0, all = 0;        //!< how many parts of how many; both 0 where it is whole
  Operations whole, part;               //!< of all of it, and of what is measured
  uint64_t packed = 0;                  //!< weights that are packed into memory, those of what is measured
  std::string memory_hint;              //!< what to do where they do not fit
  std::function<Feed()> build;
};

//! What bench knows of a class.
struct Kind {
  std::string class_name, component;
  //! Fills in what the options leave open.
  void (*complete)(const checkpoint::Config& config, BenchOptions& options);
  Subject (*subject)(const Manifest& manifest, const BenchOptions& options);
};

//! Operations of the parts of a run; 0 for those that cannot be counted.
struct RunOperations {
  double text = 0, step = 0, decode = 0;
};

//! What bench knows of a family.
struct Family {
  std::vector<Kind> kinds;
  //! Those of a folder's run, where its denoiser is one of `kinds`.
  RunOperations (*of_run)(const checkpoint::Folder& folder, const pipelines::Run& run) = nullptr;
  bool steps_differ = false;  //!< a step takes longer than another, so that only their mean says something
};

Family ltx_family();
Family cogvideox_family();
Family mochi_family();
Family pyramid_flow_family();
//! The text encoders, which belong to no family.
Family text_family();

//! All of them.
const std::vector<Family>& families();

//! Notes the times of a measurement's runs, and the memory that the process took meanwhile.
void finish(Measurement& measurement, const Times& times, MemoryWatch& watch);

//! Latents of a clip.
struct LatentGrid {
  int64_t frames, height, width;
  int64_t pixels() const { return frames * height * width; }
};

//! That of the options' clip. Error(usage) for a size that is no multiple of `multiple`, and for a number of frames
//! that is none of `temporal` and one more.
LatentGrid latent_grid(const BenchOptions& options, int64_t spatial, int64_t temporal, int64_t multiple);

//! A clip where the options leave it open.
void complete_clip(BenchOptions& options, int width, int height, int64_t frames);

//! "121 frames of 768x512"
std::string clip_text(const BenchOptions& options);

//! How many of all layers to make. Error(usage) for fewer than two, and more than there are.
int64_t layers_to_measure(const Manifest& manifest, const BenchOptions& options, int64_t all);

//! The configuration with another value.
checkpoint::Config with(const checkpoint::Config& config, const char* key, const nlohmann::json& value);

//! Elements of the tensors that `make` asks for, those whose names begin with one of `prefixes`.
uint64_t parameters(const std::function<void(const checkpoint::Weights&)>& make,
                    const std::vector<std::string>& prefixes = {""});

checkpoint::Weights random_weights();

//! A subject that is a pass of a denoiser, but for its operations and how it is made.
Subject denoiser_subject(const std::string& what, int64_t tokens, int64_t text_tokens, int64_t layers,
                         int64_t all_layers);

//! The subject that is one pass of a Network for one clip, where the configuration says in num_layers how many layers
//! there are; `feed` makes its inputs.
template <typename Network>
Subject one_pass(const Manifest& m, const BenchOptions& o, int64_t tokens,
                 const std::function<Feed(std::shared_ptr<const Network>)>& feed) {
  using Sizes = std::decay_t<decltype(std::declval<Network>().config())>;
  const auto whole = Sizes::from(m.config);
  const int64_t layers = layers_to_measure(m, o, whole.num_layers);
  const auto config = with(m.config, "num_layers", layers);
  Subject s =
      denoiser_subject("one pass for one clip of " + clip_text(o), tokens, o.text_tokens, layers, whole.num_layers);
  s.whole = operations(whole, tokens, o.text_tokens);
  s.part = operations(Sizes::from(config), tokens, o.text_tokens);
  s.packed = parameters([&](const checkpoint::Weights& w) { Network(config, w, o.dtype); });
  s.build = [config, feed, dtype = o.dtype] {
    return feed(std::make_shared<const Network>(config, random_weights(), dtype));
  };
  return s;
}

//! A video decoder, made and called.
struct Decoder {
  using Emit = std::function<void(const Tensor& picture)>;
  //! Latents are [channels, frames, height, width].
  using Decode = std::function<void(const Tensor& latents, const Emit& emit, const std::function<void()>& on_frame)>;

  LatentGrid grid;  //!< of the clip
  int64_t channels;
  std::function<Operations(const LatentGrid&)> operations;
  uint64_t parameters;
  std::function<Decode()> build;
};

//! The subject that it makes. Error(usage) for more latent frames than the clip has.
Subject decoder_subject(const BenchOptions& options, const Decoder& decoder);

//! The subject that is the decoder of an autoencoder; `decode` calls it.
template <typename Vae>
Subject decoding(const Manifest& m, const BenchOptions& o, const LatentGrid& grid,
                 const std::function<void(Vae&, const Tensor& latents, const Decoder::Emit& emit,
                                          const std::function<void()>& on_frame)>& decode) {
  using Sizes = std::decay_t<decltype(std::declval<Vae>().config())>;
  const auto sizes = Sizes::from(m.config);
  Decoder d;
  d.grid = grid;
  d.channels = sizes.latent_channels;
  d.operations = [sizes](const LatentGrid& g) { return operations(sizes, g.frames, g.height, g.width); };
  d.parameters =
      parameters([&](const checkpoint::Weights& w) { Vae(m.config, w, o.dtype); }, {"decoder.", "post_quant_conv."});
  d.build = [decode, config = m.config, dtype = o.dtype]() -> Decoder::Decode {
    const auto vae = std::make_shared<Vae>(config, random_weights(), dtype);
    return [decode, vae](const Tensor& latents, const Decoder::Emit& emit, const std::function<void()>& on_frame) {
      decode(*vae, latents, emit, on_frame);
    };
  };
  return decoder_subject(o, d);
}

}  // namespace prax::app
