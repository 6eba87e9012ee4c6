#include "media/writer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/error.h"
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
  return open(path, options);
}

void check_writable(const std::filesystem::path& path) { open_writer(path); }

}  // namespace prax::media
