#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "media/orientation.h"
#include "media/picture.h"

namespace prax::media {

//! One frame of an animated WebP (RFC 9649, 2.7.1.2), or the picture of a still one.
struct WebpFrame {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  int milliseconds = 0;
  bool blends = false;              //!< over what is there, else it replaces it
  bool disposes = false;            //!< its place is cleared after it was shown
  std::span<const uint8_t> chunks;  //!< "ALPH" (or not) and "VP8 " or "VP8L"
};

//! A WebP file taken apart; spans point into its bytes.
struct WebpFile {
  int width = 0;
  int height = 0;
  bool animated = false;
  Orientation orientation = upright;
  std::vector<WebpFrame> frames;
};

//! Throws Error(input) when the file is cut off or its structure is broken; `name` is for messages.
WebpFile parse_webp(std::span<const uint8_t> file, const std::string& name);

//! Draws the frames of an animation one after another (RFC 9649, 2.7.1, "canvas assembly").
class WebpCanvas {
public:
  //! `file` and the bytes that it points into live as long as this.
  WebpCanvas(const WebpFile& file, const std::string& name);

  //! Draws the next frame; false when there is none. Error(input) when it is damaged.
  bool next();
  //! What is to be seen now: over white, turned upright.
  Picture picture() const;

private:
  const WebpFile& file_;
  std::string name_;
  std::vector<uint8_t> rgba_;
  size_t drawn_ = 0;
};

}  // namespace prax::media
