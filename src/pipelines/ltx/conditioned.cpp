#include "pipelines/ltx/conditioned.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/log.h"
#include "pipelines/arguments.h"
#include "pipelines/closed_loop.h"
#include "pipelines/continuation.h"
#include "pipelines/pictures.h"
#include "schedulers/linear_quadratic.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

//! A clip that stands behind frame 0 gives its first latent frames as extra tokens; the rest takes the video's places.
constexpr int64_t prefix_latent_frames = 2;
//! What the conditions know of a token counts as free of noise from here on.
constexpr float full_strength = 1.0f - 1e-6f;

std::vector<Argument> with_conditions() {
  auto arguments = common_arguments();
  for (Argument& a : arguments)
    if (a.name == "latents") a.help = "latents [B, C, F, H, W] to begin from, with denoise_strength";
  const std::vector<Argument> added{
      {"conditions", "conditions", nullptr, "pictures and clips at frames of the video"},
      {"image", "picture", nullptr, "a picture at frame_index, or several"},
      {"video", "clip", nullptr, "a clip from frame_index on, or several"},
      {"frame_index", "int or ints", 0, "where image or video stand"},
      {"strength", "float or floats", 1.0, "how strongly image or video hold (0 to 1)"},
      {"denoise_strength", "float", 1.0, "share of the steps that is taken, from latents or init_video (0 to 1)"},
      {"init_video", "clip", nullptr, "a clip whose latents are those to begin from (not in the reference)"},
      {"image_cond_noise_scale", "float", 0.15, "noise on fully held latents, for livelier motion"},
      {"resize_mode", "string", "default", resize_mode_help},
      {"loop", "bool", false,
       "the end meets the beginning: the first frame is held at the end, too (not in the reference)"},
      {"extend", "clip", nullptr, "a clip to go on with; the result begins with it (not in the reference)"},
      {"extend_overlap", "int", 9, "last frames of that clip that the new ones are made from"},
  };
  arguments.insert(arguments.begin(), added.begin(), added.end());
  return arguments;
}

//! torch.lerp
float lerp(float from, float to, float weight) {
  return weight < 0.5f ? from + weight * (to - from) : to - (to - from) * (1.0f - weight);
}

//! One latent frame's positions: time in frames (the first latent frame is a single one), then pixels.
void put_held_coords(const models::ltx::VaeConfig& vae, const Grid& grid, int64_t frame_index, int64_t begin,
                     Tensor& coords) {
  const int64_t tokens = coords.dim(1);
  float* to = coords.data<float>();
  int64_t at = begin;
  for (int64_t f = 0; f < grid.frames; ++f) {
    const int64_t time =
        std::max<int64_t>(0, f * vae.temporal_compression_ratio + 1 - vae.temporal_compression_ratio) + frame_index;
    for (int64_t y = 0; y < grid.height; ++y)
      for (int64_t x = 0; x < grid.width; ++x, ++at) {
        to[at] = static_cast<float>(time);
        to[tokens + at] = static_cast<float>(y * vae.spatial_compression_ratio);
        to[2 * tokens + at] = static_cast<float>(x * vae.spatial_compression_ratio);
      }
  }
}

}  // namespace

//! Puts what is held into the latents, or before them as tokens, and the result into the run.
class Conditioned::Holder {
public:
  //! latents [B, C, F, H, W] are changed.
  Holder(const Conditioned& pipeline, Run& run, Tensor& latents)
      : pipeline_(pipeline),
        run_(run),
        latents_(latents),
        rows_(latents.dim(0) * latents.dim(1)),
        grid_{latents.dim(2), latents.dim(3), latents.dim(4)},
        plane_(grid_.height * grid_.width),
        frame_strength_(static_cast<size_t>(grid_.frames), 0.0f) {}

