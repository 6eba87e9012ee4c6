#include "media/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::media {

namespace {

// Pillow's fixed point (PRECISION_BITS): 32 bits less 8 for the sample and 2 for the overshoot of sums.
constexpr int precision = 32 - 8 - 2;
constexpr int64_t rows_a_piece = 16;

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double box_weight(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear_weight(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double hamming_weight(double x) {
  x = std::fabs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= std::numbers::pi;
  return std::sin(x) / x * (0.54 + 0.46 * std::cos(x));
}

// Keys' kernel with a = -0.5.
double bicubic_weight(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double lanczos_weight(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box:
      return {box_weight, 0.5};
    case Filter::bilinear:
      return {bilinear_weight, 1.0};
    case Filter::hamming:
      return {hamming_weight, 1.0};
    case Filter::bicubic:
      return {bicubic_weight, 2.0};
    default:
      return {lanczos_weight, 3.0};
  }
}

// One axis: for each new sample its first source sample, and the weights from there on in fixed point.
struct Axis {
  struct Taps {
    int first;
    int count;
    const int* weights;
  };
  std::vector<Taps> taps;
  std::vector<int> weights;
};

// precompute_coeffs() and normalize_coeffs_8bpc() of Resample.c, operation by operation.
Axis make_axis(int size, float begin, float end, int new_size, const Kernel& kernel) {
  const double scale = static_cast<double>(end - begin) / new_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kernel.support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  const size_t most = static_cast<size_t>(std::ceil(support)) * 2 + 1;
  Axis axis;
  axis.taps.resize(static_cast<size_t>(new_size));
  axis.weights.resize(static_cast<size_t>(new_size) * most);
  std::vector<double> exact(most);
  for (int i = 0; i < new_size; ++i) {
    const double centre = static_cast<double>(begin) + (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));
    const int count = std::min(size, static_cast<int>(centre + support + 0.5)) - first;
    double sum = 0.0;
    for (int k = 0; k < count; ++k) {
      exact[static_cast<size_t>(k)] = kernel.weight((k + first - centre + 0.5) * inverse);
      sum += exact[static_cast<size_t>(k)];
    }
    int* weights = axis.weights.data() + static_cast<size_t>(i) * most;
    for (int k = 0; k < count; ++k) {
      double weight = exact[static_cast<size_t>(k)];
      if (sum != 0.0) weight /= sum;
      weights[k] = static_cast<int>((weight < 0 ? -0.5 : 0.5) + weight * (1 << precision));
    }
    axis.taps[static_cast<size_t>(i)] = {first, count, weights};
  }
  return axis;
}

uint8_t clip8(int sum) { return static_cast<uint8_t>(std::clamp(sum >> precision, 0, 255)); }

constexpr int half = 1 << (precision - 1);

//! The rows [first_row, first_row + rows) at another width.
Picture resize_across(const Picture& source, const Axis& columns, int first_row, int rows) {
  Picture result(static_cast<int>(columns.taps.size()), rows);
  parallel_for(rows, rows_a_piece, [&](int64_t begin, int64_t end) {
    for (auto y = static_cast<int>(begin); y < static_cast<int>(end); ++y) {
      const uint8_t* row = source.row(first_row + y);
      uint8_t* out = result.row(y);
      for (const Axis::Taps& taps : columns.taps) {
        int r = half, g = half, b = half;
        const uint8_t* pixel = row + static_cast<size_t>(taps.first) * 3;
        for (int k = 0; k < taps.count; ++k, pixel += 3) {
          r += pixel[0] * taps.weights[k];
          g += pixel[1] * taps.weights[k];
          b += pixel[2] * taps.weights[k];
        }
        *out++ = clip8(r);
        *out++ = clip8(g);
        *out++ = clip8(b);
      }
    }
  });
  return result;
}

//! At another height; the source begins at row `first_row` of what the axis was made for.
Picture resize_down(const Picture& source, const Axis& rows, int first_row) {
  const auto height = static_cast<int>(rows.taps.size());
  Picture result(source.width, height);
  parallel_for(height, rows_a_piece, [&](int64_t begin, int64_t end) {
    std::vector<int> sums(static_cast<size_t>(source.width) * 3);
    for (auto y = static_cast<int>(begin); y < static_cast<int>(end); ++y) {
      const Axis::Taps& taps = rows.taps[static_cast<size_t>(y)];
      std::fill(sums.begin(), sums.end(), half);
      for (int k = 0; k < taps.count; ++k) {
        const uint8_t* row = source.row(taps.first - first_row + k);
        const int weight = taps.weights[k];
        for (size_t i = 0; i < sums.size(); ++i) sums[i] += row[i] * weight;
      }
      std::transform(sums.begin(), sums.end(), result.row(y), clip8);
    }
  });
  return result;
}

// Pillow's ImagingScaleAffine: the places are summed up, not multiplied. -1: outside.
std::vector<int> nearest_places(int size, float begin, float end, int new_size) {
  const double step = static_cast<double>(end - begin) / new_size;
  double at = static_cast<double>(begin) + step * 0.5;
  std::vector<int> places(static_cast<size_t>(new_size));
  for (int& place : places) {
    place = at < 0.0 || at >= size ? -1 : static_cast<int>(at);
    at += step;
  }
  return places;
}

Picture resize_nearest(const Picture& picture, int width, int height, const Box& box) {
  const std::vector<int> columns = nearest_places(picture.width, box.left, box.right, width);
  const std::vector<int> rows = nearest_places(picture.height, box.top, box.bottom, height);
  Picture result(width, height);
  for (int y = 0; y < height; ++y) {
    const int from = rows[static_cast<size_t>(y)];
    if (from < 0) continue;
    uint8_t* out = result.row(y);
    for (size_t x = 0; x < columns.size(); ++x) {
      if (columns[x] >= 0) std::copy_n(picture.row(from) + static_cast<size_t>(columns[x]) * 3, 3, out + x * 3);
    }
  }
  return result;
}

void require_size(int width, int height) {
  if (width > 0 && height > 0) return;
  throw Error(ErrorKind::usage,
              "a picture cannot be resized to " + std::to_string(width) + "x" + std::to_string(height),
              "Give a width and a height of at least 1.");
}

void require_picture(const Picture& picture) {
  const size_t bytes =
      static_cast<size_t>(std::max(picture.width, 0)) * static_cast<size_t>(std::max(picture.height, 0)) * 3;
  if (bytes == 0 || picture.rgb.size() != bytes)
    throw Error(ErrorKind::internal, "a picture's size and its pixels do not agree");
}

bool is_whole(const Picture& picture, const Box& box) {
  return box.left == 0 && box.top == 0 && box.right == static_cast<float>(picture.width) &&
         box.bottom == static_cast<float>(picture.height);
}

// What Image.paste does: the part of `part` that lies inside, at (left, top).
void paste(Picture& picture, const Picture& part, int left, int top) {
  const int first = std::max(0, -left), last = std::min(part.width, picture.width - left);
  if (first >= last) return;
  for (int y = std::max(0, -top); y < part.height && y + top < picture.height; ++y) {
    std::copy(part.row(y) + static_cast<size_t>(first) * 3, part.row(y) + static_cast<size_t>(last) * 3,
              picture.row(y + top) + static_cast<size_t>(first + left) * 3);
  }
}

int round_down(int value, int multiple) { return value - value % multiple; }

void to_range(const Picture& picture, float* out) {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> values{};
    for (size_t i = 0; i < values.size(); ++i) {
      const float unit = static_cast<float>(i) / 255.0f;
      values[i] = 2.0f * unit - 1.0f;
    }
    return values;
  }();
  std::transform(picture.rgb.begin(), picture.rgb.end(), out, [&](uint8_t byte) { return table[byte]; });
}

struct Planes {
  int64_t count;
  int64_t height;
  int64_t width;
};

Planes planes_of(const Tensor& planes, int64_t height, int64_t width) {
  if (planes.rank() < 2 || height < 1 || width < 1 || planes.numel() == 0)
    throw Error(ErrorKind::internal, "planes " + to_string(planes.shape()) + " cannot be interpolated");
  return {planes.numel() / (planes.dim(-1) * planes.dim(-2)), planes.dim(-2), planes.dim(-1)};
}

Tensor result_of(const Tensor& planes, int64_t height, int64_t width) {
  Shape shape = planes.shape();
  shape[shape.size() - 2] = height;
  shape.back() = width;
  return Tensor::empty(shape);
}

// area_pixel_compute_source_index(): half-pixel centres, nothing before the first sample.
struct LinearTap {
  int64_t first, second;
  float first_weight, second_weight;
};

std::vector<LinearTap> linear_taps(int64_t size, int64_t new_size) {
  const float scale = static_cast<float>(size) / static_cast<float>(new_size);
  std::vector<LinearTap> taps(static_cast<size_t>(new_size));
  for (int64_t i = 0; i < new_size; ++i) {
    const float at =
        size == new_size ? static_cast<float>(i) : std::max(scale * (static_cast<float>(i) + 0.5f) - 0.5f, 0.0f);
    const int64_t first = std::min(static_cast<int64_t>(at), size - 1);
    const float second_weight = std::clamp(at - static_cast<float>(first), 0.0f, 1.0f);
    taps[static_cast<size_t>(i)] = {first, std::min(first + 1, size - 1), 1.0f - second_weight, second_weight};
  }
  return taps;
}

}  // namespace

