#include "verify_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "checkpoint/folder.h"
#include "pipelines/pipeline.h"
#include "schedulers/cogvideox_schedule.h"
#include "schedulers/flow_match_euler.h"
#include "tensor/random.h"
#include "text/t5_tokenizer.h"
#include "verify_pyramid_flow.h"

namespace prax::app {

namespace {

using nlohmann::json;

constexpr const char* decoded_name = "vae.decode.0.out";

//! Reports each recorded tensor once, and in the end those that nothing was held against.
class Recorder {
public:
  Recorder(const ReferenceCase& reference, const VerifyOptions& options, const Report& report)
      : reference_(reference), options_(options), report_(report) {
    for (const auto& [name, entry] : reference.tensors->entries())
      if (options.wants(name)) open_.emplace(name, entry.shape);
  }

  //! Whether the options want any of the recorded tensors whose names begin so.
  bool wants_any(const std::string& prefix = {}) const {
    return std::any_of(open_.begin(), open_.end(), [&](const auto& e) { return e.first.starts_with(prefix); });
  }

  bool is_open(const std::string& name) const { return open_.contains(name); }
  Tensor recorded(const std::string& name) const { return reference_.tensors->tensor(name); }

  //! A tensor that is not among the recorded ones is no matter.
  void deliver(const std::string& name, const Tensor& got, Limit limit,
               const std::function<std::string(const Difference&)>& note = {}) {
    if (open_.erase(name) == 0) return;
    Check c = check(name, got, recorded(name), limit);
    if (c.note.empty() && note) c.note = note(c.difference);
    report_(c);
  }

  //! Takes a tensor off the list for a report of another kind; false when it was not on it.
  bool take(const std::string& name) { return open_.erase(name) > 0; }

  //! The recorded tensor was what the run began with.
  void is_input(const std::string& name) {
    const auto it = open_.find(name);
    if (it == open_.end()) return;
    report_({name, it->second, {}, Verdict::info, "an input"});
    open_.erase(it);
  }