  //! Normalised latents [1 or B, C, f, H, W] at a frame.
  void hold(const Tensor& condition, int64_t frame_index, float strength) {
    any_ = true;
    if (frame_index == 0) return pull(condition, 0, 0, strength);
    const int64_t group = pipeline_.vae_->config().temporal_compression_ratio;
    const int64_t prefix = std::min(condition.dim(2), prefix_latent_frames);
    if (condition.dim(2) > prefix) {
      if (frame_index % group != 0)
        log_warning("a clip at frame " + std::to_string(frame_index) + " is held in groups of " +
                    std::to_string(group) + " frames; multiples of " + std::to_string(group) + " fit best");
      pull(condition, prefix, frame_index / group + prefix, strength);
    }
    Tensor extra = run_.generator.randn({condition.dim(0), condition.dim(1), prefix, grid_.height, grid_.width});
    for (int64_t row = 0; row < extra.dim(0) * extra.dim(1); ++row)
      for (int64_t i = 0; i < prefix * plane_; ++i) {
        float& value = extra.data<float>()[row * prefix * plane_ + i];
        value = lerp(value, condition.data<float>()[row * condition.dim(2) * plane_ + i], strength);
      }
    extras_.push_back({extra, frame_index, strength});
  }

  void finish() {
    const int64_t batch = latents_.dim(0);
    int64_t extra_count = 0;
    for (const Extra& e : extras_) extra_count += e.latents.dim(2) * plane_;
    Tensor coords = Tensor::empty({3, extra_count + grid_.tokens()});
    std::vector<Tensor> tokens;
    std::vector<float> mask;
    int64_t at = 0;
    for (const Extra& e : extras_) {
      const Grid part{e.latents.dim(2), grid_.height, grid_.width};
      put_held_coords(pipeline_.vae_->config(), part, e.frame_index, at, coords);
      const size_t copies = e.latents.dim(0) == batch ? 1 : static_cast<size_t>(batch);
      tokens.push_back(pipeline_.pack(Tensor::concat(std::vector<Tensor>(copies, e.latents), 0)));
      mask.insert(mask.end(), static_cast<size_t>(part.tokens()), e.strength);
      at += part.tokens();
    }
    put_held_coords(pipeline_.vae_->config(), grid_, 0, at, coords);
    tokens.push_back(pipeline_.pack(latents_));
    for (float strength : frame_strength_) mask.insert(mask.end(), static_cast<size_t>(plane_), strength);
    const auto seconds = static_cast<float>(1.0 / run_.request.arguments.at("frame_rate").get<double>());
    for (int64_t i = 0; i < coords.dim(1); ++i) coords.data<float>()[i] *= seconds;
    run_.latents = Tensor::concat(tokens, 1);
    run_.state["coords"] = coords;
    if (!any_) return;
    run_.state["conditioning_mask"] = Tensor::from<float>({static_cast<int64_t>(mask.size())}, mask);
    run_.state["init_latents"] = run_.latents.clone();
  }

private:
  struct Extra {
    Tensor latents;
    int64_t frame_index;
    float strength;
  };

  //! Pulls the video's latent frames from `to` on towards the condition's from `from` on.
  void pull(const Tensor& condition, int64_t from, int64_t to, float strength) {
    const int64_t count = std::min(condition.dim(2) - from, grid_.frames - to);
    const int64_t condition_rows = condition.dim(0) * condition.dim(1);
    for (int64_t row = 0; row < rows_; ++row) {
      const float* wanted = condition.data<float>() + (row % condition_rows * condition.dim(2) + from) * plane_;
      float* values = latents_.data<float>() + (row * grid_.frames + to) * plane_;
      for (int64_t i = 0; i < count * plane_; ++i) values[i] = lerp(values[i], wanted[i], strength);
    }
    for (int64_t f = to; f < to + count; ++f) frame_strength_[static_cast<size_t>(f)] = strength;
  }

  const Conditioned& pipeline_;
  Run& run_;
  Tensor& latents_;
  int64_t rows_;
  Grid grid_;
  int64_t plane_;
  bool any_ = false;
  std::vector<float> frame_strength_;
  std::vector<Extra> extras_;
};

