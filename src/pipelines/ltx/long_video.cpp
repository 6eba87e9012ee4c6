#include "pipelines/ltx/long_video.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <variant>

#include "base/error.h"
#include "models/ltx/tiling.h"
#include "pipelines/arguments.h"
#include "pipelines/guidance.h"
#include "pipelines/pictures.h"
#include "tensor/memory.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

constexpr const char* ancestral = "LTXEulerAncestralRFScheduler";
constexpr const char* flow_match = "FlowMatchEulerDiscreteScheduler";

std::vector<Argument> window_arguments() {
  std::vector<Argument> arguments{
      {"prompt_segments", "segments", nullptr, "prompts by windows, instead of prompts separated by |"},
      {"height", "int", 512, "height in pixels"},
      {"width", "int", 704, "width in pixels"},
      {"num_frames", "int", 161, "frames of the whole clip"},
      {"frame_rate", "float", 25.0, "frames a second"},
      {"guidance_scale", "float", 1.0, "how strongly the prompt guides; 1 or less switches guidance off"},
      {"guidance_rescale", "float", 0.0, "takes overexposure out of strong guidance (0 to 1)"},
      {"num_inference_steps", "int", 8, "noise levels of each window; the last one is not stepped from"},
      {"sigmas", "floats", nullptr, "own noise levels (1 to 0) of each window, instead of num_inference_steps"},
      {"seed", "int", 0, "of the windows' noise: each has the seed plus its first latent frame"},
      {"cond_image", "picture", nullptr, "the first frame"},
      {"cond_strength", "float", 0.5, "how strongly the first frame holds (0 to 1)"},
      {"latents", "file", nullptr, "latents [1, C, F, H, W] that the held frames are taken from"},
      {"temporal_tile_size", "int", 80, "frames of a window"},
      {"temporal_overlap", "int", 24, "frames that a window shares with the one before"},
      {"temporal_overlap_cond_strength", "float", 0.5, "how strongly the end of the window before holds (0 to 1)"},
      {"adain_factor", "float", 0.25, "how far later windows take the first one's look (0 to 1)"},
      {"guidance_latents", "file", nullptr, "latents [1, C, F, H, W] of a clip to follow"},
      {"guiding_strength", "float", 1.0, "how strongly guidance_latents hold (0 to 1)"},
      {"negative_index_latents", "file", nullptr,
       "latents [1, C, 1, H, W] to look like; those of cond_image when absent"},
      {"negative_index_strength", "float", 1.0, "how strongly they hold (0 to 1)"},
      {"skip_steps_sigma_threshold", "float", 1.0, "steps with more noise than this are left out; 0 keeps all"},
      {"decode_timestep", "float", 0.05, "timestep at which the video is decoded"},
      {"decode_noise_scale", "float", 0.025, "share of noise mixed in before decoding"},
      {"decode_horizontal_tiles", "int", 4, "tiles across while decoding"},
      {"decode_vertical_tiles", "int", 4, "tiles down while decoding"},
      {"decode_overlap", "int", 3, "latent pixels that tiles overlap by"},
      {"max_sequence_length", "int", 128, "tokens that a prompt is padded or cut to"},
      {"vae_tiling", "tiling", nullptr, tiling_help},
      {"scheduler", "string", nullptr, "LTXEulerAncestralRFScheduler, or FlowMatchEulerDiscreteScheduler"},
      {"resize_mode", "string", "default", resize_mode_help},
  };
  add_step_saving(arguments);
  return arguments;
}

