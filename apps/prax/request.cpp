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

}  // namespace

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
  if (request.prompt.find_first_not_of(" \t\r\n") == std::string::npos && !a.contains("prompt_embeds"))
    throw Error(ErrorKind::usage, "the prompt is empty", "say what should be seen: prax generate \"a red balloon\"");
  return request;
}

}  // namespace prax::app
