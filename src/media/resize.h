#pragma once

#include <span>
#include <string_view>

#include "media/picture.h"
#include "tensor/tensor.h"

namespace prax::media {

//! Pillow's filters (Image.Resampling). All but nearest widen with the ratio when a picture gets smaller.
enum class Filter { nearest, box, bilinear, hamming, bicubic, lanczos };

//! By the name that the reference's image processor uses for its `resample`: "lanczos", "bicubic", "bilinear" or
//! "linear", "nearest", and Pillow's "box" and "hamming". Error(usage) for another.
Filter filter_named(std::string_view name);

//! A rectangle in a picture's coordinates, where pixel (x, y) covers [x, x + 1) by [y, y + 1).
struct Box {
  float left = 0;
  float top = 0;
  float right = 0;
  float bottom = 0;
};

//! Pillow's Image.resize: bit for bit what Pillow 13 computes in 8-bit RGB (src/libImaging/Resample.c: weights in fixed
//! point with 22 bits; across first, then down, or the reverse when the height shrinks by much more; each rounded to 8
//! bits). Error(usage) unless both sides are positive.
Picture resize(const Picture& picture, int width, int height, Filter filter = Filter::lanczos);
//! The same of a part, which need not lie on whole pixels (Image.resize's `box`). Error(usage) when it is not inside.
Picture resize(const Picture& picture, int width, int height, Filter filter, const Box& box);

//! The reference's `resize_mode` (diffusers image_processor.py, VaeImageProcessor.resize).
enum class Fit {
  stretch,  //!< "default": to the size, whatever the aspect
  crop,     //!< "crop": scaled to cover, the middle kept
  fill      //!< "fill": scaled to lie inside, the bars filled with its edges
};

//! By the reference's name. Error(usage) for another.
Fit fit_named(std::string_view name);

//! VaeImageProcessor.resize of a picture to exactly width x height.
Picture resize_to_fit(const Picture& picture, int width, int height, Fit fit, Filter filter = Filter::lanczos);

//! Scales to cover width x height and keeps the middle, in one step (Pillow's ImageOps.fit): nothing is squeezed and
//! at most a fraction of a pixel is lost beyond what the aspects demand. For pictures as people hand them in.
Picture cover(const Picture& picture, int width, int height, Filter filter = Filter::lanczos);

//! [H, W, 3] f32 in -1..1: x / 255, then 2 * x - 1, each rounded to f32, as the reference computes it.
Tensor to_model_range(const Picture& picture);
//! [T, H, W, 3]; all frames have one size, else Error(input).
Tensor to_model_range(std::span<const Picture> frames);

//! VaeImageProcessor.preprocess of a picture: both sides rounded down to multiples of `multiple`
//! (vae_scale_factor), resized, and taken to -1..1. [H, W, 3] f32. Width or height 0: the picture's own.
Tensor preprocess(const Picture& picture, int width, int height, int multiple, Fit fit = Fit::stretch,
                  Filter filter = Filter::lanczos);
//! VideoProcessor.preprocess_video: every frame to the size of the first one, or the given. [T, H, W, 3] f32.
Tensor preprocess_video(std::span<const Picture> frames, int width, int height, int multiple, Fit fit = Fit::stretch,
                        Filter filter = Filter::lanczos);

//! torch's F.interpolate(mode="bilinear", align_corners=False) over the last two dimensions of [..., H, W] f32.
Tensor interpolate_bilinear(const Tensor& planes, int64_t height, int64_t width);
//! torch's F.interpolate(mode="nearest") over the last two dimensions of [..., H, W] f32.
Tensor interpolate_nearest(const Tensor& planes, int64_t height, int64_t width);

}  // namespace prax::media