//! adain_normalize_latents: the statistics of each channel pulled towards those of the reference.
Tensor take_look(const Tensor& latents, const Tensor& reference, float factor) {
  constexpr float epsilon = 1e-6f;
  Tensor out = Tensor::empty(latents.shape());
  const int64_t count = latents.numel() / latents.dim(1), reference_count = reference.numel() / reference.dim(1);
  for (int64_t c = 0; c < latents.dim(1); ++c) {
    const Moments own = moments(latents.data<float>() + c * count, count);
    const Moments wanted = moments(reference.data<float>() + c * reference_count, reference_count);
    const float mean = (1.0f - factor) * own.mean + factor * wanted.mean;
    const float deviation = std::max((1.0f - factor) * own.deviation + factor * wanted.deviation, epsilon);
    for (int64_t i = c * count; i < (c + 1) * count; ++i)
      out.data<float>()[i] = (latents.data<float>()[i] - own.mean) / (own.deviation + epsilon) * deviation + mean;
  }
  return out;
}

//! get_latent_coords: times in frames from latent frame `first` on (negative: before the clip), rows and columns in
//! pixels, written from token `at` on.
void put_window_coords(const models::ltx::VaeConfig& vae, const Grid& grid, int64_t first, int64_t at, Tensor& coords) {
  const int64_t step = vae.temporal_compression_ratio, tokens = coords.dim(1);
  const int64_t begin = first <= 0 ? first * step : 1 + (first - 1) * step;
  for (int64_t f = 0; f < grid.frames; ++f) {
    const int64_t time = begin == 0 ? std::max<int64_t>(0, f * step + 1 - step) : f * step + begin;
    for (int64_t y = 0; y < grid.height; ++y)
      for (int64_t x = 0; x < grid.width; ++x, ++at) {
        coords.data<float>()[at] = static_cast<float>(time);
        coords.data<float>()[tokens + at] = static_cast<float>(y * vae.spatial_compression_ratio);
        coords.data<float>()[2 * tokens + at] = static_cast<float>(x * vae.spatial_compression_ratio);
      }
  }
}

std::string trimmed(const std::string& text) {
  const char* const blanks = " \t\n\r\v\f";
  const size_t begin = text.find_first_not_of(blanks);
  return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

}  // namespace

class LongVideo::Schedule {
public:
  Schedule(const checkpoint::Config& config, const json& a) {
    const std::string own = config.get<std::string>("_class_name", flow_match);
    const std::string name = a.at("scheduler").is_null() ? own : a.at("scheduler").get<std::string>();
    schedulers::TimestepRequest request;
    if (a.at("sigmas").is_null())
      request.num_inference_steps = a.at("num_inference_steps").get<int64_t>();
    else
      request.sigmas = a.at("sigmas").get<std::vector<double>>();
    if (name == ancestral) {
      schedulers::LtxEulerAncestralRfScheduler scheduler(schedulers::LtxEulerAncestralRfOptions::from_config(config));
      scheduler.set_timesteps(request);
      scheduler_ = std::move(scheduler);
    } else if (name == flow_match) {
      schedulers::FlowMatchEulerScheduler scheduler(schedulers::FlowMatchEulerOptions::from_config(config));
      scheduler.set_timesteps(request);
      scheduler_ = std::move(scheduler);
    } else {
      throw Error(ErrorKind::usage, "the scheduler " + name + " cannot make long videos",
                  std::string("use ") + ancestral + " or " + flow_match);
    }
    // The reference leaves the last timestep out, and steps that begin with too much noise.
    const double threshold = a.at("skip_steps_sigma_threshold").get<double>();
    for (size_t i = 0; i + 1 < timesteps().size(); ++i)
      if (!(threshold > 0 && sigmas()[i] > threshold)) steps_.push_back(static_cast<int64_t>(i));
  }

  const std::vector<float>& timesteps() const {
    return std::visit([](const auto& s) -> const std::vector<float>& { return s.timesteps(); }, scheduler_);
  }
  const std::vector<float>& sigmas() const {
    return std::visit([](const auto& s) -> const std::vector<float>& { return s.sigmas(); }, scheduler_);
  }
  //! Indices of the steps that a window takes.
  const std::vector<int64_t>& steps() const { return steps_; }
  Tensor step(const Tensor& prediction, int64_t index, const Tensor& latents, Generator& generator) const {
    return std::visit([&](const auto& s) { return s.step(prediction, index, latents, &generator); }, scheduler_);
  }

private:
  std::variant<schedulers::FlowMatchEulerScheduler, schedulers::LtxEulerAncestralRfScheduler> scheduler_;
  std::vector<int64_t> steps_;
};

