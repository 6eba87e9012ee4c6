#include "media/ffmpeg.h"

#include <mutex>

#include "base/error.h"
#include "media/output_file.h"

namespace prax::media {

void quiet_ffmpeg() {
  static std::once_flag once;
  std::call_once(once, [] { av_log_set_level(AV_LOG_QUIET); });
}

int check(int code, const char* what, const std::filesystem::path& file) {
  if (code >= 0) return code;
  if (code == AVERROR(ENOSPC) || code == AVERROR(EFBIG)) throw_write_error(AVUNERROR(code), file);
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  throw Error(ErrorKind::io, file.string() + ": " + what + " failed: " + text,
              "try another format (.mp4 .webm .gif .webp .png .npy)");
}

FramePtr new_frame(AVPixelFormat format, int width, int height) {
  FramePtr frame(av_frame_alloc());
  if (!frame) throw Error(ErrorKind::resource, "there is not enough memory for a picture", "close other programs");
  frame->format = format;
  frame->width = width;
  frame->height = height;
  check(av_frame_get_buffer(frame.get(), 0), "making a picture", "picture");
  return frame;
}

}  // namespace prax::media