Filter filter_named(std::string_view name) {
  if (name == "lanczos") return Filter::lanczos;
  if (name == "bicubic") return Filter::bicubic;
  if (name == "bilinear" || name == "linear") return Filter::bilinear;
  if (name == "nearest") return Filter::nearest;
  if (name == "box") return Filter::box;
  if (name == "hamming") return Filter::hamming;
  throw Error(ErrorKind::usage, "there is no filter \"" + std::string(name) + "\" for resizing pictures",
              "Use lanczos, bicubic, bilinear, hamming, box or nearest.");
}

Fit fit_named(std::string_view name) {
  if (name == "default") return Fit::stretch;
  if (name == "crop") return Fit::crop;
  if (name == "fill") return Fit::fill;
  throw Error(ErrorKind::usage, "there is no resize_mode \"" + std::string(name) + "\"", "Use default, crop or fill.");
}

Picture resize(const Picture& picture, int width, int height, Filter filter, const Box& box) {
  require_size(width, height);
  require_picture(picture);
  if (!(box.left >= 0 && box.top >= 0 && box.left <= box.right && box.top <= box.bottom &&
        box.right <= static_cast<float>(picture.width) && box.bottom <= static_cast<float>(picture.height))) {
    throw Error(ErrorKind::usage, "the part of the picture to resize is not inside the picture",
                "Give a part within " + std::to_string(picture.width) + "x" + std::to_string(picture.height) + ".");
  }
  if (width == picture.width && height == picture.height && is_whole(picture, box)) return picture;
  if (filter == Filter::nearest) return resize_nearest(picture, width, height, box);

  const Kernel kernel = kernel_of(filter);
  const bool across = width != picture.width || box.left != 0 || box.right != static_cast<float>(width);
  const bool down = height != picture.height || box.top != 0 || box.bottom != static_cast<float>(height);
  if (!across) return resize_down(picture, make_axis(picture.height, box.top, box.bottom, height, kernel), 0);
  const Axis columns = make_axis(picture.width, box.left, box.right, width, kernel);
  if (!down) return resize_across(picture, columns, 0, picture.height);

  const Axis rows = make_axis(picture.height, box.top, box.bottom, height, kernel);
  // Pillow 13 begins with the direction that loses much more; versions before it always went across first.
  if (height < picture.height && picture.height - height > 2 * (picture.width - width))
    return resize_across(resize_down(picture, rows, 0), columns, 0, height);
  const int first_row = rows.taps.front().first;
  const int last_row = rows.taps.back().first + rows.taps.back().count;
  return resize_down(resize_across(picture, columns, first_row, last_row - first_row), rows, first_row);
}