LongVideo::LongVideo(const checkpoint::Folder& folder, const LoadOptions& options)
    : LtxPipeline(folder, options, window_arguments()) {}

void LongVideo::check_arguments(const json& a) const {
  media::fit_named(a.at("resize_mode").get<std::string>());
  constexpr int64_t most_frames = 1 << 20, most_tiles = 1024;
  require_range(a, "temporal_tile_size", 1, most_frames);
  require_range(a, "temporal_overlap", 0, most_frames);
  for (const char* name : {"decode_horizontal_tiles", "decode_vertical_tiles"}) require_range(a, name, 1, most_tiles);
  require_range(a, "decode_overlap", 0, most_tiles);
  for (const char* name : {"cond_strength", "temporal_overlap_cond_strength", "adain_factor", "guiding_strength",
                           "negative_index_strength"}) {
    const double value = a.at(name).get<double>();
    if (!(value >= 0 && value <= 1))
      throw Error(ErrorKind::usage, std::string(name) + " is " + a.at(name).dump() + ", which cannot be", "use 0 to 1");
  }
  const int64_t group = vae_->config().temporal_compression_ratio;
  const int64_t tile = std::max<int64_t>(1, a.at("temporal_tile_size").get<int64_t>() / group);
  if (a.at("temporal_overlap").get<int64_t>() / group >= tile)
    throw Error(ErrorKind::usage,
                "windows of " + a.at("temporal_tile_size").dump() + " frames cannot overlap by " +
                    a.at("temporal_overlap").dump(),
                "make temporal_overlap at least " + std::to_string(group) + " less than temporal_tile_size");
  if (Schedule(folder_.config("scheduler"), a).steps().empty())
    throw Error(ErrorKind::usage, "no step is left to take in a window",
                "use at least 2 num_inference_steps, and a skip_steps_sigma_threshold of at least 1");
}

std::vector<LongVideo::Span> LongVideo::windows(const json& a) const {
  const int64_t group = vae_->config().temporal_compression_ratio, all = latent_grid(a).frames;
  const int64_t tile = std::max<int64_t>(1, a.at("temporal_tile_size").get<int64_t>() / group);
  const int64_t stride = std::max<int64_t>(1, tile - a.at("temporal_overlap").get<int64_t>() / group);
  std::vector<Span> spans;
  for (int64_t begin = 0; begin < all; begin += stride) {
    spans.push_back({begin, std::min(begin + tile, all)});
    if (spans.back().end == all) break;
  }
  return spans;
}

namespace {

//! Frames that a window is faded over; one stands for none.
int64_t faded_frames(int64_t overlap) { return std::max<int64_t>(overlap - 1, 1); }

}  // namespace

int64_t LongVideo::joined_frames(const json& a) const {
  const int64_t overlap = a.at("temporal_overlap").get<int64_t>() / vae_->config().temporal_compression_ratio;
  const int64_t faded = faded_frames(overlap) > 1 ? faded_frames(overlap) : 0;
  int64_t frames = 0;
  for (const Span& span : windows(a)) {
    const int64_t length = span.end - span.begin;
    frames = frames == 0 ? length : frames + length - 1 - faded;
  }
  return frames;
}