  void refuse(const std::string& prefix, const std::string& why) {
    for (auto it = open_.begin(); it != open_.end();) {
      if (!it->first.starts_with(prefix)) {
        ++it;
        continue;
      }
      report_(not_checked(it->first, it->second, why));
      it = open_.erase(it);
    }
  }

private:
  const ReferenceCase& reference_;
  const VerifyOptions& options_;
  const Report& report_;
  std::map<std::string, Shape> open_;
};

//! Keeps the frames of a clip: [T, H, W, 3] in 0..1.
class FrameCollector : public media::FrameSink {
public:
  void begin(const media::VideoFormat& format) override { format_ = format; }
  void frame(std::span<const float> rgb) override { values_.insert(values_.end(), rgb.begin(), rgb.end()); }
  void finish() override {}
  Tensor frames() const {
    const int64_t picture = int64_t{format_.height} * format_.width * 3;
    const auto count = static_cast<int64_t>(values_.size()) / std::max<int64_t>(1, picture);
    return Tensor::from<float>({count, format_.height, format_.width, 3}, values_);
  }

private:
  media::VideoFormat format_;
  std::vector<float> values_;
};

//! What a tensor of a run must fulfil. In f32 all must be the reference's. In bf16 rounding adds up from step to
//! step: what comes after the first two calls of the denoiser is only shown. `encodes`: the run begins with
//! pictures or clips, whose latents are rounded, too.
Limit limit_of(const std::string& name, const Tensor& want, DType dtype, bool encodes) {
  if (!is_floating(want.dtype())) return Limit::exact;
  if (dtype == DType::f32) return Limit::relative;
  if (name == "timesteps" || name == "sigmas") return Limit::relative;
  if (name == "transformer.0.in.hidden_states") return encodes ? Limit::cosine : Limit::relative;
  if (name.starts_with("transformer.") && name.ends_with(".in.timestep")) return Limit::relative;
  if (name.starts_with("vae.decode.") && name.ends_with(".in.1")) return Limit::relative;
  if (name.starts_with("text_encoder.") && name.ends_with(".out")) return Limit::cosine;
  if (name.starts_with("transformer.") && name.ends_with(".in.encoder_hidden_states")) return Limit::cosine;
  if (name == "transformer.0.out" || name == "transformer.1.out")
    return dtype == DType::i8 ? Limit::near : Limit::cosine;
  return Limit::none;
}

//! A clip beside the case: {"video": "video_%02d.png", "frames": 9} -> {"file": "/.../video_%02d.png", "frames": 9}
json clip_beside(const ReferenceCase& reference, const json& holder) {
  json clip = {{"file", (reference.folder / holder.at("video").get<std::string>()).string()}};
  if (holder.contains("frames")) clip["frames"] = holder.at("frames");
  return clip;
}

//! The arguments of a case with its `inputs` among them, and its paths absolute.
json arguments_of(const ReferenceCase& reference) {
  json arguments = reference.description.value("arguments", json::object());
  if (!arguments.is_object()) reference.broken("arguments");
  if (reference.description.contains("scheduler")) arguments["scheduler"] = reference.description.at("scheduler");
  const json inputs = reference.description.value("inputs", json::object());
  if (!inputs.is_object()) reference.broken("inputs");
  const auto beside = [&](const json& file) { return (reference.folder / file.get<std::string>()).string(); };
  try {
    for (const auto& [key, value] : inputs.items()) {
      if (key == "loras" || key == "frames") continue;
      if (key == "video" && reference.text("pipeline") == "LTXConditionPipeline") {
        // This class reads a list of frames as a list of clips, of which it takes the first.
        arguments[key] = clip_beside(reference, inputs);
        arguments[key]["frames"] = 1;
      } else if (key == "video") {
        arguments[key] = clip_beside(reference, inputs);
      } else if (key == "conditions") {
        json conditions = json::array();
        for (json c : value) {
          if (c.contains("video")) c["video"] = clip_beside(reference, c);
          if (c.contains("image")) c["image"] = beside(c.at("image"));
          c.erase("frames");
          conditions.push_back(std::move(c));
        }
        arguments[key] = std::move(conditions);
      } else {
        arguments[key] = value.is_string() ? json(beside(value)) : value;
      }
    }
  } catch (const json::exception&) {
    reference.broken("inputs");
  }
  return arguments;
}

//! LoRA files beside the case: {"loras": [{"file": "a.safetensors", "weight": 0.7}]}
std::vector<checkpoint::LoraRequest> loras_of(const ReferenceCase& reference) {
  std::vector<checkpoint::LoraRequest> loras;
  try {
    const json inputs = reference.description.value("inputs", json::object());
    for (const json& lora : inputs.value("loras", json::array()))
      loras.push_back({reference.folder / lora.at("file").get<std::string>(), lora.at("weight").get<double>()});
  } catch (const json::exception&) {
    reference.broken("inputs");
  }
  return loras;
}

//! Why this version cannot do what the reference did; empty when it can try.
std::string obstacle(const ReferenceCase& reference) {
  static const std::set<std::string> known{"case",      "checkpoint",  "pipeline",  "prompt", "negative_prompt",
                                           "seed",      "global_seed", "arguments", "inputs", "version",
                                           "scheduler", "bf16_psnr"};
  for (const auto& [key, value] : reference.description.items())
    if (!known.contains(key)) return "this version does not know its setting \"" + key + "\"";
  return {};
}

//! Decoded pixels [1, 3, T, H, W] in -1..1 as frames [T, H, W, 3] in 0..1.
Tensor frames_of(const Tensor& decoded) {
  const Tensor video = decoded.slice(0, 1).view({decoded.dim(1), decoded.dim(2), decoded.dim(3), decoded.dim(4)});
  Tensor frames = video.permute({1, 2, 3, 0});
  for (float& v : frames.span<float>()) v = std::clamp(v / 2 + 0.5f, 0.0f, 1.0f);
  return frames;
}

//! The final frames against those of the reference, with their PSNR. In f32 they must equal the reference's, in bf16
//! reach the PSNR that the case asks of it.
void check_frames(const ReferenceCase& reference, const VerifyOptions& options, Recorder& recorder,
                  const Tensor& frames, const Report& report) {
  const bool recorded = recorder.take("frames");
  if (!recorded && !(options.wants("frames") && reference.tensors->entries().contains(decoded_name))) return;
  const Tensor want = recorded ? recorder.recorded("frames") : frames_of(recorder.recorded(decoded_name));
  Check c = check("frames", frames, want, options.dtype == DType::f32 ? Limit::relative : Limit::none);
  if (c.difference.same_shape) {
    const double figure = psnr(frames, want);
    c.note = figure == INFINITY ? "identical" : fmt::format("PSNR {:.1f} dB", figure);
    if (options.dtype == DType::bf16 && reference.description.contains("bf16_psnr")) {
      const auto asked = reference.value<double>("bf16_psnr");
      c.verdict = figure >= asked ? Verdict::pass : Verdict::fail;
      c.note += fmt::format(" of {:.1f}", asked);
    }
  }
  report(c);
}

//! The encoder alone, of a pipeline that has no use for it: "encode.0.in.0" -> "encode.0.out".
void verify_encoder(pipelines::Pipeline& pipeline, Recorder& recorder, DType dtype) {
  const std::string in = "encode.0.in.0", out = "encode.0.out";
  if (!recorder.is_open(in) || !recorder.is_open(out)) return;
  const Tensor moments = pipeline.encode(recorder.recorded(in));
  if (!moments.defined()) return;
  recorder.is_input(in);
  recorder.deliver(out, moments, dtype == DType::f32 ? Limit::relative : Limit::cosine);
}

void verify_pipeline(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  Recorder recorder(reference, options, report);
  const bool wants_frames = options.wants("frames") && reference.tensors->entries().contains(decoded_name);
  if (!recorder.wants_any() && !wants_frames) return;
  const auto pipeline_class = reference.text("pipeline");
  const auto refuse = [&](const std::string& reason) {
    if (wants_frames && !recorder.is_open("frames")) report(not_checked("frames", {}, reason));
    recorder.refuse("", reason);
  };
  if (!pipelines::can_run(pipeline_class)) return refuse("this version cannot run a " + pipeline_class);
  if (const std::string why = obstacle(reference); !why.empty()) return refuse(why);

  const json& described = reference.description;
  const auto folder = !options.model.empty()             ? options.model
                      : described.contains("checkpoint") ? reference.folder / reference.text("checkpoint")
                                                         : reference.folder / "checkpoint";
  pipelines::LoadOptions load;
  load.dtype = options.dtype;
  load.reference_class = pipeline_class;
  load.loras = loras_of(reference);
  load.lora_mode = options.lora_mode;
  const auto pipeline = pipelines::load(folder, load);

  pipelines::Request request;
  if (described.contains("prompt")) request.prompt = reference.text("prompt");
  if (described.contains("negative_prompt") && !described.at("negative_prompt").is_null())
    request.negative_prompt = reference.text("negative_prompt");
  request.seed = reference.value<uint64_t>("seed");
  if (reference.description.contains("global_seed")) request.global_seed = reference.value<uint64_t>("global_seed");
  request.arguments = arguments_of(reference);
  for (const auto& [name, value] : request.arguments.items()) {
    const auto& list = pipeline->arguments();
    if (std::none_of(list.begin(), list.end(), [&](const auto& a) { return a.name == name; }))
      return refuse("this version cannot take its setting \"" + name + "\"");
  }
  // What the reference was given as a tensor is recorded by its argument's name.
  for (const auto& argument : pipeline->arguments()) {
    if (argument.type != "file" || !recorder.is_open(argument.name)) continue;
    request.tensors[argument.name] = recorder.recorded(argument.name);
    recorder.is_input(argument.name);
  }

  pipelines::Monitor monitor;
  monitor.cancel = options.cancel;
  const json inputs = described.value("inputs", json::object());
  const bool encodes = inputs.size() > (inputs.contains("loras") ? 1U : 0U);
  monitor.probe = [&](const std::string& name, const Tensor& got) {
    if (recorder.is_open(name))
      recorder.deliver(name, got, limit_of(name, recorder.recorded(name), options.dtype, encodes));
  };
  pipelines::Run run = pipeline->begin(request, monitor);
  pipeline->denoise(run, monitor);
  FrameCollector sink;
  pipeline->decode(run, 0, sink, monitor);
  check_frames(reference, options, recorder, sink.frames(), report);
  verify_encoder(*pipeline, recorder, options.dtype);
  recorder.refuse("", "the run did not come by it");
}

//! Per seed one generator draws everything in this order; what has at least 16 values is exact, under that the normal
//! numbers come from the C library's f64 functions and may round the other way.
void verify_random_numbers(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  Recorder recorder(reference, options, report);
  const auto note = [](const Difference& d) {
    return d.ulps == 0 ? std::string("exact") : fmt::format("{} ulp", d.ulps);
  };
  for (const auto& text : reference.value<std::vector<std::string>>("seeds")) {
    uint64_t seed = 0;
    try {
      seed = std::stoull(text);
    } catch (const std::exception&) {
      reference.broken("seeds");
    }
    const std::string prefix = "seed" + text + ".";
    const auto shape_of = [&](const std::string& name) -> const Shape& {
      const auto it = reference.tensors->entries().find(prefix + name);
      if (it == reference.tensors->entries().end())
        throw Error(ErrorKind::input, reference.name + " has no draw " + prefix + name, "copy the case again");
      return it->second.shape;
    };
    Generator generator(seed);
    for (int i = 0; reference.tensors->entries().contains(prefix + std::to_string(i)); ++i) {
      const std::string draw = std::to_string(i);
      recorder.deliver(prefix + draw, generator.randn(shape_of(draw)), Limit::one_ulp, note);
    }
    recorder.deliver(prefix + "bfloat16", generator.randn(shape_of("bfloat16"), DType::bf16), Limit::exact, note);
    recorder.deliver(prefix + "float16", generator.randn(shape_of("float16"), DType::f16), Limit::exact, note);
    recorder.deliver(prefix + "rand", generator.rand(shape_of("rand")), Limit::exact, note);
    recorder.deliver(prefix + "last", generator.randn(shape_of("last")), Limit::one_ulp, note);
  }
  recorder.refuse("", "its seed is not in case.json");
}

void verify_flow_match_euler(const ReferenceCase& reference, const std::string& name, const json& settings,
                             Recorder& recorder) {
  const auto origin = (reference.folder / "case.json").string();
  try {
    const schedulers::FlowMatchEulerOptions config =
        schedulers::FlowMatchEulerOptions::from_config(checkpoint::Config(settings.at("config"), origin));
    schedulers::FlowMatchEulerScheduler scheduler(config);
    schedulers::TimestepRequest request;
    const auto steps = settings.at("steps").get<int64_t>();
    request.sigmas = schedulers::linspace(1.0, 1.0 / static_cast<double>(steps), steps);
    if (settings.contains("mu")) request.mu = settings.at("mu").get<double>();
    scheduler.set_timesteps(request);
    const auto list = [](const std::vector<float>& v) {
      return Tensor::from<float>({static_cast<int64_t>(v.size())}, v);
    };
    recorder.deliver(name + ".timesteps", list(scheduler.timesteps()), Limit::relative);
    recorder.deliver(name + ".sigmas", list(scheduler.sigmas()), Limit::relative);
    const std::string step = name + ".step.";
    if (!reference.tensors->entries().contains(step + "prev_sample")) return;
    Generator generator(settings.at("step_generator_seed").get<uint64_t>());
    const Tensor next =
        scheduler.step(recorder.recorded(step + "model_output"), 1, recorder.recorded(step + "sample"), &generator);
    recorder.is_input(step + "model_output");
    recorder.is_input(step + "sample");
    recorder.deliver(step + "prev_sample", next, Limit::relative);
  } catch (const json::exception&) {
    reference.broken(name);
  }
}

//! The tables of a CogVideoX scheduler: "cogvideox_ddim.snr3.trailing.4.timesteps", and for all spacings and step
//! counts together "cogvideox_ddim.snr3.alphas_cumprod".
void verify_cogvideox(const ReferenceCase& reference, const std::string& name, const json& settings,
                      Recorder& recorder) {
  const auto origin = (reference.folder / "case.json").string();
  try {
    // What all CogVideoX schedulers of the cases have in common; case.json says the rest.
    json config{{"beta_start", 0.00085},         {"beta_end", 0.012},        {"beta_schedule", "scaled_linear"},
                {"clip_sample", false},          {"set_alpha_to_one", true}, {"prediction_type", "v_prediction"},
                {"rescale_betas_zero_snr", true}};
    for (const char* key : {"snr_shift_scale", "timestep_spacing"}) config[key] = settings.at(key);
    config["_class_name"] = name.starts_with("cogvideox_ddim.") ? "CogVideoXDDIMScheduler" : "CogVideoXDPMScheduler";
    const auto scheduler = schedulers::make_cogvideox_scheduler(checkpoint::Config(config, origin));
    scheduler->set_timesteps(settings.at("steps").get<int64_t>());
    const auto& timesteps = scheduler->timesteps();
    recorder.deliver(name + ".timesteps", Tensor::from<int64_t>({static_cast<int64_t>(timesteps.size())}, timesteps),
                     Limit::exact);
    const auto& alphas = scheduler->alphas_cumprod();
    const std::vector<float> table(alphas.begin(), alphas.end());
    const std::string group = name.substr(0, name.find('.', name.find('.') + 1));
    recorder.deliver(group + ".alphas_cumprod", Tensor::from<float>({static_cast<int64_t>(table.size())}, table),
                     Limit::relative);
  } catch (const json::exception&) {
    reference.broken(name);
  }
}

void verify_schedulers(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  Recorder recorder(reference, options, report);
  const json& all = reference.description.at("schedulers");
  if (!all.is_object()) reference.broken("schedulers");
  for (const auto& [name, settings] : all.items()) {
    const std::string group = name.substr(0, name.find('.', name.find('.') + 1));
    if (name.starts_with("flow_match_euler.") && recorder.wants_any(name + "."))
      verify_flow_match_euler(reference, name, settings, recorder);
    else if (name.starts_with("cogvideox_") && recorder.wants_any(group + "."))
      verify_cogvideox(reference, name, settings, recorder);
  }
  recorder.refuse("", "case.json does not say how it came about");
}

void verify_tokenizer(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  const auto tokenizer = text::T5Tokenizer::load(reference.folder / "tokenizer");
  const auto length = reference.value<int64_t>("max_length");
  const std::string padded = "padded_" + std::to_string(length);
  const json& texts = reference.description.at("texts");
  if (!texts.is_array()) reference.broken("texts");
  const auto compare = [&](const std::string& name, const std::vector<int64_t>& got, const json& want_ids) {
    if (!options.wants(name)) return;
    const auto want = want_ids.get<std::vector<int64_t>>();
    const auto list = [](const std::vector<int64_t>& v) {
      return Tensor::from<int64_t>({static_cast<int64_t>(v.size())}, v);
    };
    report(check(name, list(got), list(want), Limit::exact));
  };
  for (size_t i = 0; i < texts.size(); ++i) {
    try {
      const auto text = texts[i].at("text").get<std::string>();
      const std::string name = "text." + std::to_string(i);
      compare(name + ".ids", tokenizer.encode(text).ids, texts[i].at("ids"));
      compare(name + "." + padded, tokenizer.encode(text, length).ids, texts[i].at(padded));
    } catch (const json::exception&) {
      reference.broken("texts");
    }
  }
}

}  // namespace

std::string kind_of(const ReferenceCase& reference) {
  const json& d = reference.description;
  if (d.contains("pipeline")) return reference.text("pipeline");
  if (is_pyramid_flow_case(reference)) return "Pyramid Flow";
  if (d.contains("seeds")) return "random numbers";
  if (d.contains("schedulers")) return "schedulers";
  if (d.contains("texts")) return "tokenizer";
  return "unknown";
}

void verify_case(const ReferenceCase& reference, const VerifyOptions& options, const Report& report) {
  const json& d = reference.description;
  if (d.contains("pipeline")) return verify_pipeline(reference, options, report);
  if (is_pyramid_flow_case(reference)) return verify_pyramid_flow(reference, options, report);
  if (d.contains("seeds")) return verify_random_numbers(reference, options, report);
  if (d.contains("schedulers")) return verify_schedulers(reference, options, report);
  if (d.contains("texts")) return verify_tokenizer(reference, options, report);
  Recorder(reference, options, report).refuse("", "this version does not know this kind of case");
}

}  // namespace prax::app
