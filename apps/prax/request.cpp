#include "request.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "base/error.h"
#include "base/human.h"
#include "signals.h"

namespace prax::app {

namespace {

using nlohmann::json;

std::string without_line_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

//! All of stdin. Ctrl-C ends it as it ends everything else, which a plain read would not hear of.
std::string read_stdin() {
  constexpr int look_every_ms = 100;
  std::string text;
  char piece[1 << 14];
  for (;;) {
    signal_token().check();
    pollfd ready{STDIN_FILENO, POLLIN, 0};
    if (poll(&ready, 1, look_every_ms) <= 0) continue;
    const ssize_t count = read(STDIN_FILENO, piece, sizeof piece);
    if (count < 0 && errno != EINTR) throw Error(ErrorKind::io, "the prompt cannot be read from stdin");
    if (count == 0) return text;
    if (count > 0) text.append(piece, static_cast<size_t>(count));
  }
}

std::string prompt_of(const RequestFlags& flags) {
  if (!flags.prompt_file.empty()) {
    if (!flags.prompt.empty())
      throw Error(ErrorKind::usage, "a prompt was given on the command line and as a file", "give one of them");
    std::ifstream file(flags.prompt_file, std::ios::binary);
    std::error_code ignored;
    if (!file || std::filesystem::is_directory(flags.prompt_file, ignored))
      throw Error(ErrorKind::io, flags.prompt_file + " cannot be read", "check the name of the prompt file");
    return without_line_end({std::istreambuf_iterator<char>(file), {}});
  }
  return flags.prompt == "-" ? without_line_end(read_stdin()) : flags.prompt;
}

void require_text(const std::string& text, const std::string& what) {
  const size_t bad = invalid_utf8_offset(text);
  if (bad != std::string::npos)
    throw Error(ErrorKind::usage, what + " is not valid UTF-8 (byte " + std::to_string(bad) + ")",
                "type it as UTF-8, or convert the file: iconv -f LATIN1 -t UTF-8");
}

//! "768x512"
void put_size(const std::string& size, json& arguments) {
  const size_t cross = size.find_first_of("xX");
  int64_t width = 0, height = 0;
  const auto number = [&](size_t begin, size_t end, int64_t& value) {
    const char* last = size.data() + end;
    const auto [at, error] = std::from_chars(size.data() + begin, last, value);
    return error == std::errc() && at == last && value > 0;
  };
  if (cross == std::string::npos || !number(0, cross, width) || !number(cross + 1, size.size(), height))
    throw Error(ErrorKind::usage, "--size is '" + size + "', which is no size",
                "write it as WIDTHxHEIGHT, like 768x512");
  arguments["width"] = width;
  arguments["height"] = height;
}

json parse_value(const std::string& text) {
  const json value = json::parse(text, nullptr, false);
  return value.is_discarded() ? json(text) : value;
}

//! "key=value": JSON where the value is JSON, else text.
void put_setting(const std::string& setting, json& arguments) {
  const size_t equals = setting.find('=');
  if (equals == 0 || equals == std::string::npos)
    throw Error(ErrorKind::usage, "--set '" + setting + "' has no value", "write it as --set name=value");
  const std::string key = setting.substr(0, equals), text = setting.substr(equals + 1);
  require_text(setting, "--set");
  if (arguments.contains(key))
    throw Error(ErrorKind::usage, key + " was given twice",
                "a short flag and --set of the same argument exclude each other");
  arguments[key] = parse_value(text);
}

uint64_t seed_from(const std::string& name, const json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  throw Error(ErrorKind::usage, name + " is " + value.dump() + ", which is no seed",
              "use a whole number from 0 to 18446744073709551615");
}

namespace fs = std::filesystem;

//! A number that is all of the text.
template <typename T>
std::optional<T> number_in(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || at != end) return std::nullopt;
  return value;
}

//! A file, folder or pattern of numbered pictures that is there.
fs::path given_media(const std::string& name, const char* flag) {
  const fs::path path = fs::absolute(name).lexically_normal();
  std::error_code ignored;
  const bool is_pattern = path.filename().string().find('%') != std::string::npos;
  if (!fs::exists(is_pattern ? path.parent_path() : path, ignored))
    throw Error(ErrorKind::io, std::string(flag) + ": there is no " + name, "check the name of the file");
  return path;
}

//! "FILE@FRAME[:STRENGTH]"
pipelines::PlacedMedia placed_media(const std::string& text) {
  const size_t at = text.rfind('@');
  const auto wrong = [&] {
    return Error(ErrorKind::usage, "--condition is '" + text + "', which is no picture or clip at a frame",
                 "write it as FILE@FRAME or FILE@FRAME:STRENGTH, like face.png@48:0.8");
  };
  if (at == 0 || at == std::string::npos) throw wrong();
  std::string place = text.substr(at + 1);
  pipelines::PlacedMedia placed;
  if (const size_t colon = place.find(':'); colon != std::string::npos) {
    const auto strength = number_in<double>(place.substr(colon + 1));
    if (!strength) throw wrong();
    placed.strength = *strength;
    place.resize(colon);
  }
  const auto frame = number_in<int64_t>(place);
  if (!frame) throw wrong();
  placed.frame = *frame;
  placed.file = given_media(text.substr(0, at), "--condition");
  return placed;
}

//! "prompt@seconds"
pipelines::Shot shot_of(const std::string& text) {
  require_text(text, "--shot");
  const size_t at = text.rfind('@');
  const auto seconds = at == std::string::npos ? std::nullopt : number_in<double>(text.substr(at + 1));
  constexpr double longest = 3600;
  if (!seconds || at == 0 || !(*seconds > 0) || *seconds > longest)
    throw Error(ErrorKind::usage, "--shot is '" + text + "', which is no prompt with its seconds",
                "write it as --shot \"a red balloon rises@4\", from above 0 to 3600 seconds");
  return {text.substr(0, at), *seconds};
}

}  // namespace