//! parse_prompt_segments, as a text for each window.
std::vector<std::string> LongVideo::texts(const Run& run) const {
  const json& segments = run.request.arguments.at("prompt_segments");
  const size_t count = windows(run.request.arguments).size();
  std::vector<std::string> parts;
  if (segments.is_null()) {
    const std::string& prompt = run.request.prompt;
    for (size_t at = 0;;) {
      const size_t bar = prompt.find('|', at);
      parts.push_back(trimmed(prompt.substr(at, bar == std::string::npos ? bar : bar - at)));
      if (bar == std::string::npos) break;
      at = bar + 1;
    }
  } else {
    parts.resize(count);
    for (const json& segment : segments) {
      const int64_t first = segment.value("start_window", int64_t{0}), last = segment.value("end_window", first);
      for (int64_t w = std::max<int64_t>(0, first); w <= last && w < static_cast<int64_t>(count); ++w)
        parts[static_cast<size_t>(w)] = segment.at("text").get<std::string>();
    }
    for (size_t i = 1; i < parts.size(); ++i)
      if (parts[i].empty()) parts[i] = parts[i - 1];
  }
  std::vector<std::string> by_window;
  for (size_t w = 0; w < count; ++w) by_window.push_back(parts[std::min(w, parts.size() - 1)]);
  return by_window;
}

int64_t LongVideo::count_steps(const Run& run) const {
  const json& a = run.request.arguments;
  return static_cast<int64_t>(windows(a).size() * Schedule(folder_.config("scheduler"), a).steps().size());
}

void LongVideo::prepare(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  const Grid g = latent_grid(a);
  const int64_t channels = transformer_->config().in_channels;
  const Shape shape{1, channels, g.frames, g.height, g.width};
  const auto given = [&](const char* name, const Shape& wanted) {
    const Tensor tensor = tensor_argument(run.request, name);
    if (tensor.defined() && tensor.shape() != wanted)
      throw Error(ErrorKind::usage,
                  std::string(name) + " is " + to_string(tensor.shape()) + ", but this clip needs " + to_string(wanted),
                  "width, height and num_frames must be those that it was made for");
    return tensor;
  };
  Tensor latents = given("latents", shape);
  latents = latents.defined() ? latents.clone() : Tensor::zeros(shape);
  Tensor negative = given("negative_index_latents", {1, channels, 1, g.height, g.width});
  const Tensor guidance = given("guidance_latents", shape);
  if (!a.at("cond_image").is_null() && a.at("cond_strength").get<double>() > 0) {
    const media::Fit fit = media::fit_named(a.at("resize_mode").get<std::string>());
    const Tensor picture =
        media::preprocess(read_picture_argument(a.at("cond_image")), run.format.width, run.format.height,
                          static_cast<int>(vae_->config().spatial_compression_ratio), fit);
    const Tensor pixels = picture.view({1, picture.dim(0), picture.dim(1), picture.dim(2)});
    const Tensor first = normalize_latents(mode(encode(a, pixels, 0, monitor)), latent_scale());
    const int64_t plane = g.height * g.width;
    for (int64_t c = 0; c < channels; ++c)
      std::copy_n(first.data<float>() + c * plane, plane, latents.data<float>() + c * g.frames * plane);
    if (!negative.defined()) negative = first;
  }
  const int64_t group = vae_->config().temporal_compression_ratio;
  run.format.frames = (joined_frames(a) - 1) * group + 1;
  run.latents = pack(latents);
  run.state["base"] = latents;
  if (negative.defined()) run.state["negative"] = negative;
  if (guidance.defined()) run.state["guidance"] = guidance;
}

void LongVideo::require_own(const Run& run) const {
  const json& a = run.request.arguments;
  complete_arguments(a, arguments_);
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  check_sizes(a);
  check_arguments(a);
  const Grid g = latent_grid(a);
  const Shape shape{1, transformer_->config().in_channels, g.frames, g.height, g.width};
  const auto base = run.state.find("base");
  const bool begun = run.step > 0, sound = base != run.state.end() && base->second.shape() == shape;
  const int64_t of_window = run.steps / std::max<int64_t>(1, static_cast<int64_t>(windows(a).size()));
  if (!sound || run.steps != count_steps(run) || run.step > run.steps ||
      (begun && run.step % of_window != 0 && !run.generators.contains("window")) ||
      (run.step >= of_window && !(run.state.contains("whole") && run.state.contains("first"))))
    throw Error(ErrorKind::input, "the run's latents are not this model's, which has " + to_string(shape),
                "go on with the model that the run was begun with");
}

