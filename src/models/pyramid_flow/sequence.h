#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nn/rotary.h"
#include "tensor/tensor.h"

namespace prax::models::pyramid_flow {

//! Size of a clip of latents, in patches.
struct ClipSize {
  int64_t frames = 0, height = 0, width = 0;
  int64_t tokens() const { return frames * height * width; }
};

//! The order of a transformer's tokens: text, the clips of the past with the oldest first, the noisy clip. Times begin
//! with 0 for the text and the first frame and count the frames of all clips. A token sees those of its own time and
//! before, so that a whole run of tokens always sees the same prefix of the sequence.
class Sequence {
public:
  //! Tokens [begin, end) of one time.
  struct Run {
    int64_t begin, end;
  };

  Sequence(int64_t text_tokens, std::vector<ClipSize> clips);

  int64_t text_tokens() const { return text_tokens_; }
  int64_t tokens() const { return runs_.back().end; }
  const std::vector<ClipSize>& clips() const { return clips_; }
  const ClipSize& noisy() const { return clips_.back(); }
  //! The first token of the noisy clip.
  int64_t noisy_begin() const { return tokens() - noisy().tokens(); }
  //! In order of time; the first holds the text too.
  const std::vector<Run>& runs() const { return runs_; }

  //! Calls fn(token, time, row, column) for every token of the clips. Rows and columns are those of the noisy clip, so
  //! that they lie between its pixels for a smaller clip.
  template <typename Fn>
  void each_position(Fn&& fn) const {
    int64_t token = text_tokens_, time = 0;
    for (const ClipSize& clip : clips_) {
      const std::vector<float> rows = spread_over(clip.height, noisy().height);
      const std::vector<float> columns = spread_over(clip.width, noisy().width);
      for (int64_t t = 0; t < clip.frames; ++t, ++time)
        for (const float row : rows)
          for (const float column : columns) fn(token++, time, row, column);
    }
  }

private:
  static std::vector<float> spread_over(int64_t count, int64_t positions);

  int64_t text_tokens_;
  std::vector<ClipSize> clips_;
  std::vector<Run> runs_;
};

//! Where a pixel of a picture resized by torch's interpolate(mode "linear" or "bilinear", align_corners False) comes
//! from: between `from` and `from + 1` (or the last one), `weight` of the way.
struct Between {
  int64_t from, to;
  float weight;
};
Between source_of(int64_t index, int64_t size, int64_t source_size);

using nn::Rotary;

//! Writes the angles of one axis: position * 10000^(-2 j / channels) for pairs of channels j, in f64 as the reference.
void write_angles(double position, int64_t channels, float* cos, float* sin);

}  // namespace prax::models::pyramid_flow
