#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "commands.h"
#include "media/image.h"
#include "media/picture.h"
#include "media/pixels.h"
#include "media/reader.h"

namespace prax::app {

namespace {

struct InspectOptions {
  std::string kind, file;
  uint64_t memory = uint64_t{1} << 30;
  uint64_t seconds = 10;
};

void limit(int what, uint64_t most) {
  const rlimit value{most, most};
  if (setrlimit(static_cast<__rlimit_resource>(what), &value) != 0)
    throw Error(ErrorKind::internal, "a limit of the process cannot be set");
}

//! From here on a hostile file can do no more than end this process: it writes to no file, and takes no more memory and
//! time than was said.
void confine(const InspectOptions& o) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_CPU, o.seconds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // these take terabytes of addresses
  limit(RLIMIT_DATA, o.memory);
#endif
}

//! The first picture of a clip, as a PNG on the standard output.
void write_first_picture(const std::string& file) {
  const auto picture = media::read_picture(file);
  std::vector<float> rgb;
  media::to_floats(picture.rgb, rgb);
  const auto png = media::encode_png(rgb, picture.width, picture.height);
  if (std::fwrite(png.data(), 1, png.size(), stdout) != png.size() || std::fflush(stdout) != 0)
    throw Error(ErrorKind::io, "the picture cannot be written");
}

void inspect(const InspectOptions& o) {
  confine(o);
  if (o.kind == "first-picture") return write_first_picture(o.file);
  nlohmann::json found;
  if (o.kind == "picture") {
    const auto picture = media::read_picture(o.file);
    found = {{"width", picture.width}, {"height", picture.height}};
  } else {
    const auto info = media::probe(o.file);
    found = {{"width", info.width}, {"height", info.height}, {"frames", info.frames}, {"fps", info.fps}};
  }
  fmt::print("{}\n", found.dump());
}

}  // namespace

void add_inspect(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  auto* command = app.add_subcommand("inspect", "What the server asks of an upload")->group("");
  command->add_option("KIND", o->kind)->required()->check(CLI::IsMember({"picture", "clip", "first-picture"}));
  command->add_option("FILE", o->file)->required();
  command->add_option("--memory", o->memory, "Bytes that it may take");
  command->add_option("--seconds", o->seconds, "Processor time that it may take");
  command->callback([o] { inspect(*o); });
}

}  // namespace prax::app