Conditioned::Conditioned(const checkpoint::Folder& folder, const LoadOptions& options)
    : LtxPipeline(folder, options, with_conditions()) {}

std::vector<Conditioned::Condition> Conditioned::conditions(const json& a) {
  std::vector<Condition> found;
  if (!a.at("extend").is_null()) {
    json end = a.at("extend").is_object() ? a.at("extend") : json{{"file", a.at("extend")}};
    end["start"] = -a.at("extend_overlap").get<int64_t>();
    end.erase("frames");
    found.push_back({json(), std::move(end), 0, 1.0});
  }
  if (!a.at("conditions").is_null())
    for (const json& c : a.at("conditions"))
      found.push_back({c.value("image", json()), c.value("video", json()), c.value("frame_index", int64_t{0}),
                       c.value("strength", 1.0)});
  const auto single = single_conditions(a);
  found.insert(found.end(), single.begin(), single.end());
  const int64_t last = a.at("num_frames").get<int64_t>() - 1;
  if (a.at("loop").get<bool>() && last > 0) {
    const auto first = std::find_if(found.begin(), found.end(), [](const Condition& c) { return c.frame_index == 0; });
    if (first != found.end()) {
      Condition end = *first;
      end.frame_index = last;
      if (!end.video.is_null()) {
        if (!end.video.is_object()) end.video = {{"file", end.video}};
        end.video["frames"] = 1;
      }
      found.push_back(std::move(end));
    }
  }
  return found;
}

//! The reference's image and video with frame_index and strength. Of a list it takes the first one only: it pairs them
//! with the one absent video or image.
std::vector<Conditioned::Condition> Conditioned::single_conditions(const json& a) {
  const bool pictures = !a.at("image").is_null();
  const json& media = a.at(pictures ? "image" : "video");
  if (media.is_null()) return {};
  const auto first = [](const json& value) { return value.is_array() ? value.at(0) : value; };
  Condition c;
  (pictures ? c.image : c.video) = first(media);
  c.frame_index = first(a.at("frame_index")).get<int64_t>();
  c.strength = first(a.at("strength")).get<double>();
  return {c};
}

void Conditioned::check_arguments(const json& a) const {
  media::fit_named(a.at("resize_mode").get<std::string>());
  const auto require_share = [](double value, const std::string& name) {
    if (!(value >= 0 && value <= 1))
      throw Error(ErrorKind::usage, name + " is " + json(value).dump() + ", which cannot be", "use 0 to 1");
  };
  require_share(a.at("denoise_strength").get<double>(), "denoise_strength");
  const int media = !a.at("conditions").is_null() + !a.at("image").is_null() + !a.at("video").is_null();
  if (media > 1)
    throw Error(ErrorKind::usage, "conditions, image and video were given together",
                "give several pictures and clips as conditions");
  if (!a.at("extend").is_null()) {
    if (a.at("extend").is_array())
      throw Error(ErrorKind::usage, "several clips were given to extend", "extend one clip, then the result");
    require_range(a, "extend_overlap", 1, a.at("num_frames").get<int64_t>() - 1);
    if (a.at("loop").get<bool>())
      throw Error(ErrorKind::usage, "extend and loop were asked for together", "extend the clip first, then loop");
  }
  if (!a.at("init_video").is_null() && !a.at("latents").is_null())
    throw Error(ErrorKind::usage, "init_video and latents were given together", "give one of them to begin from");
  for (const char* name : {"image", "video"})
    if (a.at(name).is_array() && a.at(name).size() > 1)
      log_warning("of the " + std::to_string(a.at(name).size()) + " in " + name +
                  " the first one is used, as the reference does; give several as conditions");
  const int64_t frames = a.at("num_frames").get<int64_t>();
  for (const Condition& c : conditions(a)) {
    require_share(c.strength, "a condition's strength");
    if (c.frame_index < 0 || c.frame_index >= frames)
      throw Error(ErrorKind::usage,
                  "a condition stands at frame " + std::to_string(c.frame_index) + ", outside of the clip",
                  "the clip has the frames 0 to " + std::to_string(frames - 1));
  }
}

