#include "media/to_rgb.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "media/input.h"
#include "media/still_colours.h"

namespace prax::media {

namespace {

constexpr int hd_lines = 720;
constexpr int bits = 8;
constexpr uint8_t opaque = 255;

Plane plane_of(const AVFrame& frame, const AVPixFmtDescriptor& kind, int i) {
  const int across = i == 0 ? 0 : kind.log2_chroma_w, down = i == 0 ? 0 : kind.log2_chroma_h;
  return {frame.data[i], frame.linesize[i], AV_CEIL_RSHIFT(frame.width, across), AV_CEIL_RSHIFT(frame.height, down)};
}

//! One component of a row, taken to 8 bits; `out` has a stride of 4.
void read_component(const AVFrame& frame, const AVPixFmtDescriptor& kind, int component, int y,
                    std::vector<uint16_t>& values, uint8_t* out) {
  const AVComponentDescriptor& place = kind.comp[component];
  const int depth = place.depth;
  const bool whole_bytes =
      (depth == bits || depth == 2 * bits) && place.shift == 0 && !(kind.flags & AV_PIX_FMT_FLAG_BITSTREAM);
  if (whole_bytes) {
    const int high = depth == 2 * bits && !(kind.flags & AV_PIX_FMT_FLAG_BE) ? 1 : 0;
    const uint8_t* from =
        frame.data[place.plane] + static_cast<ptrdiff_t>(y) * frame.linesize[place.plane] + place.offset + high;
    for (int x = 0; x < frame.width; ++x) out[4 * x] = from[x * place.step];
    return;
  }
  const uint8_t* data[4] = {frame.data[0], frame.data[1], frame.data[2], frame.data[3]};
  av_read_image_line2(values.data(), data, frame.linesize, &kind, 0, y, component, frame.width, 0, sizeof(uint16_t));
  const int most = (1 << depth) - 1;
  for (int x = 0; x < frame.width; ++x, out += 4) {
    const int value = values[static_cast<size_t>(x)];
    *out = static_cast<uint8_t>(depth >= bits ? value >> (depth - bits) : (value * 255 + most / 2) / most);
  }
}

}  // namespace

ToRgb::ToRgb(const AVFrame& like, Colours colours, const std::string& name)
    : width_(like.width),
      height_(like.height),
      format_(static_cast<AVPixelFormat>(like.format)),
      kind_(av_pix_fmt_desc_get(format_)),
      colours_(colours) {
  const MediaKind media = colours == Colours::video ? MediaKind::video : MediaKind::picture;
  if (!kind_) refuse(media, name, "its samples are of a kind that is not known here");
  const auto has = [this](uint64_t flags) { return (kind_->flags & flags) != 0; };
  has_alpha_ = colours != Colours::jpeg && has(AV_PIX_FMT_FLAG_ALPHA);
  const bool simple =
      !has(AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BAYER | AV_PIX_FMT_FLAG_HWACCEL) && kind_->comp[0].depth <= 16;
  const bool narrow_grey =
      colours == Colours::video && kind_->nb_components <= 2 && like.color_range == AVCOL_RANGE_MPEG;
  const bool byte_planes =
      simple && has(AV_PIX_FMT_FLAG_PLANAR) && kind_->nb_components >= 3 && kind_->comp[0].depth == bits;
  if (has(AV_PIX_FMT_FLAG_PAL)) {
    way_ = Way::palette;
    has_alpha_ = true;
  } else if (simple && (has(AV_PIX_FMT_FLAG_RGB) || kind_->nb_components <= 2) && !narrow_grey) {
    way_ = Way::components;
  } else if (byte_planes && colours == Colours::jpeg) {
    way_ = Way::planes;
  } else if (byte_planes && colours == Colours::webp && kind_->log2_chroma_w == 1 && kind_->log2_chroma_h == 1) {
    way_ = Way::planes;
  } else {
    way_ = Way::scaled;
    if (!sws_isSupportedInput(format_)) {
      refuse(media, name, "its samples (" + std::string(kind_->name) + ") cannot be converted to RGB");
    }
    scaler_.reset(allocated(
        sws_getContext(width_, height_, format_, width_, height_, AV_PIX_FMT_RGB24,
                       SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_BITEXACT, nullptr,
                       nullptr, nullptr)));
    int space = like.colorspace;
    if (space == AVCOL_SPC_UNSPECIFIED)
      space = height_ >= hd_lines && colours == Colours::video ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    const bool untagged_full = like.color_range == AVCOL_RANGE_UNSPECIFIED && colours == Colours::still;
    const bool full = like.color_range == AVCOL_RANGE_JPEG || colours == Colours::jpeg || untagged_full ||
                      std::strncmp(kind_->name, "yuvj", 4) == 0;
    sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(space), full, sws_getCoefficients(SWS_CS_DEFAULT), 1, 0,
                             1 << 16, 1 << 16);
  }
}

bool ToRgb::fits(const AVFrame& frame) const {
  return frame.width == width_ && frame.height == height_ && frame.format == format_;
}

FramePtr ToRgb::scaled(const AVFrame& frame) const {
  // The scaler writes whole vectors, beyond the end of a row too.
  FramePtr rgb = new_frame(AV_PIX_FMT_RGB24, width_, height_);
  sws_scale(scaler_.get(), frame.data, frame.linesize, 0, height_, rgb->data, rgb->linesize);
  return rgb;
}

void ToRgb::read_alpha(const AVFrame& frame, int y, uint8_t* rgba) const {
  std::vector<uint16_t> values(static_cast<size_t>(width_));
  read_component(frame, *kind_, kind_->nb_components - 1, y, values, rgba + 3);
}

