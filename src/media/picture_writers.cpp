#include "media/picture_writers.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "base/error.h"
#include "media/companions.h"
#include "media/image.h"
#include "media/metadata.h"
#include "media/output_file.h"
#include "media/pixels.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

//! How a sheet of frames looks.
struct SheetStyle {
  int64_t most_pictures;
  int gutter;  //!< white pixels around and between the pictures
  bool jpeg;   //!< else PNG
};
constexpr SheetStyle contact_sheet{16, 4, false}, spritesheet{25, 0, true};

class Sheet : public FrameSink {
public:
  Sheet(const SheetStyle& style, const fs::path& path, const WriterOptions& options)
      : style_(style), options_(options), file_(path) {}

  void begin(const VideoFormat& format) override {
    const int gutter = style_.gutter;
    constexpr int widest = 2048;
    format_ = format;
    pictures_ = std::clamp<int64_t>(format.frames, 1, style_.most_pictures);
    columns_ = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(pictures_) * format.height / format.width)));
    columns_ = std::clamp(columns_, 1, static_cast<int>(pictures_));
    rows_ = (static_cast<int>(pictures_) + columns_ - 1) / columns_;
    const double scale =
        std::min(1.0, static_cast<double>(widest - (columns_ + 1) * gutter) / (columns_ * format.width));
    cell_width_ = std::max(1, static_cast<int>(format.width * scale));
    cell_height_ = std::max(1, static_cast<int>(format.height * scale));
    width_ = columns_ * cell_width_ + (columns_ + 1) * gutter;
    height_ = rows_ * cell_height_ + (rows_ + 1) * gutter;
    sheet_.assign(static_cast<size_t>(width_) * static_cast<size_t>(height_) * 3, 1.0f);
    cell_.resize(static_cast<size_t>(cell_width_) * static_cast<size_t>(cell_height_) * 3);
  }

  void frame(std::span<const float> rgb) override {
    // The picture for place i is frame i * (frames - 1) / (pictures - 1).
    const int64_t wanted = pictures_ == 1 ? 0 : placed_ * (format_.frames - 1) / (pictures_ - 1);
    if (seen_++ != wanted || placed_ >= pictures_) return;
    shrink(rgb, format_.width, format_.height, cell_, cell_width_, cell_height_);
    const int column = static_cast<int>(placed_) % columns_, row = static_cast<int>(placed_) / columns_;
    const int gutter = style_.gutter, left = gutter + column * (cell_width_ + gutter),
              top = gutter + row * (cell_height_ + gutter);
    const size_t line = static_cast<size_t>(cell_width_) * 3;
    for (int y = 0; y < cell_height_; ++y)
      std::copy_n(cell_.begin() + static_cast<int64_t>(static_cast<size_t>(y) * line), line,
                  sheet_.begin() + (static_cast<int64_t>(top + y) * width_ + left) * 3);
    ++placed_;
  }

  void finish() override {
    file_.write(std::span<const uint8_t>(style_.jpeg ? encode_jpeg(sheet_, width_, height_)
                                                     : encode_png(sheet_, width_, height_, options_.metadata)));
    file_.commit();
  }

private:
  const SheetStyle style_;
  WriterOptions options_;
  OutputFile file_;
  VideoFormat format_;
  int64_t pictures_ = 1, placed_ = 0, seen_ = 0;
  int columns_ = 1, rows_ = 1, cell_width_ = 0, cell_height_ = 0, width_ = 0, height_ = 0;
  std::vector<float> sheet_, cell_;
};

//! Pictures are made in a hidden folder that takes the target's name at the end.
class PictureFolder : public FrameSink {
public:
  PictureFolder(const fs::path& path, const WriterOptions& options)
      : options_(options), target_(path.has_filename() ? path : path.parent_path()), part_(part_name(target_, 0)) {
    std::error_code error;
    if (fs::exists(target_, error) && !fs::is_directory(target_, error))
      throw Error(ErrorKind::io, target_.string() + " is a file, not a folder",
                  "give the folder another name, or an ending: .mp4");
    fs::create_directory(part_, error);
    if (error) throw_write_error(error.value(), target_);
  }

  ~PictureFolder() override {
    std::error_code ignored;
    fs::remove_all(part_, ignored);
  }

  void begin(const VideoFormat& format) override {
    format_ = format;
    OutputFile settings(part_ / "settings.json");
    settings.write(to_json(options_.metadata) + "\n");
    settings.commit();
  }

  void frame(std::span<const float> rgb) override {
    OutputFile file(part_ / frame_name(written_++));
    file.write(std::span<const uint8_t>(encode_png(rgb, format_.width, format_.height)));
    file.commit();
  }

  void finish() override {
    std::error_code error;
    fs::create_directory(target_, error);
    if (error) throw_write_error(error.value(), target_);
    for (const auto& entry : fs::directory_iterator(part_)) {
      fs::rename(entry.path(), target_ / entry.path().filename(), error);
      if (error) throw_write_error(error.value(), target_);
    }
    // Pictures of a longer clip that was there before would look like part of this one.
    for (int64_t i = written_; fs::remove(target_ / frame_name(i), error); ++i) {
    }
  }

private:
  static std::string frame_name(int64_t index) {
    char name[32];
    std::snprintf(name, sizeof name, "frame_%05lld.png", static_cast<long long>(index));
    return name;
  }

  WriterOptions options_;
  fs::path target_, part_;
  VideoFormat format_;
  int64_t written_ = 0;
};

class NpyWriter : public FrameSink {
public:
  explicit NpyWriter(const fs::path& path) : file_(path) {}

  void begin(const VideoFormat& format) override {
    constexpr size_t alignment = 64, preamble = 10;
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(format.frames) + ", " +
                         std::to_string(format.height) + ", " + std::to_string(format.width) + ", 3), }";
    header.append((alignment - (preamble + header.size() + 1) % alignment) % alignment, ' ');
    header += '\n';
    const char length[] = {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
    file_.write(std::string_view("\x93NUMPY\x01\x00", 8));
    file_.write(std::string_view(length, 2));
    file_.write(header);
  }

  void frame(std::span<const float> rgb) override {
    file_.write(std::span(reinterpret_cast<const uint8_t*>(rgb.data()), rgb.size_bytes()));
  }

  void finish() override { file_.commit(); }

private:
  OutputFile file_;
};

}  // namespace

std::unique_ptr<FrameSink> open_contact_sheet(const fs::path& path, const WriterOptions& options) {
  return std::make_unique<Sheet>(contact_sheet, path, options);
}

std::unique_ptr<FrameSink> open_spritesheet(const fs::path& path) {
  return std::make_unique<Sheet>(spritesheet, path, WriterOptions{});
}

std::unique_ptr<FrameSink> open_picture_folder(const fs::path& path, const WriterOptions& options) {
  return std::make_unique<PictureFolder>(path, options);
}

std::unique_ptr<FrameSink> open_npy(const fs::path& path, const WriterOptions&) {
  return std::make_unique<NpyWriter>(path);
}

}  // namespace prax::media
