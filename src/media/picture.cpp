#include "media/picture.h"

#include "base/error.h"
#include "media/ffmpeg.h"
#include "media/input.h"
#include "media/still.h"
#include "media/to_rgb.h"
#include "media/webp.h"

namespace prax::media {

namespace {

Picture first_picture(Input& input, const std::string& name) {
  const FramePtr frame(allocated(av_frame_alloc()));
  if (!input.next_frame(*frame)) refuse(MediaKind::picture, name, "there is no picture in it");
  const ToRgb converter(*frame, input.is_still() ? Colours::still : Colours::video, name);
  return turned_upright(converter.picture(*frame), input.orientation());
}

}  // namespace

Picture decode_picture(std::span<const uint8_t> file, const std::string& name) {
  const std::string_view head(reinterpret_cast<const char*>(file.data()), file.size());
  switch (still_kind(head)) {
    case StillKind::png: {
      const Orientation orientation = check_png(file, name);
      const FramePtr frame = decode_still(AV_CODEC_ID_PNG, png_without_texts(file), name);
      return turned_upright(ToRgb(*frame, Colours::still, name).picture(*frame), orientation);
    }
    case StillKind::jpeg: {
      const Orientation orientation = check_jpeg(file, name);
      const FramePtr frame = decode_still(AV_CODEC_ID_MJPEG, file, name);
      return turned_upright(ToRgb(*frame, Colours::jpeg, name).picture(*frame), orientation);
    }
    case StillKind::webp: {
      const WebpFile webp = parse_webp(file, name);
      if (webp.animated) {
        WebpCanvas canvas(webp, name);
        canvas.next();
        return canvas.picture();
      }
      const FramePtr frame = decode_still(AV_CODEC_ID_WEBP, file, name);
      return turned_upright(ToRgb(*frame, Colours::webp, name).picture(*frame), webp.orientation);
    }
    case StillKind::none:
      break;
  }
  Input input(MediaKind::picture, file, name);
  // A TIFF is an EXIF block by itself.
  const Orientation orientation = exif_orientation(file);
  return turned_upright(first_picture(input, name), orientation);
}

Picture read_picture(const std::filesystem::path& path) {
  constexpr size_t head_bytes = 16;
  const std::string head = file_head(path, head_bytes);
  const bool is_tiff = head.starts_with("II*") || head.starts_with("MM");
  if (still_kind(head) == StillKind::none && !is_tiff) {
    // It may be a long video, of which one frame is read.
    Input input(MediaKind::picture, path);
    return first_picture(input, path.string());
  }
  const std::string bytes = file_bytes(path);
  return decode_picture({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, path.string());
}

}  // namespace prax::media
