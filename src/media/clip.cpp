#include "media/clip.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "media/input.h"
#include "media/reader.h"
#include "media/still.h"
#include "media/to_rgb.h"
#include "media/webp.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

//! Frames one after another; a frame costs its conversion only when it is asked for.
class FrameSource {
public:
  virtual ~FrameSource() = default;
  //! Goes to the first, the next frame; false behind the last.
  virtual bool next() = 0;
  //! What makes the picture of the frame that is on now; it works after next() too.
  virtual std::function<Picture()> frame() = 0;
  //! When the frame that is on begins, and the last one ends, in seconds.
  virtual double begins() const = 0;
  virtual double ends() const = 0;
  //! 0: unknown.
  virtual double fps() const = 0;
};

class VideoSource : public FrameSource {
public:
  explicit VideoSource(const fs::path& path)
      : name_(path.string()), input_(MediaKind::video, path), frame_(allocated(av_frame_alloc())) {
    const AVRational rate = av_guess_frame_rate(&input_.container(), &input_.stream(), nullptr);
    fps_ = rate.num > 0 && rate.den > 0 ? av_q2d(rate) : 0;
  }

  bool next() override {
    if (!input_.next_frame(*frame_)) return false;
    const double unit = av_q2d(input_.stream().time_base);
    const double usual = fps_ > 0 ? 1 / fps_ : 0;
    begins_ = frame_->best_effort_timestamp == AV_NOPTS_VALUE
                  ? ends_
                  : static_cast<double>(frame_->best_effort_timestamp) * unit;
    ends_ = begins_ + (frame_->pkt_duration > 0 ? static_cast<double>(frame_->pkt_duration) * unit : usual);
    return true;
  }

  std::function<Picture()> frame() override {
    const auto size = std::pair(frame_->width, frame_->height);
    if (!converter_) size_ = size;
    if (size != size_) refuse(MediaKind::video, name_, "its pictures change their size");
    if (!converter_ || !converter_->fits(*frame_)) {
      require_picture_size(MediaKind::video, name_, frame_->width, frame_->height);
      converter_ = std::make_shared<ToRgb>(*frame_, Colours::video, name_);
    }
    return [converter = converter_, orientation = input_.orientation(),
            kept = std::shared_ptr<AVFrame>(FramePtr(allocated(av_frame_clone(frame_.get()))))] {
      return turned_upright(converter->picture(*kept), orientation);
    };
  }

  double begins() const override { return begins_; }
  double ends() const override { return ends_; }
  double fps() const override { return fps_; }
  bool is_still() const { return input_.is_still(); }

private:
  std::string name_;
  Input input_;
  FramePtr frame_;
  std::shared_ptr<ToRgb> converter_;
  std::pair<int, int> size_;
  double fps_ = 0, begins_ = 0, ends_ = 0;
};

class WebpSource : public FrameSource {
public:
  explicit WebpSource(const fs::path& path)
      : bytes_(file_bytes(path)),
        file_(parse_webp({reinterpret_cast<const uint8_t*>(bytes_.data()), bytes_.size()}, path.string())),
        canvas_(file_, path.string()) {
    int64_t milliseconds = 0;
    for (const WebpFrame& frame : file_.frames) milliseconds += frame.milliseconds;
    if (milliseconds > 0) fps_ = static_cast<double>(file_.frames.size()) * 1000 / static_cast<double>(milliseconds);
  }

  bool next() override {
    if (!canvas_.next()) return false;
    begins_ = ends_;
    ends_ += file_.frames[drawn_++].milliseconds;
    return true;
  }

  std::function<Picture()> frame() override {
    return [picture = canvas_.picture()] { return picture; };
  }

  double begins() const override { return static_cast<double>(begins_) / 1000; }
  double ends() const override { return static_cast<double>(ends_) / 1000; }
  double fps() const override { return fps_; }