Picture resize(const Picture& picture, int width, int height, Filter filter) {
  return resize(picture, width, height, filter,
                {0, 0, static_cast<float>(picture.width), static_cast<float>(picture.height)});
}

// VaeImageProcessor._resize_and_crop and _resize_and_fill, in their order of integer operations.
Picture resize_to_fit(const Picture& picture, int width, int height, Fit fit, Filter filter) {
  require_size(width, height);
  require_picture(picture);
  if (fit == Fit::stretch) return resize(picture, width, height, filter);
  const double ratio = static_cast<double>(width) / height;
  const double source_ratio = static_cast<double>(picture.width) / picture.height;
  const auto scaled = [](int a, int b, int c) { return static_cast<int>(static_cast<int64_t>(a) * b / c); };
  const bool cropped = fit == Fit::crop;
  const bool full_width = cropped ? ratio > source_ratio : ratio < source_ratio;
  const bool full_height = cropped ? ratio <= source_ratio : ratio >= source_ratio;
  const int new_width = full_width ? width : scaled(picture.width, height, picture.height);
  const int new_height = full_height ? height : scaled(picture.height, width, picture.width);
  const Picture resized = resize(picture, new_width, new_height, filter);
  Picture result(width, height);
  const int left = width / 2 - new_width / 2, top = height / 2 - new_height / 2;
  paste(result, resized, left, top);
  if (cropped) return result;

  const float right_edge = static_cast<float>(resized.width), bottom_edge = static_cast<float>(resized.height);
  if (ratio < source_ratio && top > 0) {
    paste(result, resize(resized, width, top, Filter::bicubic, {0, 0, static_cast<float>(width), 0}), 0, 0);
    paste(result,
          resize(resized, width, top, Filter::bicubic, {0, bottom_edge, static_cast<float>(width), bottom_edge}), 0,
          top + new_height);
  } else if (ratio > source_ratio && left > 0) {
    paste(result, resize(resized, left, height, Filter::bicubic, {0, 0, 0, static_cast<float>(height)}), 0, 0);
    paste(result,
          resize(resized, left, height, Filter::bicubic, {right_edge, 0, right_edge, static_cast<float>(height)}),
          left + new_width, 0);
  }
  return result;
}

