#include "media/cut.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "media/clip.h"
#include "media/pixels.h"
#include "media/reader.h"
#include "media/resize.h"

namespace prax::media {

namespace {

//! A part counted in frames.
struct Piece {
  std::filesystem::path file;
  int64_t start_frame = 0;  //!< of the source
  int64_t frames = 0;       //!< at the result's rate
  int64_t fade = 0;         //!< of these, that the piece before fades into
};

[[noreturn]] void refuse_part(size_t index, const std::string& why, const std::string& hint) {
  throw Error(ErrorKind::usage, "part " + std::to_string(index + 1) + " " + why, hint);
}

Piece piece_of(const CutPart& part, const CutSource& info, size_t index, double fps) {
  const double rate = info.fps > 0 ? info.fps : fps;
  const auto frame_at = [&](double seconds) { return static_cast<int64_t>(std::llround(seconds * rate)); };
  Piece piece{part.file, frame_at(part.start), 0, std::llround(part.crossfade * fps)};
  int64_t last = info.frames;
  if (part.end && frame_at(*part.end) < info.frames - 1) last = frame_at(*part.end);
  if (piece.start_frame < 0 || piece.start_frame >= info.frames)
    refuse_part(index, "begins behind the end of its clip", "the clip has " + std::to_string(info.frames) + " frames");
  if (last <= piece.start_frame) refuse_part(index, "ends before it begins", "give an end behind the start");
  const double seconds = static_cast<double>(last - piece.start_frame) / rate;
  piece.frames = std::max<int64_t>(1, std::llround(seconds * fps));
  return piece;
}

std::vector<Piece> pieces_of(const std::vector<CutPart>& parts, const std::vector<CutSource>& sources, double fps) {
  if (parts.empty()) throw Error(ErrorKind::usage, "there are no parts to join", "give at least one");
  std::vector<Piece> pieces;
  for (size_t i = 0; i < parts.size(); ++i) {
    pieces.push_back(piece_of(parts[i], sources.at(i), i, fps));
    const Piece& piece = pieces.back();
    if (piece.fade == 0) continue;
    const char* hint = "shorten the crossfade, or take longer parts";
    if (i == 0) refuse_part(i, "has nothing before it to fade from", "leave the first part's crossfade out");
    if (piece.fade < 0 || piece.fade >= piece.frames) refuse_part(i, "is shorter than its crossfade", hint);
    if (pieces[i - 1].fade + piece.fade > pieces[i - 1].frames)
      refuse_part(i, "fades for longer than the part before it is", hint);
  }
  return pieces;
}

std::vector<CutSource> sources_of(const std::vector<CutPart>& parts) {
  std::vector<CutSource> sources;
  for (const CutPart& part : parts) {
    const VideoInfo info = probe(part.file);
    sources.push_back({info.frames, info.fps});
  }
  return sources;
}

int64_t count(const std::vector<Piece>& pieces) {
  int64_t frames = 0;
  for (const Piece& piece : pieces) frames += piece.frames - piece.fade;
  return frames;
}

//! The frames of one piece, fitted, exactly as many as were counted: a source that ends early holds its last picture.
class PieceReader {
public:
  PieceReader(const Piece& piece, const VideoFormat& format)
      : format_(format), left_(piece.frames), reader_(piece.file, options(piece, format)) {}

  bool next(std::vector<float>& rgb) {
    if (left_ == 0) return false;
    --left_;
    if (auto picture = reader_.next()) {
      if (picture->width != format_.width || picture->height != format_.height)
        picture = letterbox(*picture, format_.width, format_.height);
      last_ = *std::move(picture);
    }
    to_floats(last_.rgb, rgb);
    return true;
  }
  int64_t left() const { return left_; }

private:
  static ClipOptions options(const Piece& piece, const VideoFormat& format) {
    ClipOptions options;
    options.start_frame = piece.start_frame;
    options.max_frames = piece.frames;
    const double rate = probe(piece.file).fps;
    constexpr double same = 1e-3;
    if (rate > 0 && std::abs(rate - format.fps) > same) options.fps = format.fps;
    return options;
  }

  VideoFormat format_;
  int64_t left_;
  ClipReader reader_;
  Picture last_;
};

}  // namespace

Picture letterbox(const Picture& picture, int width, int height) {
  const double scale =
      std::min(static_cast<double>(width) / picture.width, static_cast<double>(height) / picture.height);
  const int inner_width = std::clamp(static_cast<int>(std::lround(picture.width * scale)), 1, width);
  const int inner_height = std::clamp(static_cast<int>(std::lround(picture.height * scale)), 1, height);
  const Picture inner = resize(picture, inner_width, inner_height);
  if (inner_width == width && inner_height == height) return inner;
  Picture result(width, height);
  const int left = (width - inner_width) / 2, top = (height - inner_height) / 2;
  for (int y = 0; y < inner_height; ++y) {
    std::copy_n(inner.row(y), static_cast<size_t>(inner_width) * 3,
                result.row(top + y) + static_cast<ptrdiff_t>(left) * 3);
  }
  return result;
}

int64_t count_cut_frames(const std::vector<CutPart>& parts, const std::vector<CutSource>& sources, double fps) {
  return count(pieces_of(parts, sources, fps));
}

VideoFormat cut_format(const std::vector<CutPart>& parts, int width, int height, double fps) {
  if (parts.empty()) throw Error(ErrorKind::usage, "there are no parts to join", "give at least one");
  const VideoInfo first = probe(parts.front().file);
  constexpr double usual_rate = 24;
  VideoFormat format;
  format.width = width > 0 ? width : first.width;
  format.height = height > 0 ? height : first.height;
  format.fps = fps > 0 ? fps : first.fps > 0 ? first.fps : usual_rate;
  format.frames = count(pieces_of(parts, sources_of(parts), format.fps));
  return format;
}

void cut(const std::vector<CutPart>& parts, const VideoFormat& format, FrameSink& sink,
         const std::function<void(int64_t done)>& progress) {
  const std::vector<Piece> pieces = pieces_of(parts, sources_of(parts), format.fps);
  sink.begin(format);
  int64_t done = 0;
  std::vector<float> rgb, incoming;
  const auto send = [&](const std::vector<float>& frame) {
    sink.frame(frame);
    ++done;
    if (progress) progress(done);
  };
  std::optional<PieceReader> on;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!on) on.emplace(pieces[i], format);
    const int64_t fade = i + 1 < pieces.size() ? pieces[i + 1].fade : 0;
    while (on->left() > fade && on->next(rgb)) send(rgb);
    std::optional<PieceReader> next;
    if (fade > 0) next.emplace(pieces[i + 1], format);
    for (int64_t k = 1; k <= fade && on->next(rgb) && next->next(incoming); ++k) {
      const float fresh = static_cast<float>(k) / static_cast<float>(fade + 1);
      for (size_t j = 0; j < rgb.size(); ++j) rgb[j] += fresh * (incoming[j] - rgb[j]);
      send(rgb);
    }
    on = std::move(next);
  }
  sink.finish();
}

}  // namespace prax::media