schedulers::FlowMatchEulerScheduler Conditioned::schedule(const Run& run) const {
  const json& a = run.request.arguments;
  if (scheduler_options_ && scheduler_options_->use_dynamic_shifting)
    throw Error(ErrorKind::checkpoint,
                folder_.path().string() + ": conditions need a schedule without dynamic shifting",
                "set \"use_dynamic_shifting\": false in scheduler/scheduler_config.json, as LTX-Video 0.9.5 and later "
                "have it, or use image to video (one picture at frame 0)");
  if (!scheduler_options_) return LtxPipeline::schedule(run);
  schedulers::FlowMatchEulerScheduler scheduler(*scheduler_options_);
  schedulers::TimestepRequest request;
  if (a.at("timesteps").is_null()) {
    for (double sigma : schedulers::linear_quadratic_schedule(a.at("num_inference_steps").get<int64_t>()))
      request.timesteps.push_back(static_cast<float>(sigma) * 1000.0f);
  } else {
    request.timesteps = a.at("timesteps").get<std::vector<double>>();
  }
  scheduler.set_timesteps(request);
  return scheduler;
}

int64_t Conditioned::first_step(const Run& run) const {
  const json& a = run.request.arguments;
  const json& timesteps = a.at("timesteps");
  const int64_t steps =
      timesteps.is_null() ? a.at("num_inference_steps").get<int64_t>() : static_cast<int64_t>(timesteps.size());
  const double strength = a.at("denoise_strength").get<double>();
  if (strength >= 1) return 0;
  return std::max<int64_t>(steps - static_cast<int64_t>(static_cast<double>(steps) * strength), 0);
}

Tensor Conditioned::pixels_of(const Condition& c, const Run& run) const {
  const json& a = run.request.arguments;
  const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
  const int multiple = static_cast<int>(vae_->config().spatial_compression_ratio);
  if (!c.image.is_null()) {
    const Tensor picture =
        media::preprocess(read_picture_argument(c.image), run.format.width, run.format.height, multiple, fit);
    return picture.view({1, picture.dim(0), picture.dim(1), picture.dim(2)});
  }
  media::Clip clip = read_clip_argument(c.video);
  // trim_conditioning_sequence
  const int64_t group = vae_->config().temporal_compression_ratio;
  const int64_t room = run.format.frames - c.frame_index, given = static_cast<int64_t>(clip.frames.size());
  const int64_t kept = (std::min(given, room) - 1) / group * group + 1;
  if (kept < given)
    log_warning("of a clip of " + std::to_string(given) + " frames at frame " + std::to_string(c.frame_index) +
                " the first " + std::to_string(kept) + " are used (" + std::to_string(group) + "k+1 that fit)");
  clip.frames.resize(static_cast<size_t>(kept));
  return media::preprocess_video(clip.frames, run.format.width, run.format.height, multiple, fit);
}

void Conditioned::initial_latents(Run& run, Tensor& latents, const Monitor& monitor, int64_t& encoded) {
  const json& a = run.request.arguments;
  Tensor given = tensor_argument(run.request, "latents");
  if (!a.at("init_video").is_null()) {
    Condition whole;
    whole.video = a.at("init_video");
    const Tensor pixels = pixels_of(whole, run);
    if (pixels.dim(0) != run.format.frames)
      throw Error(ErrorKind::usage,
                  "init_video has " + std::to_string(pixels.dim(0)) + " usable frames, the video is to have " +
                      std::to_string(run.format.frames),
                  "set num_frames to " + std::to_string(pixels.dim(0)));
    const Tensor one = normalize(mode(encode(a, pixels, encoded++, monitor)));
    given = Tensor::concat(std::vector<Tensor>(static_cast<size_t>(latents.dim(0)), one), 0);
  }
  if (!given.defined() || a.at("denoise_strength").get<double>() >= 1) return;
  if (given.shape() != latents.shape())
    throw Error(
        ErrorKind::usage,
        "the given latents are " + to_string(given.shape()) + ", but this clip needs " + to_string(latents.shape()),
        "width, height and num_frames must be those that they were made for");
  const auto scheduler = schedule(run);
  const float sigma = scheduler.sigmas()[static_cast<size_t>(first_step(run))];
  for (int64_t i = 0; i < latents.numel(); ++i)
    latents.data<float>()[i] = sigma * latents.data<float>()[i] + (1.0f - sigma) * given.data<float>()[i];
}

