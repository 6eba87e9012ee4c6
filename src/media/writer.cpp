#include "media/writer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/human.h"
#include "media/output_file.h"
#include "media/picture_writers.h"
#include "media/video_writer.h"

namespace prax::media {

namespace {

using Open = std::unique_ptr<FrameSink> (*)(const std::filesystem::path&, const WriterOptions&);

struct Format {
  std::string_view ending;
  Open open;
};

constexpr std::array formats{Format{".mp4", open_mp4},   Format{".webm", open_webm},         Format{".gif", open_gif},
                             Format{".webp", open_webp}, Format{".png", open_contact_sheet}, Format{".npy", open_npy}};

//! Holds the one who writes to what was announced, before a file says something else than it shows.
class CheckedSink : public FrameSink {
public:
  explicit CheckedSink(std::unique_ptr<FrameSink> sink) : sink_(std::move(sink)) {}

  void begin(const VideoFormat& format) override {
    constexpr double slowest = 0.01, fastest = 1000;
    if (format.width < 1 || format.height < 1 || format.frames < 1) {
      throw Error(ErrorKind::usage,
                  "a video cannot have " + std::to_string(format.frames) + " frames of " +
                      std::to_string(format.width) + "x" + std::to_string(format.height),
                  "give a size and a number of frames above 0");
    }
    // Written so that NaN fails too.
    if (!(format.fps >= slowest && format.fps <= fastest)) {
      throw Error(ErrorKind::usage, "a video cannot have " + human_number(format.fps) + " frames a second",
                  "give a rate from 0.01 to 1000");
    }
    format_ = format;
    taken_ = 0;
    sink_->begin(format);
  }

  void frame(std::span<const float> rgb) override {
    const size_t values = static_cast<size_t>(format_.width) * static_cast<size_t>(format_.height) * 3;
    if (rgb.size() != values) {
      throw Error(ErrorKind::internal,
                  "frame " + std::to_string(taken_) + " has " + std::to_string(rgb.size()) + " values, not " +
                      std::to_string(values),
                  report);
    }
    if (taken_ == format_.frames) refuse_count("more came");
    sink_->frame(rgb);
    ++taken_;
  }

  void finish() override {
    if (taken_ != format_.frames) refuse_count("only " + std::to_string(taken_) + " came");
    sink_->finish();
  }

private:
  static constexpr const char* report = "this is a fault of the program; please report it";

  [[noreturn]] void refuse_count(const std::string& came) const {
    throw Error(ErrorKind::internal, std::to_string(format_.frames) + " frames were announced, but " + came, report);
  }

  std::unique_ptr<FrameSink> sink_;
  VideoFormat format_;
  int64_t taken_ = 0;
};

Open format_of(const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::error_code error;
  if (ending.empty() || std::filesystem::is_directory(path, error)) return open_picture_folder;
  std::string known;
  for (const Format& format : formats) {
    if (format.ending == ending) return format.open;
    known += std::string(format.ending) + " ";
  }
  throw Error(ErrorKind::usage, "prax does not write " + ending + " files",
              "use " + known + "or a folder for numbered pictures");
}

}  // namespace

std::unique_ptr<FrameSink> open_writer(const std::filesystem::path& path, const WriterOptions& options) {
  if (path.empty()) throw Error(ErrorKind::usage, "the output has no name", "give one with -o, like -o clip.mp4");
  const Open open = format_of(path);
  require_parent_folder(path.has_filename() ? path : path.parent_path());
  return std::make_unique<CheckedSink>(open(path, options));
}

void check_writable(const std::filesystem::path& path) { open_writer(path); }

}  // namespace prax::media