LongVideo::Window LongVideo::window(const Run& run, size_t index, const Span& span) const {
  const json& a = run.request.arguments;
  Window w;
  w.latents = frames_of(run.state.at("base"), span.begin, span.end);
  w.free.assign(static_cast<size_t>(span.end - span.begin), 1.0f);
  const int64_t overlap = a.at("temporal_overlap").get<int64_t>() / vae_->config().temporal_compression_ratio;
  // inject_prev_tail_latents
  const auto append = [&](const Tensor& tail, int64_t length, double strength) {
    if (!tail.defined() || length <= 0 || !(strength > 0)) return;
    const int64_t count = std::min({length, w.latents.dim(2), tail.dim(2)});
    w.latents = Tensor::concat({w.latents, frames_of(tail, tail.dim(2) - count, tail.dim(2))}, 2);
    w.free.insert(w.free.end(), static_cast<size_t>(count), static_cast<float>(1.0 - strength));
    w.appended += count;
  };
  const auto kept = [&](const char* name) {
    const auto it = run.state.find(name);
    return it == run.state.end() ? Tensor() : it->second;
  };
  if (index > 0 && overlap > 0) {
    append(kept("whole"), overlap, a.at("temporal_overlap_cond_strength").get<double>());
    w.overlap = overlap;
  }
  if (const Tensor guidance = kept("guidance"); guidance.defined()) {
    const Tensor part = frames_of(guidance, span.begin, span.end);
    w.guiding = std::max<int64_t>(0, index == 0 ? part.dim(2) : part.dim(2) - overlap);
    append(part, w.guiding, a.at("guiding_strength").get<double>());
  }
  const double negative_strength = a.at("negative_index_strength").get<double>();
  append(kept("negative"), 1, negative_strength);
  w.negative = run.state.contains("negative") && negative_strength > 0 ? 1 : 0;
  const double cond_strength = a.at("cond_strength").get<double>();
  if (index == 0 && !a.at("cond_image").is_null() && cond_strength > 0)
    w.free[0] = static_cast<float>(1.0 - cond_strength);
  return w;
}

//! build_video_coords_for_window: [3, tokens]; what is appended has positions of its own.
Tensor LongVideo::positions(const Window& w, double frame_rate) const {
  const auto& vae = vae_->config();
  const int64_t height = w.latents.dim(3), width = w.latents.dim(4), all = w.latents.dim(2);
  Tensor coords = Tensor::empty({3, all * height * width});
  put_window_coords(vae, {all, height, width}, 0, 0, coords);
  const int64_t replaced = w.overlap + w.guiding + w.negative;
  if (replaced > all)
    throw Error(ErrorKind::usage, "a window of " + std::to_string(all) + " latent frames is too short for its overlap",
                "make temporal_tile_size larger or temporal_overlap smaller");
  int64_t at = (all - replaced) * height * width;
  put_window_coords(vae, {w.overlap, height, width}, 0, at, coords);
  at += w.overlap * height * width;
  put_window_coords(vae, {w.guiding, height, width}, w.overlap, at, coords);
  at += w.guiding * height * width;
  put_window_coords(vae, {w.negative, height, width}, -1, at, coords);
  const auto seconds = static_cast<float>(1.0 / frame_rate);
  for (int64_t i = 0; i < coords.dim(1); ++i) coords.data<float>()[i] *= seconds;
  return coords;
}