void ToRgb::component_rows(const AVFrame& frame, const TakeRow& take) const {
  const int colours = kind_->nb_components - ((kind_->flags & AV_PIX_FMT_FLAG_ALPHA) ? 1 : 0);
  const bool inverted = format_ == AV_PIX_FMT_MONOWHITE;
  // FFmpeg multiplies CMYK's black in with 257 / 65536, a little less than 1 / 255, and cuts.
  const bool four_inks = colours_ == Colours::jpeg && kind_->nb_components == 4;
  std::vector<uint16_t> values(static_cast<size_t>(width_));
  std::vector<uint8_t> row(static_cast<size_t>(width_) * 4, opaque);
  for (int y = 0; y < height_; ++y) {
    for (int c = 0; c < std::min(colours, 3); ++c) read_component(frame, *kind_, c, y, values, row.data() + c);
    for (size_t i = 0; colours < 3 && i < row.size(); i += 4) {
      if (inverted) row[i] = static_cast<uint8_t>(~row[i]);
      row[i + 1] = row[i + 2] = row[i];
    }
    if (has_alpha_) {
      read_component(frame, *kind_, kind_->nb_components - 1, y, values, row.data() + 3);
    } else if (four_inks) {
      for (uint8_t& value : row) value = static_cast<uint8_t>(value + (value > 0 && value < opaque ? 1 : 0));
    }
    take(y, row.data());
  }
}

void ToRgb::palette_rows(const AVFrame& frame, const TakeRow& take) const {
  std::array<uint32_t, 256> colours;  // 0xAARRGGBB, in the machine's order
  std::memcpy(colours.data(), frame.data[1], sizeof colours);
  std::vector<uint8_t> row(static_cast<size_t>(width_) * 4);
  for (int y = 0; y < height_; ++y) {
    const uint8_t* index = frame.data[0] + static_cast<ptrdiff_t>(y) * frame.linesize[0];
    for (size_t x = 0; x < static_cast<size_t>(width_); ++x) {
      const uint32_t colour = colours[index[x]];
      row[4 * x] = static_cast<uint8_t>(colour >> 16);
      row[4 * x + 1] = static_cast<uint8_t>(colour >> 8);
      row[4 * x + 2] = static_cast<uint8_t>(colour);
      row[4 * x + 3] = static_cast<uint8_t>(colour >> 24);
    }
    take(y, row.data());
  }
}

void ToRgb::planar_rows(const AVFrame& frame, const TakeRow& take) const {
  const Plane luma = plane_of(frame, *kind_, 0), cb = plane_of(frame, *kind_, 1), cr = plane_of(frame, *kind_, 2);
  const auto width = static_cast<size_t>(width_);
  std::vector<uint8_t> blue(width), red(width), row(width * 4, opaque);
  for (int y = 0; y < height_; ++y) {
    if (colours_ == Colours::jpeg) {
      upsample_jpeg(cb, kind_->log2_chroma_w, kind_->log2_chroma_h, y, blue);
      upsample_jpeg(cr, kind_->log2_chroma_w, kind_->log2_chroma_h, y, red);
      jpeg_to_rgba(luma.row(y), blue, red, row.data());
    } else {
      upsample_webp(cb, y, blue);
      upsample_webp(cr, y, red);
      webp_to_rgba(luma.row(y), blue, red, row.data());
    }
    if (has_alpha_) read_alpha(frame, y, row.data());
    take(y, row.data());
  }
}

void ToRgb::scaled_rows(const AVFrame& frame, const TakeRow& take) const {
  const FramePtr rgb = scaled(frame);
  std::vector<uint8_t> row(static_cast<size_t>(width_) * 4, opaque);
  for (int y = 0; y < height_; ++y) {
    const uint8_t* line = rgb->data[0] + static_cast<ptrdiff_t>(y) * rgb->linesize[0];
    for (size_t x = 0; x < static_cast<size_t>(width_); ++x) std::copy_n(line + 3 * x, 3, row.data() + 4 * x);
    if (has_alpha_) read_alpha(frame, y, row.data());
    take(y, row.data());
  }
}

void ToRgb::rows(const AVFrame& frame, const TakeRow& take) const {
  switch (way_) {
    case Way::components:
      return component_rows(frame, take);
    case Way::palette:
      return palette_rows(frame, take);
    case Way::planes:
      return planar_rows(frame, take);
    case Way::scaled:
      return scaled_rows(frame, take);
  }
}

Picture ToRgb::picture(const AVFrame& frame) const {
  Picture result(width_, height_);
  if (way_ == Way::scaled && !has_alpha_) {
    const FramePtr rgb = scaled(frame);
    for (int y = 0; y < height_; ++y) {
      std::copy_n(rgb->data[0] + static_cast<ptrdiff_t>(y) * rgb->linesize[0], static_cast<size_t>(width_) * 3,
                  result.row(y));
    }
    return result;
  }
  rows(frame, [&](int y, const uint8_t* rgba) { over_white({rgba, static_cast<size_t>(width_) * 4}, result.row(y)); });
  return result;
}

std::vector<uint8_t> ToRgb::rgba(const AVFrame& frame) const {
  const size_t row = static_cast<size_t>(width_) * 4;
  std::vector<uint8_t> result(row * static_cast<size_t>(height_));
  rows(frame,
       [&](int y, const uint8_t* rgba) { std::copy_n(rgba, row, result.data() + static_cast<size_t>(y) * row); });
  return result;
}

void over_white(std::span<const uint8_t> rgba, uint8_t* rgb) {
  for (size_t i = 0; i < rgba.size(); i += 4) {
    const int alpha = rgba[i + 3];
    for (size_t c = 0; c < 3; ++c) {
      // Exact where alpha is 255; rounded to nearest else.
      *rgb++ = static_cast<uint8_t>((rgba[i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}

}  // namespace prax::media