  bool animated() const { return file_.animated; }

private:
  std::string bytes_;
  WebpFile file_;
  WebpCanvas canvas_;
  size_t drawn_ = 0;
  int64_t begins_ = 0, ends_ = 0;
  double fps_ = 0;
};

//! Files with a picture each.
class PictureSource : public FrameSource {
public:
  PictureSource(std::vector<fs::path> paths, double fps) : paths_(std::move(paths)), fps_(fps) {}

  bool next() override {
    if (on_ == paths_.size()) return false;
    ++on_;
    return true;
  }

  std::function<Picture()> frame() override {
    return [path = paths_[on_ - 1]] { return read_picture(path); };
  }

  double begins() const override { return fps_ > 0 ? static_cast<double>(on_ - 1) / fps_ : 0; }
  double ends() const override { return fps_ > 0 ? static_cast<double>(on_) / fps_ : 0; }
  double fps() const override { return fps_; }

private:
  std::vector<fs::path> paths_;
  double fps_;
  size_t on_ = 0;
};

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

//! What is before the last number of a name, and the number.
struct Numbered {
  std::string before;
  std::string digits;
  std::string after;
  fs::path path;
};

std::optional<Numbered> numbered(const fs::path& path) {
  const std::string name = path.filename().string();
  size_t end = path.stem().string().size();
  while (end > 0 && !is_digit(name[end - 1])) --end;
  size_t begin = end;
  while (begin > 0 && is_digit(name[begin - 1])) --begin;
  if (begin == end) return std::nullopt;
  const size_t first = std::min(name.find_first_not_of('0', begin), end);
  return Numbered{name.substr(0, begin), name.substr(first, end - first), name.substr(end), path};
}

//! Pictures of a folder in the order of their numbers. Hidden files and those without a number are left out.
std::vector<fs::path> folder_pictures(const fs::path& folder) {
  static constexpr std::string_view endings[] = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"};
  std::vector<Numbered> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::string ending = entry->path().extension().string();
    for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (entry->path().filename().string().starts_with(".")) continue;
    if (std::find(std::begin(endings), std::end(endings), ending) == std::end(endings)) continue;
    if (auto one = numbered(entry->path())) found.push_back(*std::move(one));
  }
  if (error) {
    throw Error(ErrorKind::io, folder.string() + " cannot be read: " + error.message(),
                "Check the name and the permissions.");
  }
  if (found.empty()) {
    throw Error(ErrorKind::input, folder.string() + " cannot be read as a video: the folder holds no numbered pictures",
                "Name the pictures like frame_00000.png, frame_00001.png.");
  }
  const Numbered& first = found.front();
  for (const Numbered& other : found) {
    if (other.before == first.before && other.after == first.after) continue;
    throw Error(ErrorKind::input,
                folder.string() + " cannot be read as a video: it holds pictures of more than one series, like " +
                    first.path.filename().string() + " and " + other.path.filename().string(),
                "Keep one series in a folder, or give a pattern like " +
                    (folder / (first.before + "%d" + first.after)).string() + ".");
  }
  std::sort(found.begin(), found.end(), [](const Numbered& a, const Numbered& b) {
    return a.digits.size() != b.digits.size() ? a.digits.size() < b.digits.size() : a.digits < b.digits;
  });
  std::vector<fs::path> paths;
  for (Numbered& one : found) paths.push_back(std::move(one.path));
  return paths;
}

//! A name with one "%d" or "%0Nd" ("%%" is a percent sign).
struct Pattern {
  std::string before;
  std::string after;
  size_t digits = 0;

  fs::path operator()(int64_t number) const {
    std::string text = std::to_string(number);
    if (text.size() < digits) text.insert(0, digits - text.size(), '0');
    return before + text + after;
  }
};

