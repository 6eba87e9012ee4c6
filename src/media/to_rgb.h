#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "media/ffmpeg.h"
#include "media/picture.h"

namespace prax::media {

//! Whose rules take Y'CbCr to RGB.
enum class Colours {
  video,  //!< the stream's tags; untagged streams are BT.709 from 720 lines on, else BT.601, as players do
  jpeg,   //!< libjpeg-turbo (jdsample.c, jdcolor.c), as Pillow has it; the fourth component is no alpha
  webp,   //!< libwebp (dsp/upsampling.c, dsp/yuv.h), as Pillow has it
  still   //!< other pictures: full range BT.601 unless they are tagged otherwise
};

//! RGBA to RGB, on white paper.
void over_white(std::span<const uint8_t> rgba, uint8_t* rgb);

//! Decoded frames of one size and kind to RGB. What is RGB, grey or a palette already keeps its values; samples of
//! more than 8 bits keep their high byte.
class ToRgb {
public:
  //! Throws Error(input) for a kind of samples that is not known; `name` is the file's.
  ToRgb(const AVFrame& like, Colours colours, const std::string& name);

  bool fits(const AVFrame& frame) const;
  //! Over white.
  Picture picture(const AVFrame& frame) const;
  //! [height, width, 4]; alpha is not multiplied in.
  std::vector<uint8_t> rgba(const AVFrame& frame) const;

private:
  struct FreeScaler {
    void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
  };
  using TakeRow = std::function<void(int y, const uint8_t* rgba)>;
  void rows(const AVFrame& frame, const TakeRow& take) const;
  void component_rows(const AVFrame& frame, const TakeRow& take) const;
  void palette_rows(const AVFrame& frame, const TakeRow& take) const;
  void planar_rows(const AVFrame& frame, const TakeRow& take) const;
  void scaled_rows(const AVFrame& frame, const TakeRow& take) const;
  void read_alpha(const AVFrame& frame, int y, uint8_t* rgba) const;
  FramePtr scaled(const AVFrame& frame) const;

  enum class Way { components, palette, planes, scaled };
  int width_;
  int height_;
  AVPixelFormat format_;
  const AVPixFmtDescriptor* kind_;
  Colours colours_;
  Way way_;
  bool has_alpha_;
  std::unique_ptr<SwsContext, FreeScaler> scaler_;
};

}  // namespace prax::media