void LongVideo::denoise(Run& run, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  const Schedule schedule(folder_.config("scheduler"), a);
  const auto spans = windows(a);
  const auto per_window = static_cast<int64_t>(schedule.steps().size());
  std::map<std::string, Prompt> prompts;
  std::vector<std::string> by_window;
  const bool is_guided = guided(a);
  if (run.step < run.steps) {
    warn_of_unread_prompt(run, is_guided);
    by_window = texts(run);
    std::vector<std::string> wanted{by_window[0]};
    if (is_guided) wanted.push_back(run.request.negative_prompt);
    for (const auto& text : by_window)
      if (std::find(wanted.begin(), wanted.end(), text) == wanted.end()) wanted.push_back(text);
    const auto encoded = encode_texts(wanted, 1, a.at("max_sequence_length").get<int64_t>(), 0, monitor);
    for (size_t i = 0; i < wanted.size(); ++i) prompts.emplace(wanted[i], encoded[i]);
    release_text_encoder();
  }
  monitor.report("denoise", run.step, run.steps);
  StepCache cache(run);
  while (run.step < run.steps) {
    const auto index = static_cast<size_t>(run.step / per_window);
    const Window w = window(run, index, spans[index]);
    const Grid grid{w.latents.dim(2), w.latents.dim(3), w.latents.dim(4)};
    const int64_t plane = grid.height * grid.width, width = w.latents.dim(1);
    const Tensor held = pack(w.latents), coords = positions(w, a.at("frame_rate").get<double>());
    const auto free_of = [&](int64_t token) { return w.free[static_cast<size_t>(token / plane)]; };
    // The free part of `from`, the held part of the window.
    const auto blend = [&](const Tensor& from) {
      Tensor out = Tensor::empty(from.shape());
      for (int64_t i = 0; i < out.numel(); ++i) {
        const float f = free_of(i / width);
        out.data<float>()[i] = from.data<float>()[i] * f + held.data<float>()[i] * (1.0f - f);
      }
      return out;
    };
    if (run.step % per_window == 0) {
      const auto seed = static_cast<uint64_t>(a.at("seed").get<int64_t>() + spans[index].begin);
      run.generators["window"] = Generator(seed);
      run.latents = blend(pack(run.generators.at("window").randn(w.latents.shape())));
    }
    std::vector<Prompt> branches{prompts.at(by_window[index])};
    if (is_guided) branches.push_back(prompts.at(run.request.negative_prompt));
    const std::vector<Prompt> unguided{branches.front()};
    const auto rotary = transformer_->rotary(coords);
    const auto moment_at = [&](int64_t step) {
      const float timestep =
          schedule.timesteps()[static_cast<size_t>(schedule.steps()[static_cast<size_t>(step % per_window)])];
      Moment now{"transformer." + std::to_string(step), {}, {grid.tokens(), 1}, &rotary, &coords, true};
      for (int64_t token = 0; token < grid.tokens(); ++token) now.timesteps.push_back(timestep * free_of(token));
      return now;
    };
    if (run.step % per_window == 0) cache.clear();
    cache.recall(run.step - run.step % per_window, std::ssize(branches), {grid.tokens(), width},
                 [&](int64_t item, int64_t step, const Tensor& latents) {
                   answer(item, 1, latents, branches, moment_at(step), monitor, cache);
                 });
    for (int64_t i = run.step % per_window; i < per_window; ++i) {
      monitor.check();
      const int64_t at = schedule.steps()[static_cast<size_t>(i)];
      const bool guides = guides_at(a, i, per_window);
      if (!guides) cache.clear(1);
      const Tensor prediction =
          guide(predict(run.latents, guides ? branches : unguided, moment_at(run.step), monitor, cache), 1,
                a.at("guidance_scale").get<double>(), a.at("guidance_rescale").get<double>());
      // The model saw the latents as the last step left them; the step begins with the held parts in place.
      const Tensor before = blend(run.latents);
      run.latents = blend(schedule.step(prediction, at, before, run.generators.at("window")));
      ++run.step;
      if (monitor.probe) monitor.probe("step." + std::to_string(at) + ".latents", run.state.at("base"));
      monitor.report("denoise", run.step, run.steps);
      if (i + 1 == per_window) {
        cache.clear();
        const Tensor out = unpack(run.latents, grid);
        const int64_t overlap = a.at("temporal_overlap").get<int64_t>() / vae_->config().temporal_compression_ratio;
        fuse(run, frames_of(out, 0, grid.frames - w.appended), overlap);
      }
      if (monitor.after_step) monitor.after_step(run);
    }
  }
  if (monitor.probe) {
    const auto list = [&](const std::vector<float>& v) {
      return Tensor::from<float>({static_cast<int64_t>(v.size())}, v);
    };
    monitor.probe("timesteps", list(schedule.timesteps()));
    monitor.probe("sigmas", list(schedule.sigmas()));
  }
  transformer_->release();
  release_cached_memory();
}