std::optional<Pattern> pattern_of(const std::string& name) {
  constexpr size_t most_digits = 9;
  Pattern pattern;
  bool numbered = false;
  for (size_t at = 0; at < name.size(); ++at) {
    std::string& side = numbered ? pattern.after : pattern.before;
    if (name[at] != '%') {
      side += name[at];
      continue;
    }
    size_t end = at + 1;
    if (end < name.size() && name[end] == '%') {
      side += '%';
      at = end;
      continue;
    }
    while (end < name.size() && is_digit(name[end])) ++end;
    const std::string width = name.substr(at + 1, end - at - 1);
    const bool padded = width.empty() || (width.front() == '0' && width.size() <= 2);
    if (numbered || !padded || end == name.size() || name[end] != 'd') return std::nullopt;
    pattern.digits = width.empty() ? 0 : std::min<size_t>(std::stoul(width), most_digits);
    numbered = true;
    at = end;
  }
  return numbered ? std::optional(pattern) : std::nullopt;
}

std::vector<fs::path> pattern_pictures(const Pattern& pattern, const fs::path& path) {
  std::error_code ignored;
  std::vector<fs::path> paths;
  int64_t number = fs::exists(pattern(0), ignored) ? 0 : 1;
  for (; fs::exists(pattern(number), ignored); ++number) paths.push_back(pattern(number));
  if (!paths.empty()) return paths;
  throw Error(
      ErrorKind::io,
      path.string() + " names no pictures: there is neither " + pattern(0).string() + " nor " + pattern(1).string(),
      "Number the pictures from 0 or 1.");
}

//! The rate in the settings that were stored with a folder of pictures; 0 when there is none.
double stored_rate(const fs::path& folder) {
  const auto settings = read_settings(folder);
  for (const char* key : {"fps", "frame_rate"}) {
    const auto found = settings.find(key);
    if (found == settings.end()) continue;
    try {
      const double rate = std::stod(found->second);
      if (std::isfinite(rate) && rate > 0) return rate;
    } catch (const std::exception&) {  // no number, no rate
    }
  }
  return 0;
}

std::unique_ptr<FrameSource> open_source(const fs::path& path) {
  constexpr size_t head_bytes = 16;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return std::make_unique<PictureSource>(folder_pictures(path), stored_rate(path));
  if (!fs::exists(path, ignored)) {
    if (const auto pattern = pattern_of(path.string()))
      return std::make_unique<PictureSource>(pattern_pictures(*pattern, path), stored_rate(path.parent_path()));
  }
  const auto one_picture = [&] { return std::make_unique<PictureSource>(std::vector{path}, 0); };
  switch (still_kind(file_head(path, head_bytes))) {
    case StillKind::png: {
      const std::string bytes = file_bytes(path);
      if (!is_animated_png({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()})) return one_picture();
      return std::make_unique<VideoSource>(path);
    }
    case StillKind::jpeg:
      return one_picture();
    case StillKind::webp: {
      auto webp = std::make_unique<WebpSource>(path);
      if (!webp->animated()) return one_picture();
      return webp;
    }
    case StillKind::none:
      break;
  }
  auto video = std::make_unique<VideoSource>(path);
  if (video->is_still()) return one_picture();
  return video;
}

void require_options(const ClipOptions& options) {
  constexpr double fastest = 1000;
  if (options.start_frame < 0) {
    throw Error(ErrorKind::usage, "a clip cannot start at frame " + std::to_string(options.start_frame),
                "Frames are counted from 0.");
  }
  if (options.max_frames && *options.max_frames < 1) {
    throw Error(ErrorKind::usage, "a clip cannot have " + std::to_string(*options.max_frames) + " frames",
                "Ask for at least 1.");
  }
  if (options.fps && !(*options.fps > 0 && *options.fps <= fastest)) {
    throw Error(ErrorKind::usage, "a clip cannot be read at that frame rate",
                "Give a rate above 0 and up to 1000 frames a second.");
  }
}

void append(Clip& clip, Picture picture, const fs::path& path) {
  if (!clip.frames.empty()) {
    const Picture& first = clip.frames.front();
    if (picture.width != first.width || picture.height != first.height)
      refuse(MediaKind::video, path.string(), "its pictures change their size");
  }
  clip.frames.push_back(std::move(picture));
}

}  // namespace