//! prepare_latents, in its order of draws: the noise, then for each condition its sample and, behind frame 0, its
//! noise.
void Conditioned::prepare(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  const Grid grid = latent_grid(a);
  const int64_t batch = a.at("num_videos_per_prompt").get<int64_t>();
  Tensor latents =
      run.generator.randn({batch, transformer_->config().in_channels, grid.frames, grid.height, grid.width});
  int64_t encoded = 0;
  initial_latents(run, latents, monitor, encoded);
  std::vector<std::pair<int64_t, int64_t>> taken;
  Holder holder(*this, run, latents);
  for (const Condition& c : conditions(a)) {
    const Tensor pixels = pixels_of(c, run);
    const int64_t end = c.frame_index + pixels.dim(0);
    for (const auto& [first, last] : taken)
      if (c.frame_index < last && first < end)
        throw Error(ErrorKind::usage,
                    "two conditions overlap: frames " + std::to_string(first) + " to " + std::to_string(last - 1) +
                        " and " + std::to_string(c.frame_index) + " to " + std::to_string(end - 1),
                    "move one of them, or make the clip shorter");
    taken.emplace_back(c.frame_index, end);
    holder.hold(normalize(sample(encode(a, pixels, encoded++, monitor), run.generator)), c.frame_index,
                static_cast<float>(c.strength));
  }
  holder.finish();
  if (a.at("extend").is_null()) return;
  run.format.frames += count_clip_frames(a.at("extend")) - taken.front().second;
  run.state["overlap"] = Tensor::full({1}, static_cast<float>(taken.front().second));
}

int64_t Conditioned::count_passes(const Run& run) const {
  const json& a = run.request.arguments;
  if (!a.at("loop").get<bool>()) return 1;
  for (const Condition& c : conditions(a))
    if (c.frame_index == 0) return 1;
  return 2;
}

//! Of a loop without a picture: the first pass has made the first frame, which is held at both ends now.
void Conditioned::next_pass(Run& run) {
  const Tensor made = video_latents(run, run.latents);
  const int64_t batch = made.dim(0), channels = made.dim(1), plane = made.dim(3) * made.dim(4);
  Tensor first = Tensor::empty({batch, channels, 1, made.dim(3), made.dim(4)});
  for (int64_t i = 0; i < batch * channels; ++i)
    std::copy_n(made.data<float>() + i * made.dim(2) * plane, plane, first.data<float>() + i * plane);
  Tensor latents = run.generator.randn(made.shape());
  Holder holder(*this, run, latents);
  holder.hold(first, 0, 1.0f);
  holder.hold(first, run.format.frames - 1, 1.0f);
  holder.finish();
}

void Conditioned::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  const json& clip = run.request.arguments.at("extend");
  if (run.request.arguments.at("loop").get<bool>()) {
    ClosedLoop closed(vae_->config().temporal_compression_ratio, sink);
    return LtxPipeline::decode(run, index, closed, monitor);
  }
  if (clip.is_null()) return LtxPipeline::decode(run, index, sink, monitor);
  const auto overlap = run.state.find("overlap");
  if (overlap == run.state.end() || overlap->second.numel() != 1)
    throw Error(ErrorKind::input, "the run does not say where the clip goes on", "begin it anew");
  const media::Fit fit = media::fit_named(run.request.arguments.at("resize_mode").get<std::string>());
  Continuation joined(clip, static_cast<int64_t>(overlap->second.data<float>()[0]), run.format, fit, sink);
  LtxPipeline::decode(run, index, joined, monitor);
}