pipelines::Intent make_intent(const RequestFlags& flags) {
  pipelines::Intent intent;
  if (!flags.image.empty()) intent.image = given_media(flags.image, "--image");
  if (!flags.video.empty()) intent.video = given_media(flags.video, "--video");
  if (!flags.extend.empty()) intent.extend = given_media(flags.extend, "--extend");
  if (!flags.upscale.empty()) intent.upscaler = given_media(flags.upscale, "--upscale");
  if (flags.extend.size() && flags.video.size())
    throw Error(ErrorKind::usage, "--extend and --video were given together", "do one after the other");
  for (const std::string& condition : flags.conditions) intent.conditions.push_back(placed_media(condition));
  for (const std::string& shot : flags.shots) intent.shots.push_back(shot_of(shot));
  intent.strength = flags.strength;
  if (intent.strength && !(*intent.strength >= 0 && *intent.strength <= 1))
    throw Error(ErrorKind::usage, "--strength is " + json(*intent.strength).dump() + ", which cannot be", "use 0 to 1");
  if (intent.strength && !intent.image && !intent.video)
    throw Error(ErrorKind::usage, "--strength was given without --image or --video",
                "it says how strongly the picture holds, or how far the clip is changed");
  intent.loop = flags.loop;
  return intent;
}

std::vector<checkpoint::LoraRequest> make_loras(const std::vector<std::string>& flags) {
  std::vector<checkpoint::LoraRequest> loras;
  for (const std::string& text : flags) {
    checkpoint::LoraRequest lora{fs::absolute(text).lexically_normal(), 1.0};
    const size_t colon = text.rfind(':');
    const auto weight = colon == std::string::npos ? std::nullopt : number_in<double>(text.substr(colon + 1));
    if (weight) lora = {fs::absolute(text.substr(0, colon)).lexically_normal(), *weight};
    loras.push_back(lora);
  }
  return loras;
}

pipelines::Request make_request(const RequestFlags& flags) {
  pipelines::Request request;
  request.prompt = prompt_of(flags);
  require_text(request.prompt, "the prompt");
  request.negative_prompt = flags.negative;
  require_text(request.negative_prompt, "the negative prompt");
  json& a = request.arguments;
  if (!flags.size.empty()) put_size(flags.size, a);
  if (flags.frames) a["num_frames"] = *flags.frames;
  if (flags.fps) a["frame_rate"] = *flags.fps;
  if (flags.steps) a["num_inference_steps"] = *flags.steps;
  if (flags.guidance) a["guidance_scale"] = *flags.guidance;
  if (flags.cache) a["cache"] = *flags.cache;
  for (const std::string& setting : flags.set) put_setting(setting, a);
  if (a.contains("global_seed")) {
    request.global_seed = seed_from("global_seed", a["global_seed"]);
    a.erase("global_seed");
  }
  if (a.contains("seed")) {
    if (flags.seed) throw Error(ErrorKind::usage, "seed was given twice", "use --seed alone");
    request.seed = seed_from("seed", a["seed"]);
    a.erase("seed");
  } else {
    request.seed = flags.seed ? seed_from("--seed", parse_value(*flags.seed)) : std::random_device{}();
  }
  for (const char* text : {"prompt", "negative_prompt"})
    if (a.contains(text))
      throw Error(ErrorKind::usage, std::string(text) + " is not set with --set",
                  "the prompt is the first argument, the negative prompt is --negative");
  // An encoded prompt stands in for a written one.
  if (request.prompt.find_first_not_of(" \t\r\n") == std::string::npos && !a.contains("prompt_embeds") &&
      flags.shots.empty() && !flags.promptless)
    throw Error(ErrorKind::usage, "the prompt is empty", "say what should be seen: prax generate \"a red balloon\"");
  return request;
}

}  // namespace prax::app
