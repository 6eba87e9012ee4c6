#include "verify_pyramid_flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/error.h"
#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"
#include "models/pyramid_flow/transformer.h"
#include "models/pyramid_flow/vae.h"
#include "pipelines/pyramid_flow/prompts.h"
#include "pipelines/pyramid_flow/pyramid_flow_pipeline.h"
#include "schedulers/pyramid_flow_match.h"

namespace prax::app {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* weights_name = "diffusion_pytorch_model.safetensors";

//! The recorded tensors of a case that nothing was held against yet.
class Open {
public:
  Open(const ReferenceCase& reference, const VerifyOptions& options, const Report& report)
      : reference_(reference), options_(options), report_(report) {
    for (const auto& [name, entry] : reference.tensors->entries())
      if (options.wants(name)) open_.emplace(name, entry.shape);
  }
  bool has(const std::string& name) const { return open_.contains(name); }
  bool empty() const { return open_.empty(); }
  const std::map<std::string, Shape>& names() const { return open_; }
  Tensor recorded(const std::string& name) const { return reference_.tensors->tensor(name); }

  //! In f32 and for whole numbers the limit is the reference itself; `otherwise` is that of other arithmetics.
  void deliver(const std::string& name, const Tensor& got, Limit otherwise) {
    if (open_.erase(name) == 0) return;
    const Tensor want = recorded(name);
    const Limit exact = is_floating(want.dtype()) ? Limit::relative : Limit::exact;
    report_(check(name, got, want, options_.dtype == DType::f32 || !is_floating(want.dtype()) ? exact : otherwise));
  }
  void report(const Check& check) {
    open_.erase(check.name);
    report_(check);
  }
  void fail(const std::string& name, const char* why) {
    Check c;
    c.name = name;
    c.verdict = Verdict::fail;
    c.note = why;
    report_(c);
  }
  //! Shown, and held against nothing.
  void inform(const std::string& name, const char* why) {
    const auto it = open_.find(name);
    if (it == open_.end()) return;
    Check c;
    c.name = name;
    c.shape = it->second;
    c.verdict = Verdict::info;
    c.note = why;
    open_.erase(it);
    report_(c);
  }
  void close(const char* why) {
    for (const auto& [name, shape] : std::exchange(open_, {})) report_(not_checked(name, shape, why));
  }

private:
  const ReferenceCase& reference_;
  const VerifyOptions& options_;
  const Report& report_;
  std::map<std::string, Shape> open_;
};

//! Row b of a tensor [B, ...].
Tensor row_of(const Tensor& t, int64_t b) {
  return t.slice(b, b + 1).view(Shape(t.shape().begin() + 1, t.shape().end()));
}
Tensor batched(const Tensor& t) {
  Shape shape = t.shape();
  shape.insert(shape.begin(), 1);
  return t.view(shape);
}

checkpoint::Config config_of(const fs::path& folder) { return checkpoint::Config::read(folder / "config.json"); }
checkpoint::Weights weights_of(const fs::path& folder) {
  return checkpoint::Weights(checkpoint::open_safetensors({folder / weights_name}));
}

//! What a denoiser's answer must fulfil beside f32.
Limit limit_of_denoiser(DType dtype) { return dtype == DType::i8 ? Limit::near : Limit::cosine; }

//! Single predictions of a denoiser.
void verify_transformer(const ReferenceCase& reference, const VerifyOptions& options, Open& open) {
  const fs::path folder = reference.folder.parent_path() / reference.text("checkpoint");
  const auto transformer =
      models::pyramid_flow::Transformer::make(config_of(folder), weights_of(folder), options.dtype);
  const auto tensor = [&](const std::string& name) { return reference.tensors->tensor(name); };
  for (const std::string call : {"first", "history"}) {
    if (!open.has(call + ".output")) continue;
    const Tensor text = tensor(call + ".text"), mask = tensor(call + ".text_mask"), pooled = tensor(call + ".pooled");
    std::vector<Tensor> out;
    for (int64_t b = 0; b < text.dim(0); ++b) {
      std::vector<Tensor> clips;
      for (int i = 0; reference.tensors->entries().contains(call + ".clip" + std::to_string(i)); ++i)
        clips.push_back(row_of(tensor(call + ".clip" + std::to_string(i)), b));
      const Tensor flags = row_of(mask, b);
      const int64_t tokens = std::count(flags.data<int64_t>(), flags.data<int64_t>() + flags.numel(), 1);
      out.push_back(batched((*transformer)(clips, row_of(text, b).slice(0, tokens), row_of(pooled, b),
                                           tensor(call + ".timestep").data<float>()[b])));
    }
    open.deliver(call + ".output", Tensor::concat(out, 0), limit_of_denoiser(options.dtype));
  }
  const auto left = open.names();
  for (const auto& [name, shape] : left) {
    const std::string part = name.substr(name.find('.') + 1);
    const bool input = part.starts_with("clip") || part == "timestep" || part == "pooled" || part.starts_with("text");
    open.inform(name, input ? "an input" : "inside of the network, whose output is compared");
  }
}

void verify_vae(const ReferenceCase& reference, const VerifyOptions& options, Open& open) {
  const fs::path folder = reference.folder.parent_path() / reference.text("checkpoint");
  models::pyramid_flow::Vae vae(config_of(folder), weights_of(folder), wide_dtype(options.dtype));
  using models::pyramid_flow::VaeTiling;
  const auto tensor = [&](const std::string& name) { return reference.tensors->tensor(name); };
  const auto encode = [&](const std::string& from, const std::string& to, const VaeTiling& tiling, int64_t frames = 0) {
    if (!open.has(to)) return;
    const Tensor pixels = tensor(from);
    std::vector<Tensor> out;
    for (int64_t b = 0; b < pixels.dim(0); ++b) {
      const Tensor video = row_of(pixels, b).permute({1, 2, 3, 0});
      out.push_back(batched(vae.encode(frames > 0 ? video.slice(0, frames) : video, tiling)));
    }
    open.deliver(to, Tensor::concat(out, 0), Limit::cosine);
  };
  const auto decode = [&](const std::string& from, const std::string& to, const VaeTiling& tiling, int64_t first = 0,
                          int64_t every = 1) {
    if (!open.has(to)) return;
    const Tensor latents = tensor(from);
    std::vector<Tensor> out;
    for (int64_t b = 0; b < latents.dim(0); ++b) {
      std::vector<Tensor> pictures;
      int64_t at = 0;
      vae.decode(row_of(latents, b), tiling, [&](const Tensor& p) {
        if (at >= first && at % every == 0) pictures.push_back(batched(p.clone()));
        ++at;
      });
      out.push_back(batched(Tensor::concat(pictures, 0).permute({3, 0, 1, 2})));
    }
    open.deliver(to, Tensor::concat(out, 0), Limit::cosine);
  };
  const VaeTiling whole, tiles{true, 32};
  encode("image.pixels", "image.moments", whole);
  decode("image.sample", "image.decoded", whole);
  encode("video.pixels", "video.moments", whole);
  encode("video.pixels", "video.moments_window8", whole);
  encode("video.pixels", "video.moments_9_frames", whole, 9);
  decode("video.latents", "video.decoded", whole);
  decode("video.latents", "video.decoded_window1", whole, 8);
  encode("tiled.pixels", "tiled.moments", tiles);
  decode("tiled.latents", "tiled.decoded", tiles, 0, 8);
  for (const char* name : {"image.pixels", "video.pixels", "tiled.pixels", "video.latents", "tiled.latents",
                           "image.posterior_noise", "image.sample"})
    open.inform(name, "an input");
  const auto left = open.names();
  for (const auto& [name, shape] : left)
    if (name.starts_with("image.encoder.") || name.starts_with("image.decoder."))
      open.inform(name, "inside of the network, whose output is compared");
}

Tensor f32_of(const std::vector<double>& values) {
  const std::vector<float> floats(values.begin(), values.end());
  return Tensor::from<float>({static_cast<int64_t>(floats.size())}, floats);
}

void verify_scheduler(const ReferenceCase& reference, Open& open) {
  const auto list = reference.value<json>("schedulers");
  for (size_t n = 0; n < list.size(); ++n) {
    const json& o = list[n].at("options");
    schedulers::PyramidFlowMatchOptions options;
    options.num_train_timesteps = o.at("num_train_timesteps");
    options.shift = o.at("shift");
    options.stages = o.at("stages");
    options.stage_range = o.at("stage_range").get<std::vector<double>>();
    options.gamma = o.at("gamma");
    const schedulers::PyramidFlowMatchScheduler scheduler(options);
    const std::string name = "s" + std::to_string(n);
    open.deliver(name + ".sigmas",
                 Tensor::from<float>({static_cast<int64_t>(scheduler.sigmas().size())}, scheduler.sigmas()),
                 Limit::exact);
    for (int64_t stage = 0; stage < options.stages; ++stage) {
      const std::string at = name + ".stage" + std::to_string(stage);
      const auto all = scheduler.steps(stage, options.num_train_timesteps);
      open.deliver(at + ".timesteps", f32_of(all.timesteps), Limit::relative);
      open.deliver(at + ".sigmas", f32_of({all.sigmas.begin(), all.sigmas.end() - 1}), Limit::relative);
      if (!reference.tensors->entries().contains(at + ".step.sample")) continue;
      const auto steps = scheduler.steps(stage, 3);
      Tensor sample = reference.tensors->tensor(at + ".step.sample");
      open.inform(at + ".step.sample", "an input");
      for (int64_t k = 0; k < 3; ++k) {
        const std::string step = at + ".step" + std::to_string(k);
        sample = scheduler.step(steps, k, reference.tensors->tensor(step + ".model_output"), sample);
        open.inform(step + ".model_output", "an input");
        open.deliver(step + ".sample", sample, Limit::exact);
      }
    }
    // The numbers of steps that are recorded in full precision.
    for (const json& run : list[n].at("runs")) {
      const auto steps = scheduler.steps(run.at("stage"), run.at("steps"));
      if (steps.timesteps != run.at("timesteps").get<std::vector<double>>() ||
          steps.sigmas != run.at("sigmas").get<std::vector<double>>())
        open.fail(fmt::format("{}.stage{} in {} steps", name, run.at("stage").dump(), run.at("steps").dump()),
                  "its timesteps or sigmas are not the recorded ones");
    }
  }
}

void verify_random(const ReferenceCase& reference, Open& open) {
  Generator generator(reference.value<uint64_t>("seed"));
  const schedulers::PyramidFlowMatchScheduler scheduler;
  open.deliver("randn_192", generator.randn({1, 4, 2, 4, 6}), Limit::relative);
  open.deliver("randn_35", generator.randn({35}), Limit::relative);
  open.deliver("randn_15", generator.randn({3, 5}), Limit::relative);
  Generator again = generator;
  std::vector<Tensor> draws;
  for (int i = 0; i < 12; ++i) draws.push_back(again.randn({1, 4}));
  open.deliver("normal_4", Tensor::concat(draws, 0), Limit::relative);
  open.deliver("block_noise", scheduler.block_noise({1, 2, 1, 4, 6}, generator), Limit::relative);
  open.deliver("randn_after", generator.randn({4, 4}), Limit::relative);
  Tensor factor = Tensor::zeros({4, 4});
  for (size_t i = 0; i < 4; ++i)
    std::copy(scheduler.block_factor()[i].begin(), scheduler.block_factor()[i].end(), factor.data<float>() + i * 4);
  open.deliver("factor", factor, Limit::relative);
  open.inform("covariance", "what the factor is of");
}

void verify_text(const ReferenceCase& reference, const VerifyOptions& options, Open& open) {
  const bool flux = reference.name.starts_with("flux");
  const fs::path path = reference.folder.parent_path() / (flux ? "checkpoint_flux" : "checkpoint_mmdit");
  const auto folder = checkpoint::Folder::open(path);
  using pipelines::pyramid_flow::Design;
  pipelines::LoadOptions load;
  load.dtype = options.dtype;
  pipelines::pyramid_flow::TextEncoders encoders(folder, load, flux ? Design::flux : Design::mmdit);
  const auto prompts = reference.value<std::vector<std::string>>("prompts");
  std::map<std::string, std::vector<Tensor>> seen;
  pipelines::Monitor monitor;
  monitor.cancel = options.cancel;
  monitor.probe = [&](const std::string& name, const Tensor& t) { seen[name.substr(name.find('.'))].push_back(t); };
  encoders.encode(prompts, std::vector<std::string>(prompts.size(), "x"), monitor);
  const auto all = [&](const char* part) { return Tensor::concat(seen[part], 0); };
  open.deliver("prompt_embeds", all(".embeds"), Limit::cosine);
  open.deliver("t5.last_hidden_state", all(".embeds"), Limit::cosine);
  open.deliver("prompt_mask", all(".mask"), Limit::exact);
  open.deliver("pooled", all(".pooled"), Limit::cosine);
  for (const char* name : {"t5", "clip_l", "clip_g"}) {
    const auto ids = seen.find(std::string(".") + name + ".ids");
    if (ids != seen.end()) open.deliver(std::string(name) + ".ids", Tensor::concat(ids->second, 0), Limit::exact);
    for (const char* part : {".last_hidden_state", ".pooler_output", ".text_embeds"}) {
      const auto it = seen.find(std::string(".") + name + part);
      if (it != seen.end()) open.deliver(std::string(name) + part, Tensor::concat(it->second, 0), Limit::cosine);
    }
  }
}

class Frames : public media::FrameSink {
public:
  void begin(const media::VideoFormat& format) override { format_ = format; }
  void frame(std::span<const float> rgb) override { frames.emplace_back(rgb.begin(), rgb.end()); }
  void finish() override {}
  std::vector<std::vector<float>> frames;

private:
  media::VideoFormat format_;
};

//! In bf16 and int8 rounding adds up from step to step: only what comes before it does is held against the reference.
Limit flow_limit_of(const std::string& name, DType dtype) {
  if (name == "initial_noise" || name == "posterior_noise" || name.ends_with("block_noise") ||
      name.ends_with(".timesteps") || name.ends_with(".sigmas") || name == "unit0.start_noise" ||
      name == "unit0.stage0.start")
    return Limit::relative;
  if (name.ends_with(".embeds") || name.ends_with(".pooled")) return Limit::cosine;
  if (name == "unit0.stage0.step0.model_output") return limit_of_denoiser(dtype);
  return Limit::none;
}

//! 8-bit pictures, which may differ by one where rounding decides.
void check_frames(const ReferenceCase& reference, const VerifyOptions& options, const Frames& sink, Open& open) {
  if (!open.has("frames")) return;
  const Tensor want = open.recorded("frames").to(DType::f32);
  const auto indices = reference.value<std::vector<size_t>>("frame_indices");
  Tensor got = Tensor::empty(want.shape());
  const size_t picture = static_cast<size_t>(want.numel()) / std::max<size_t>(1, indices.size());
  double most = sink.frames.size() == reference.value<size_t>("number_of_frames") ? 0 : 256;
  for (size_t k = 0; k < indices.size(); ++k)
    for (size_t i = 0; i < picture; ++i) {
      const bool there = indices[k] < sink.frames.size() && i < sink.frames[indices[k]].size();
      float& level = got.data<float>()[k * picture + i];
      level = there ? std::floor(sink.frames[indices[k]][i] * 255) : -256;
      most = std::max<double>(most, std::abs(level - want.data<float>()[k * picture + i]));
    }
  Check c = check("frames", got, want, Limit::none);
  if (options.dtype == DType::f32) c.verdict = most <= 1 ? Verdict::pass : Verdict::fail;
  c.note = fmt::format("8-bit levels at most {:.0f} apart", most);
  open.report(c);
}

void verify_run(const ReferenceCase& reference, const VerifyOptions& options, Open& open) {
  const json& d = reference.description;
  pipelines::LoadOptions load;
  load.dtype = options.dtype;
  const auto pipeline = pipelines::load(
      options.model.empty() ? reference.folder.parent_path() / reference.text("checkpoint") : options.model, load);
  pipelines::Request request;
  request.prompt = reference.text("prompt");
  request.negative_prompt = reference.text("negative_prompt");
  request.seed = reference.value<uint64_t>("default_generator_seed");
  if (d.contains("initial_noise_generator_seed") && !d.at("initial_noise_generator_seed").is_null()) {
    request.global_seed = request.seed;
    request.seed = reference.value<uint64_t>("initial_noise_generator_seed");
  }
  for (const char* name : {"height", "width", "temp", "num_inference_steps", "video_num_inference_steps",
                           "guidance_scale", "video_guidance_scale"})
    if (d.contains(name)) request.arguments[name] = d.at(name);
  request.arguments["model_variant"] = reference.text("transformer");
  if (reference.tensors->entries().contains("image")) {
    request.tensors["input_image"] = reference.tensors->tensor("image");
    open.inform("image", "an input");
  }
  pipelines::Monitor monitor;
  monitor.cancel = options.cancel;
  monitor.probe = [&](const std::string& name, const Tensor& got) {
    if (!open.has(name)) return;
    if (name != "decoded") return open.deliver(name, got, flow_limit_of(name, options.dtype));
    const Tensor by_frame = got.view(Shape(got.shape().begin() + 1, got.shape().end())).permute({1, 0, 2, 3});
    std::vector<Tensor> picked;
    for (const int64_t i : reference.value<std::vector<int64_t>>("decoded_frame_indices"))
      if (i < by_frame.dim(0)) picked.push_back(by_frame.slice(i, i + 1));
    open.deliver(name, batched(Tensor::concat(picked, 0).permute({1, 0, 2, 3})), Limit::none);
  };
  pipelines::Run run = pipeline->begin(request, monitor);
  pipeline->denoise(run, monitor);
  Frames sink;
  pipeline->decode(run, 0, sink, monitor);
  check_frames(reference, options, sink, open);
}

}  // namespace

bool is_pyramid_flow_case(const ReferenceCase& reference) {
  return reference.description.contains("variant") && reference.description.contains("tensors");
}

void verify_pyramid_flow(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  Open open(reference, options, report);
  if (open.empty()) return;
  const auto kind = reference.text("case");
  try {
    if (reference.description.contains("function")) {
      verify_run(reference, options, open);
    } else if (kind.ends_with("_transformer")) {
      verify_transformer(reference, options, open);
    } else if (kind.ends_with("_text")) {
      verify_text(reference, options, open);
    } else if (kind == "vae") {
      verify_vae(reference, options, open);
    } else if (kind == "scheduler") {
      verify_scheduler(reference, open);
    } else if (kind == "random") {
      verify_random(reference, open);
    }
  } catch (const json::exception&) {
    reference.broken("tensors");
  }
  open.close("nothing here came by it");
}

}  // namespace prax::app
