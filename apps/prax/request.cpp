#include "request.h"

#include <charconv>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "base/error.h"
#include "base/human.h"

namespace prax::app {

namespace {

using nlohmann::json;

std::string read_all(std::istream& in) {
  std::string text{std::istreambuf_iterator<char>(in), {}};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::string prompt_of(const RequestFlags& flags) {
  if (!flags.prompt_file.empty()) {
    if (!flags.prompt.empty())
      throw Error(ErrorKind::usage, "a prompt was given on the command line and as a file", "give one of them");
    std::ifstream file(flags.prompt_file, std::ios::binary);
    if (!file) throw Error(ErrorKind::io, flags.prompt_file + " cannot be read", "check the name of the prompt file");
    return read_all(file);
  }
  return flags.prompt == "-" ? read_all(std::cin) : flags.prompt;
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
  const json value = json::parse(text, nullptr, false);
  arguments[key] = value.is_discarded() ? json(text) : value;
}

uint64_t seed_from(const json& value) {
  if (value.is_number_unsigned()) return value.get<uint64_t>();
  throw Error(ErrorKind::usage, "global_seed is " + value.dump() + ", which is no seed",
              "use a whole number from 0 on");
}

}  // namespace

pipelines::Request make_request(const RequestFlags& flags) {
  pipelines::Request request;
  request.prompt = prompt_of(flags);
  if (request.prompt.find_first_not_of(" \t\r\n") == std::string::npos)
    throw Error(ErrorKind::usage, "the prompt is empty", "say what should be seen: prax generate \"a red balloon\"");
  require_text(request.prompt, "the prompt");
  request.negative_prompt = flags.negative;
  require_text(request.negative_prompt, "the negative prompt");
  json& a = request.arguments;
  if (!flags.size.empty()) put_size(flags.size, a);
  if (flags.frames) a["num_frames"] = *flags.frames;
  if (flags.fps) a["frame_rate"] = *flags.fps;
  if (flags.steps) a["num_inference_steps"] = *flags.steps;
  if (flags.guidance) a["guidance_scale"] = *flags.guidance;
  for (const std::string& setting : flags.set) put_setting(setting, a);
  if (a.contains("global_seed")) {
    request.global_seed = seed_from(a["global_seed"]);
    a.erase("global_seed");
  }
  if (a.contains("seed")) {
    if (flags.seed) throw Error(ErrorKind::usage, "seed was given twice", "use --seed alone");
    request.seed = seed_from(a["seed"]);
    a.erase("seed");
  } else {
    request.seed = flags.seed ? *flags.seed : std::random_device{}();
  }
  for (const char* text : {"prompt", "negative_prompt"})
    if (a.contains(text))
      throw Error(ErrorKind::usage, std::string(text) + " is not set with --set",
                  "the prompt is the first argument, the negative prompt is --negative");
  return request;
}

}  // namespace prax::app