Picture cover(const Picture& picture, int width, int height, Filter filter) {
  require_size(width, height);
  require_picture(picture);
  const double source_ratio = static_cast<double>(picture.width) / picture.height;
  const double ratio = static_cast<double>(width) / height;
  double crop_width = picture.width, crop_height = picture.height;
  if (source_ratio > ratio) {
    crop_width = ratio * picture.height;
  } else if (source_ratio < ratio) {
    crop_height = picture.width / ratio;
  }
  const double left = (picture.width - crop_width) * 0.5, top = (picture.height - crop_height) * 0.5;
  return resize(picture, width, height, filter,
                {static_cast<float>(left), static_cast<float>(top), static_cast<float>(left + crop_width),
                 static_cast<float>(top + crop_height)});
}

Tensor to_model_range(const Picture& picture) {
  require_picture(picture);
  Tensor result = Tensor::empty({picture.height, picture.width, 3});
  to_range(picture, result.data<float>());
  return result;
}

Tensor to_model_range(std::span<const Picture> frames) {
  if (frames.empty()) throw Error(ErrorKind::input, "the clip has no frames", "Give a clip with at least one frame.");
  const Picture& first = frames.front();
  for (const Picture& frame : frames) {
    require_picture(frame);
    if (frame.width == first.width && frame.height == first.height) continue;
    throw Error(ErrorKind::input,
                "the frames of the clip differ in size: " + std::to_string(first.width) + "x" +
                    std::to_string(first.height) + " and " + std::to_string(frame.width) + "x" +
                    std::to_string(frame.height),
                "Give frames of one size.");
  }
  Tensor result = Tensor::empty({static_cast<int64_t>(frames.size()), first.height, first.width, 3});
  float* out = result.data<float>();
  const size_t size = first.rgb.size();
  parallel_for(static_cast<int64_t>(frames.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t) to_range(frames[t], out + t * size);
  });
  return result;
}