int64_t Conditioned::extra_tokens(const Run& run) const {
  const auto coords = run.state.find("coords");
  if (coords == run.state.end() || coords->second.rank() != 2)
    throw Error(ErrorKind::input, "the run has no positions", "it was begun with another model or version");
  const auto mask = run.state.find("conditioning_mask"), init = run.state.find("init_latents");
  const int64_t tokens = coords->second.dim(1);
  if ((mask == run.state.end()) != (init == run.state.end()) ||
      (mask != run.state.end() && (mask->second.shape() != Shape{tokens} || init->second.rank() != 3 ||
                                   init->second.dim(1) != tokens || init->second.shape() != run.latents.shape())))
    throw Error(ErrorKind::input, "the run's conditions do not fit its latents", "begin it anew");
  return tokens - latent_grid(run.request.arguments).tokens();
}

models::ltx::Rotary Conditioned::positions(const Run& run, Tensor& coords) const {
  coords = run.state.at("coords");
  return transformer_->rotary(coords);
}

//! add_noise_to_image_conditioning_latents
void Conditioned::before_step(Run& run, float timestep) const {
  const auto scale = run.request.arguments.at("image_cond_noise_scale").get<float>();
  const auto held = run.state.find("conditioning_mask");
  if (!(scale > 0) || held == run.state.end()) return;
  const Tensor noise = run.generator.randn(run.latents.shape()), &mask = held->second,
               &init = run.state.at("init_latents");
  const float t = timestep / 1000.0f, square = t * t;
  Tensor latents = run.latents.clone();
  const int64_t width = latents.dim(2), tokens = latents.dim(1);
  for (int64_t row = 0; row < latents.dim(0) * tokens; ++row) {
    if (!(mask.data<float>()[row % tokens] > full_strength)) continue;
    for (int64_t i = row * width; i < (row + 1) * width; ++i)
      latents.data<float>()[i] = init.data<float>()[i] + scale * noise.data<float>()[i] * square;
  }
  run.latents = latents;
}

LtxPipeline::Moment Conditioned::moment(const Run& run, float timestep) const {
  const auto held = run.state.find("conditioning_mask");
  if (held == run.state.end()) return {{}, {timestep}, {1}, nullptr, nullptr, false};
  std::vector<float> timesteps;
  for (float strength : held->second.span<float>())
    timesteps.push_back(std::min(timestep, (1.0f - strength) * 1000.0f));
  return {{}, std::move(timesteps), {held->second.dim(0)}, nullptr, nullptr, false};
}

Tensor Conditioned::step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler,
                         const Tensor& prediction) const {
  const float timestep = scheduler.timesteps()[static_cast<size_t>(schedule_index(run))];
  const int64_t tokens = run.latents.dim(1), width = run.latents.dim(2);
  std::vector<float> of_token = moment(run, timestep).timesteps;
  of_token.resize(static_cast<size_t>(tokens), of_token.front());
  const Tensor timesteps = Tensor::from<float>({1, tokens}, of_token);
  Tensor velocity = Tensor::empty(prediction.shape());
  for (int64_t i = 0; i < velocity.numel(); ++i) velocity.data<float>()[i] = -prediction.data<float>()[i];
  Tensor next = scheduler.step(velocity, 0, run.latents, &run.global_generator, &timesteps);
  const auto held = run.state.find("conditioning_mask");
  if (held == run.state.end()) return next;
  // Tokens that are cleaner than this step's noise stay as they are.
  for (int64_t row = 0; row < run.latents.dim(0) * tokens; ++row)
    if (!(timestep / 1000.0f - 1e-6f < 1.0f - held->second.data<float>()[row % tokens]))
      std::copy_n(run.latents.data<float>() + row * width, width, next.data<float>() + row * width);
  return next;
}

}  // namespace prax::pipelines::ltx