class ClipReader::Impl {
public:
  Impl(const fs::path& path, const ClipOptions& options)
      : path_(path), source_(open_source(path)), most_(options.max_frames.value_or(INT64_MAX)) {
    fps_ = options.fps.value_or(source_->fps());
    resamples_ = options.fps && source_->fps() > 0;
    for (int64_t i = 0; i <= options.start_frame; ++i) {
      if (source_->next()) continue;
      if (i == 0) refuse(MediaKind::video, path.string(), "there is no picture in it");
      throw Error(ErrorKind::input,
                  path.string() + " has only " + std::to_string(i) + " frames, so it cannot start at frame " +
                      std::to_string(options.start_frame),
                  "Frames are counted from 0.");
    }
    start_ = source_->begins();
  }

  std::optional<Picture> next() {
    if (made_ == most_) return std::nullopt;
    if (resamples_) return resampled();
    if (made_ > 0 && !source_->next()) return std::nullopt;
    ++made_;
    return source_->frame()();
  }

  double fps() const { return fps_; }
  bool resamples() const { return resamples_; }

private:
  //! Frame i shows what is on at i / fps seconds behind the beginning of the first frame.
  std::optional<Picture> resampled() {
    // A frame that begins this much later counts as on; times in files are rounded.
    constexpr double early = 1e-3;
    for (;;) {
      if (!on_) {
        if (!more_) return std::nullopt;
        on_ = source_->frame();
        end_ = source_->ends();
        more_ = source_->next();
        if (more_) end_ = source_->begins();
        picture_.reset();
      }
      // A frame is made at least for the first moment.
      if (made_ == 0 || start_ + static_cast<double>(made_) / fps_ < end_ - early) {
        if (!picture_) picture_ = on_();
        ++made_;
        return picture_;
      }
      on_ = nullptr;
    }
  }

  fs::path path_;
  std::unique_ptr<FrameSource> source_;
  int64_t most_, made_ = 0;
  double fps_ = 0, start_ = 0, end_ = 0;
  bool resamples_ = false, more_ = true;
  std::function<Picture()> on_;
  std::optional<Picture> picture_;
};

ClipReader::ClipReader(const fs::path& path, const ClipOptions& options) {
  require_options(options);
  impl_ = std::make_unique<Impl>(path, options);
}
ClipReader::~ClipReader() = default;
ClipReader::ClipReader(ClipReader&&) noexcept = default;
ClipReader& ClipReader::operator=(ClipReader&&) noexcept = default;
std::optional<Picture> ClipReader::next() { return impl_->next(); }
double ClipReader::fps() const { return impl_->fps(); }
bool ClipReader::resamples() const { return impl_->resamples(); }

Clip read_clip(const fs::path& path, const ClipOptions& options) {
  ClipReader reader(path, options);
  Clip clip;
  clip.fps = reader.fps();
  while (auto picture = reader.next()) append(clip, *std::move(picture), path);
  if (options.fps && !reader.resamples() && clip.frames.size() > 1) {
    throw Error(ErrorKind::usage, path.string() + " has no frame rate of its own, so it cannot be read at another",
                "Leave the frame rate out to take each picture as one frame.");
  }
  return clip;
}

Clip read_clip_tail(const fs::path& path, int64_t frames) {
  require_options({0, frames, {}});
  const std::unique_ptr<FrameSource> source = open_source(path);
  std::deque<std::function<Picture()>> last;
  while (source->next()) {
    if (static_cast<int64_t>(last.size()) == frames) last.pop_front();
    last.push_back(source->frame());
  }
  if (last.empty()) refuse(MediaKind::video, path.string(), "there is no picture in it");
  Clip clip;
  clip.fps = source->fps();
  for (; !last.empty(); last.pop_front()) append(clip, last.front()(), path);
  return clip;
}

}  // namespace prax::media
