#include "memory_limit.h"

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/process.h"

namespace prax::app {

namespace {

struct Unit {
  const char* name;
  double bytes;
};

constexpr Unit units[] = {{"B", 1},     {"K", 1e3},    {"KB", 1e3},           {"M", 1e6},
                          {"MB", 1e6},  {"G", 1e9},    {"GB", 1e9},           {"T", 1e12},
                          {"TB", 1e12}, {"KIB", 1024}, {"MIB", 1024 * 1024.}, {"GIB", 1024 * 1024. * 1024},
                          {"", 1}};

}  // namespace

uint64_t parse_memory(const std::string& text) {
  const auto refuse = [&]() -> uint64_t {
    throw Error(ErrorKind::usage, "a memory limit of \"" + text + "\" cannot be",
                "write it like 8G, 6500M, 7.5GiB or 50%");
  };
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(number) || number <= 0) return refuse();
  std::string unit(end);
  for (char& c : unit) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (unit == "%") {
    if (number > 100) return refuse();
    return static_cast<uint64_t>(static_cast<double>(total_memory()) * number / 100);
  }
  for (const Unit& u : units) {
    if (unit != u.name) continue;
    const double bytes = number * u.bytes;
    if (bytes < 1e6 || bytes > 1e18) return refuse();  // "8" was meant as gigabytes
    return static_cast<uint64_t>(bytes);
  }
  return refuse();
}

uint64_t memory_limit(const std::string& flag) {
  if (!flag.empty()) return parse_memory(flag);
  const char* text = std::getenv("PRAX_MEMORY");
  return text && *text ? parse_memory(text) : 0;
}

uint64_t writer_memory(const std::string& output, const media::VideoFormat& format) {
  // Frames that the encoders of FFmpeg hold with their usual settings, at 1.5 bytes a pixel and what they derive from
  // each; and two pictures on their way there in f32.
  constexpr int64_t h264_bytes = 190, other_bytes = 60, on_the_way = 2 * 3 * 4;
  const std::string ending = std::filesystem::path(output).extension();
  const int64_t bytes = ending == ".mp4" ? h264_bytes : ending == ".npy" ? 0 : other_bytes;
  return static_cast<uint64_t>(int64_t{format.width} * format.height * (bytes + on_the_way));
}

}  // namespace prax::app