void LongVideo::fuse(Run& run, const Tensor& out, int64_t overlap) const {
  const auto known = run.state.find("whole");
  if (known == run.state.end()) {
    run.state["whole"] = run.state["first"] = out;
    return;
  }
  if (out.dim(2) == 1) return;
  Tensor next = frames_of(out, 1, out.dim(2));
  const float factor = run.request.arguments.at("adain_factor").get<float>();
  if (factor > 0) next = take_look(next, run.state.at("first"), factor);
  const Tensor whole = known->second;
  const int64_t blended = std::min(faded_frames(overlap), whole.dim(2));
  if (blended <= 1) {
    run.state["whole"] = Tensor::concat({whole, next}, 2);
    return;
  }
  // linear_overlap_fuse
  const int64_t plane = next.dim(3) * next.dim(4);
  Tensor seam = frames_of(whole, whole.dim(2) - blended, whole.dim(2));
  for (int64_t c = 0; c < next.dim(1); ++c)
    for (int64_t f = 0; f < blended; ++f) {
      const float old_share = 1.0f - static_cast<float>(f + 1) / static_cast<float>(blended + 1);
      float* to = seam.data<float>() + (c * blended + f) * plane;
      const float* from = next.data<float>() + (c * next.dim(2) + f) * plane;
      for (int64_t i = 0; i < plane; ++i) to[i] = old_share * to[i] + (1.0f - old_share) * from[i];
    }
  run.state["whole"] =
      Tensor::concat({frames_of(whole, 0, whole.dim(2) - blended), seam, frames_of(next, blended, next.dim(2))}, 2);
}

void LongVideo::decode(const Run& run, int64_t, media::FrameSink& sink, const Monitor& monitor) {
  require_own(run);
  const json& a = run.request.arguments;
  if (run.step < run.steps)
    throw Error(
        ErrorKind::usage,
        "the run is not finished: " + std::to_string(run.step) + " of " + std::to_string(run.steps) + " steps are done",
        "go on with it first: prax generate --resume");
  Generator generator = run.generator, global_generator = run.global_generator;
  const Tensor latents = denormalize(run.state.at("whole"));
  models::ltx::FadedTiles tiles;
  tiles.horizontal_tiles = a.at("decode_horizontal_tiles").get<int64_t>();
  tiles.vertical_tiles = a.at("decode_vertical_tiles").get<int64_t>();
  tiles.overlap = a.at("decode_overlap").get<int64_t>();
  if (vae_->config().timestep_conditioning) {
    tiles.decode_timestep = a.at("decode_timestep").get<float>();
    tiles.decode_noise_scale = a.at("decode_noise_scale").get<float>();
  }
  sink.begin(run.format);
  models::ltx::decode_faded(
      *vae_, tiles, tiling(a), latents.view({latents.dim(1), latents.dim(2), latents.dim(3), latents.dim(4)}),
      generator, global_generator,
      [&](const Tensor& picture) {
        monitor.check();
        const Tensor rgb = to_rgb(picture);
        sink.frame(rgb.span<float>());
      },
      [&](int64_t done, int64_t all) {
        monitor.check();
        monitor.report("decode", done, all);
      });
  sink.finish();
}

Tensor LongVideo::preview(const Run& run) {
  const Grid g = latent_grid(run.request.arguments);
  const int64_t frames = run.latents.dim(1) / std::max<int64_t>(1, g.height * g.width);
  return small_picture(*vae_, denormalize(unpack(run.latents, {frames, g.height, g.width})));
}

}  // namespace prax::pipelines::ltx