Tensor preprocess(const Picture& picture, int width, int height, int multiple, Fit fit, Filter filter) {
  return preprocess_video({&picture, 1}, width, height, multiple, fit, filter)
      .view({round_down(height > 0 ? height : picture.height, multiple),
             round_down(width > 0 ? width : picture.width, multiple), 3});
}

Tensor preprocess_video(std::span<const Picture> frames, int width, int height, int multiple, Fit fit, Filter filter) {
  if (frames.empty()) return to_model_range(frames);
  if (multiple < 1) throw Error(ErrorKind::internal, "pictures cannot be cut to multiples of nothing");
  const int given_width = width > 0 ? width : frames.front().width;
  const int given_height = height > 0 ? height : frames.front().height;
  const int new_width = round_down(given_width, multiple), new_height = round_down(given_height, multiple);
  if (new_width < 1 || new_height < 1) {
    throw Error(ErrorKind::usage,
                std::to_string(given_width) + "x" + std::to_string(given_height) + " is too small for this model",
                "Both sides must be at least " + std::to_string(multiple) + ".");
  }
  std::vector<Picture> resized;
  resized.reserve(frames.size());
  for (const Picture& frame : frames) resized.push_back(resize_to_fit(frame, new_width, new_height, fit, filter));
  return to_model_range(resized);
}

Tensor interpolate_bilinear(const Tensor& planes, int64_t height, int64_t width) {
  const Planes from = planes_of(planes, height, width);
  const std::vector<LinearTap> rows = linear_taps(from.height, height), columns = linear_taps(from.width, width);
  Tensor result = result_of(planes, height, width);
  const float* source = planes.data<float>();
  float* out = result.data<float>();
  parallel_for(from.count * height, rows_a_piece, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const LinearTap& row = rows[static_cast<size_t>(i % height)];
      const float* plane = source + i / height * from.height * from.width;
      const float* upper = plane + row.first * from.width;
      const float* lower = plane + row.second * from.width;
      for (int64_t x = 0; x < width; ++x) {
        const LinearTap& tap = columns[static_cast<size_t>(x)];
        const float above = upper[tap.first] * tap.first_weight + upper[tap.second] * tap.second_weight;
        const float below = lower[tap.first] * tap.first_weight + lower[tap.second] * tap.second_weight;
        out[i * width + x] = above * row.first_weight + below * row.second_weight;
      }
    }
  });
  return result;
}

Tensor interpolate_nearest(const Tensor& planes, int64_t height, int64_t width) {
  const Planes from = planes_of(planes, height, width);
  // nearest_neighbor_compute_source_index(), in f32 as torch does.
  const auto place = [](int64_t i, int64_t size, int64_t new_size) {
    const float scale = static_cast<float>(size) / static_cast<float>(new_size);
    return std::min(static_cast<int64_t>(std::floor(static_cast<float>(i) * scale)), size - 1);
  };
  Tensor result = result_of(planes, height, width);
  const float* source = planes.data<float>();
  float* out = result.data<float>();
  for (int64_t i = 0; i < from.count * height; ++i) {
    const float* row = source + (i / height * from.height + place(i % height, from.height, height)) * from.width;
    for (int64_t x = 0; x < width; ++x) out[i * width + x] = row[place(x, from.width, width)];
  }
  return result;
}

}  // namespace prax::media
