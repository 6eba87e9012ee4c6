#include "models/ltx/tiling.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::models::ltx {

namespace {

//! A tensor seen along one dimension: [outer, size, inner].
struct Along {
  Along(const Tensor& t, int dim) : outer(1), size(t.dim(dim)), inner(1) {
    for (int i = 0; i < t.rank(); ++i) (i < dim ? outer : inner) *= i == dim ? 1 : t.dim(i);
  }
  int64_t outer, size, inner;
};

//! A copy of [begin, end) of one dimension.
Tensor cut(const Tensor& t, int dim, int64_t begin, int64_t end) {
  const Along a(t, dim);
  if (begin == 0 && end == a.size) return t;
  Shape shape = t.shape();
  shape[static_cast<size_t>(dim)] = end - begin;
  Tensor out = Tensor::empty(shape);
  for (int64_t o = 0; o < a.outer; ++o)
    std::memcpy(out.data<float>() + o * (end - begin) * a.inner, t.data<float>() + (o * a.size + begin) * a.inner,
                static_cast<size_t>((end - begin) * a.inner) * sizeof(float));
  return out;
}

//! now = before (1 - share) + now share
void mix(const float* before, float* now, int64_t count, double share) {
  const float old_share = static_cast<float>(1 - share), new_share = static_cast<float>(share);
  for (int64_t i = 0; i < count; ++i) now[i] = before[i] * old_share + now[i] * new_share;
}

//! blend_v, blend_h, blend_t: over its first `extent` elements along a dimension, b goes from the end of a to itself.
void blend(const Tensor& a, Tensor& b, int dim, int64_t extent) {
  const Along from(a, dim), to(b, dim);
  parallel_for(to.outer, 1 + (1 << 14) / (extent * to.inner + 1), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o)
      for (int64_t x = 0; x < extent; ++x)
        mix(a.data<float>() + (o * from.size + from.size - extent + x) * from.inner,
            b.data<float>() + (o * to.size + x) * to.inner, to.inner,
            static_cast<double>(x) / static_cast<double>(extent));
  });
}

//! One tile along one dimension: what it is decoded from, and what becomes of the result.
struct Tile {
  int64_t begin, end;    //!< of the latents
  int64_t size;          //!< decoded
  int64_t overlap;       //!< decoded, blended with the end of the tile before
  int64_t offset, keep;  //!< where it goes in the whole, and how much of it
};

struct Rule {
  int64_t window, stride;  //!< latents
  int64_t overlap, keep;   //!< decoded, at most
};

std::vector<Tile> tiles_of(int64_t latents, const Rule& rule, int64_t limit, const VaeConfig& config) {
  std::vector<Tile> tiles;
  int64_t offset = 0;
  for (int64_t begin = 0; begin < latents; begin += rule.stride) {
    Tile tile{begin, std::min(begin + rule.window, latents), 0, 0, offset, 0};
    tile.size = config.decoded_pixels(tile.end - tile.begin);
    if (begin > 0) tile.overlap = std::max<int64_t>(0, std::min({tiles.back().size, tile.size, rule.overlap}));
    tile.keep = std::min({tile.size, rule.keep, limit - offset});
    offset += tile.keep;
    tiles.push_back(tile);
  }
  return tiles;
}

void require_sizes(const Tiling& t, const VaeConfig& config) {
  const int64_t space = config.spatial_compression_ratio, time = config.temporal_compression_ratio;
  const auto require = [](const char* name, int64_t value, int64_t least) {
    if (value < least)
      throw Error(ErrorKind::usage, std::string(name) + " is " + std::to_string(value),
                  "it must be at least " + std::to_string(least) + ", the size of one latent");
  };
  if (t.use_tiling) {
    require("tile_sample_min_height", t.tile_sample_min_height, space);
    require("tile_sample_min_width", t.tile_sample_min_width, space);
    require("tile_sample_stride_height", t.tile_sample_stride_height, space);
    require("tile_sample_stride_width", t.tile_sample_stride_width, space);
  }
  if (t.use_framewise_decoding) {
    require("tile_sample_min_num_frames", t.tile_sample_min_num_frames, 1);
    require("tile_sample_stride_num_frames", t.tile_sample_stride_num_frames, time);
  }
}

//! Counts latent frames over several decodings.
class Progress {
public:
  Progress(const OnLatentFrame& report, int64_t all) : report_(report), all_(all) {}
  //! For the next decoding.
  OnLatentFrame next() {
    if (!report_) return {};
    return [this](int64_t, int64_t) { report_(++done_, all_); };
  }

private:
  const OnLatentFrame& report_;
  int64_t done_ = 0, all_;
};

//! tiled_decode.
class PictureTiles {
public:
  PictureTiles(Vae& vae, const Tiling& t, int64_t latent_height, int64_t latent_width) : vae_(vae) {
    const VaeConfig& config = vae.config();
    const int64_t ratio = config.spatial_compression_ratio;
    rows_ = tiles_of(latent_height,
                     {t.tile_sample_min_height / ratio, t.tile_sample_stride_height / ratio,
                      t.tile_sample_min_height - t.tile_sample_stride_height, t.tile_sample_stride_height},
                     latent_height * ratio, config);
    columns_ = tiles_of(latent_width,
                        {t.tile_sample_min_width / ratio, t.tile_sample_stride_width / ratio,
                         t.tile_sample_min_width - t.tile_sample_stride_width, t.tile_sample_stride_width},
                        latent_width * ratio, config);
  }

  int64_t count() const { return std::ssize(rows_) * std::ssize(columns_); }

  void decode(const Tensor& latents, std::optional<float> timestep, Generator& generator, const Emit& emit,
              Progress& progress) {
    pictures_.clear();
    above_.assign(columns_.size(), {});
    for (size_t i = 0; i < rows_.size(); ++i) {
      left_.clear();
      const Tensor row = cut(latents, 2, rows_[i].begin, rows_[i].end);
      for (size_t j = 0; j < columns_.size(); ++j) {
        const bool last = i + 1 == rows_.size() && j + 1 == columns_.size();
        size_t t = 0;
        vae_.decode(
            cut(row, 3, columns_[j].begin, columns_[j].end), timestep, generator,
            [&](Tensor tile) {
              place(std::move(tile), i, j, t);
              if (last) emit(std::exchange(pictures_[t], {}));
              ++t;
            },
            progress.next());
      }
    }
  }

private:
  //! Blends picture `t` of a tile with its neighbours and keeps what it and they need of it.
  void place(Tensor tile, size_t i, size_t j, size_t t) {
    const Tile &row = rows_[i], &column = columns_[j];
    if (row.overlap) blend(above_[j][t], tile, 0, row.overlap);
    if (column.overlap) blend(left_[t], tile, 1, column.overlap);
    if (i + 1 < rows_.size() && rows_[i + 1].overlap)
      at(above_[j], t) = cut(tile, 0, row.size - rows_[i + 1].overlap, row.size);
    if (j + 1 < columns_.size() && columns_[j + 1].overlap)
      at(left_, t) = cut(tile, 1, column.size - columns_[j + 1].overlap, column.size);

    Tensor& picture = at(pictures_, t);
    const int64_t channels = tile.dim(2), width = columns_.back().offset + columns_.back().keep;
    if (!picture.defined()) picture = Tensor::empty({rows_.back().offset + rows_.back().keep, width, channels});
    for (int64_t y = 0; y < row.keep; ++y)
      std::memcpy(picture.data<float>() + ((row.offset + y) * width + column.offset) * channels,
                  tile.data<float>() + y * column.size * channels,
                  static_cast<size_t>(column.keep * channels) * sizeof(float));
  }

  static Tensor& at(std::vector<Tensor>& pictures, size_t t) {
    if (pictures.size() <= t) pictures.resize(t + 1);
    return pictures[t];
  }

  Vae& vae_;
  std::vector<Tile> rows_, columns_;
  // Of each picture of the clip: what is done of it, and the edges of tiles that later ones are blended with.
  std::vector<Tensor> pictures_, left_;
  std::vector<std::vector<Tensor>> above_;  //!< for each column
};

//! What decode() does with a clip, or with a tile of it: in tiles of the picture, or whole.
class ClipDecoder {
public:
  ClipDecoder(Vae& vae, const Tiling& t, const Tensor& latents) : vae_(vae) {
    const int64_t ratio = vae.config().spatial_compression_ratio, height = latents.dim(2), width = latents.dim(3);
    if (t.use_tiling && (width > t.tile_sample_min_width / ratio || height > t.tile_sample_min_height / ratio))
      tiles_.emplace(vae, t, height, width);
  }
  int64_t count() const { return tiles_ ? tiles_->count() : 1; }
  void operator()(const Tensor& latents, std::optional<float> timestep, Generator& generator, const Emit& emit,
                  Progress& progress) {
    if (tiles_) return tiles_->decode(latents, timestep, generator, emit, progress);
    vae_.decode(latents, timestep, generator, emit, progress.next());
  }

private:
  Vae& vae_;
  std::optional<PictureTiles> tiles_;
};

//! _temporal_tiled_decode. All tiles but the first lose their last picture, which is what the reference does to make
//! their numbers add up, and are blended with the end of the tile before.
void decode_framewise(Vae& vae, const Tiling& tiling, const Tensor& latents, std::optional<float> timestep,
                      Generator& generator, const Emit& emit, const OnLatentFrame& on_latent_frame) {
  const int64_t ratio = vae.config().temporal_compression_ratio, frames = latents.dim(1);
  const int64_t window = tiling.tile_sample_min_num_frames / ratio + 1;
  const int64_t stride = tiling.tile_sample_stride_num_frames / ratio;
  const int64_t most_overlap =
      std::max<int64_t>(0, tiling.tile_sample_min_num_frames - tiling.tile_sample_stride_num_frames);
  const auto end_of = [&](int64_t begin) { return std::min(begin + window, frames); };

  ClipDecoder decode_tile(vae, tiling, latents);
  int64_t work = 0;
  for (int64_t begin = 0; begin < frames; begin += stride) work += (end_of(begin) - begin) * decode_tile.count();
  Progress progress(on_latent_frame, work);

  int64_t left = (frames - 1) * ratio + 1;
  std::vector<Tensor> tail;  // pictures at the end of the tile before
  for (int64_t begin = 0; begin < frames; begin += stride) {
    const bool first = begin == 0;
    const int64_t count = vae.config().decoded_frames(end_of(begin) - begin) - (first ? 0 : 1);
    const int64_t keep = tiling.tile_sample_stride_num_frames + (first ? 1 : 0);
    const int64_t overlap = std::min({std::ssize(tail), count, most_overlap});
    std::vector<Tensor> next_tail;
    int64_t t = 0;
    const auto take = [&](Tensor picture) {
      if (t < overlap) {
        const Tensor& before = tail[static_cast<size_t>(std::ssize(tail) - overlap + t)];
        const double share = static_cast<double>(t) / static_cast<double>(overlap);
        parallel_for(picture.numel(), 1 << 14, [&](int64_t from, int64_t to) {
          mix(before.data<float>() + from, picture.data<float>() + from, to - from, share);
        });
      }
      if (t < count && t >= count - most_overlap) next_tail.push_back(picture);
      if (t < std::min(keep, count) && left > 0) {
        --left;
        emit(picture);
      }
      ++t;
    };
    decode_tile(cut(latents, 1, begin, end_of(begin)), timestep, generator, take, progress);
    tail = std::move(next_tail);
  }
}

//! tiled_encode.
Tensor encode_tiles(Vae& vae, const Tiling& t, const Tensor& video) {
  const int64_t ratio = vae.config().spatial_compression_ratio, height = video.dim(1), width = video.dim(2);
  const int64_t keep_height = t.tile_sample_stride_height / ratio, keep_width = t.tile_sample_stride_width / ratio;
  const int64_t overlap_height = std::max<int64_t>(0, t.tile_sample_min_height / ratio - keep_height);
  const int64_t overlap_width = std::max<int64_t>(0, t.tile_sample_min_width / ratio - keep_width);
  std::vector<Tensor> above, row, kept_rows;
  for (int64_t y = 0; y < height; y += t.tile_sample_stride_height) {
    const Tensor band = cut(video, 1, y, std::min(y + t.tile_sample_min_height, height));
    std::vector<Tensor> kept;
    for (int64_t x = 0; x < width; x += t.tile_sample_stride_width) {
      Tensor tile = vae.encode(cut(band, 2, x, std::min(x + t.tile_sample_min_width, width)));
      if (y > 0) {
        const Tensor& before = above[row.size()];
        blend(before, tile, 2, std::min({before.dim(2), tile.dim(2), overlap_height}));
      }
      if (x > 0) blend(row.back(), tile, 3, std::min({row.back().dim(3), tile.dim(3), overlap_width}));
      row.push_back(tile);
      kept.push_back(cut(cut(tile, 2, 0, std::min(tile.dim(2), keep_height)), 3, 0, std::min(tile.dim(3), keep_width)));
    }
    kept_rows.push_back(Tensor::concat(kept, 3));
    above = std::exchange(row, {});
  }
  const Tensor all = Tensor::concat(kept_rows, 2);
  return cut(cut(all, 2, 0, std::min(all.dim(2), height / ratio)), 3, 0, std::min(all.dim(3), width / ratio));
}

//! The pictures of a clip, or of a tile of it.
Tensor encode_pictures(Vae& vae, const Tiling& t, const Tensor& video) {
  const bool large = video.dim(2) > t.tile_sample_min_width || video.dim(1) > t.tile_sample_min_height;
  return t.use_tiling && large ? encode_tiles(vae, t, video) : vae.encode(video);
}

//! _temporal_tiled_encode. Tiles share a picture; all but the first lose the latent frame that it begins with.
Tensor encode_framewise(Vae& vae, const Tiling& t, const Tensor& video) {
  const int64_t ratio = vae.config().temporal_compression_ratio, frames = video.dim(0);
  const int64_t stride = t.tile_sample_stride_num_frames / ratio;
  const int64_t most_overlap = std::max<int64_t>(0, t.tile_sample_min_num_frames / ratio - stride);
  std::vector<Tensor> kept;
  Tensor before;
  for (int64_t begin = 0; begin < frames; begin += t.tile_sample_stride_num_frames) {
    Tensor tile =
        encode_pictures(vae, t, video.slice(begin, std::min(begin + t.tile_sample_min_num_frames + 1, frames)));
    if (begin > 0) {
      if (tile.dim(1) == 1) break;  // nothing is left of the last tile
      tile = cut(tile, 1, 1, tile.dim(1));
      blend(before, tile, 1, std::min({before.dim(1), tile.dim(1), most_overlap}));
    }
    kept.push_back(cut(tile, 1, 0, std::min(tile.dim(1), stride + (begin == 0 ? 1 : 0))));
    before = tile;
  }
  const Tensor all = Tensor::concat(kept, 1);
  return cut(all, 1, 0, std::min(all.dim(1), (frames - 1) / ratio + 1));
}

//! torch.linspace(0, 1, steps) at `i`.
float ramp(int64_t i, int64_t steps) {
  if (steps == 1) return 0;
  const float step = 1.0f / static_cast<float>(steps - 1);
  return i < steps / 2 ? step * static_cast<float>(i) : 1 - step * static_cast<float>(steps - 1 - i);
}

//! torch.linspace(1, 0, steps) at `i`.
float falling_ramp(int64_t i, int64_t steps) {
  if (steps == 1) return 1;
  const float step = 1.0f / static_cast<float>(steps - 1);
  return i < steps / 2 ? 1 - step * static_cast<float>(i) : step * static_cast<float>(steps - 1 - i);
}

//! A faded tile along one dimension of the picture, in latents.
struct FadedTile {
  int64_t begin, end;
  //! How much a decoded row or column counts: the ramps at its beginning and at its end, where it has neighbours.
  std::vector<float> rise, fall;
};

std::vector<FadedTile> faded_tiles(int64_t latents, int64_t count, int64_t overlap, int64_t ratio, const char* name) {
  if (count < 1)
    throw Error(ErrorKind::usage, std::string(name) + " is " + std::to_string(count), "it must be at least 1");
  constexpr int64_t most = 1 << 16;
  const bool fits = count <= most && overlap <= latents;
  const int64_t base = fits ? (latents + (count - 1) * overlap) / count : 0;
  if (count > 1 && (base < 1 || base < overlap))
    throw Error(ErrorKind::usage,
                std::to_string(count) + " " + name + " that overlap by " + std::to_string(overlap) +
                    " do not fit pictures of " + std::to_string(latents) + " latent pixels",
                "take fewer tiles, or less overlap");
  std::vector<FadedTile> tiles;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t begin = i * (base - overlap);
    tiles.push_back({begin, i + 1 < count ? std::min(begin + base, latents) : latents, {}, {}});
    FadedTile& tile = tiles.back();
    const int64_t size = (tile.end - tile.begin) * ratio, soft = count > 1 ? overlap * ratio : 0;
    tile.rise.assign(static_cast<size_t>(size), 1.0f);
    tile.fall = tile.rise;
    for (int64_t x = 0; x < soft; ++x) {
      if (i > 0) tile.rise[static_cast<size_t>(x)] = ramp(x, soft);
      if (i + 1 < count) tile.fall[static_cast<size_t>(size - soft + x)] = falling_ramp(x, soft);
    }
  }
  return tiles;
}

//! What pixel (y, x) of a tile counts.
float weight_of(const FadedTile& row, const FadedTile& column, size_t y, size_t x) {
  return column.rise[x] * column.fall[x] * row.rise[y] * row.fall[y];
}

//! picture += tile * weight
void add_faded(const Tensor& tile, const FadedTile& row, const FadedTile& column, int64_t ratio, Tensor& picture) {
  const int64_t width = tile.dim(1), channels = tile.dim(2);
  parallel_for(tile.dim(0), 8, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const float* from = tile.data<float>() + y * width * channels;
      float* to = picture.data<float>() + ((row.begin * ratio + y) * picture.dim(1) + column.begin * ratio) * channels;
      for (int64_t x = 0; x < width; ++x) {
        const float weight = weight_of(row, column, static_cast<size_t>(y), static_cast<size_t>(x));
        for (int64_t c = 0; c < channels; ++c) to[x * channels + c] += from[x * channels + c] * weight;
      }
    }
  });
}

//! picture = clamp(picture / (weights + 1e-8), -1, 1)
void finish_faded(const Tensor& weights, Tensor& picture) {
  const int64_t channels = picture.dim(2);
  parallel_for(weights.numel(), 1 << 12, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < channels; ++c) {
        float& value = picture.data<float>()[i * channels + c];
        value = std::clamp(value / (weights.data<float>()[i] + 1e-8f), -1.0f, 1.0f);
      }
  });
}

//! The latents that vae_decode_tiled decodes: with the last frame twice, and with decoding noise.
Tensor faded_input(const FadedTiles& tiles, const VaeConfig& config, const Tensor& latents, Generator& generator) {
  const int64_t frames = latents.dim(1);
  Tensor z = tiles.last_frame_fix ? Tensor::concat({latents, cut(latents, 1, frames - 1, frames)}, 1) : latents;
  if (!config.timestep_conditioning || !tiles.decode_noise_scale) return z;
  const Tensor noise = generator.randn(z.shape());
  const float scale = *tiles.decode_noise_scale;
  Tensor noisy = Tensor::empty(z.shape());
  for (int64_t i = 0; i < z.numel(); ++i)
    noisy.data<float>()[i] = (1 - scale) * z.data<float>()[i] + scale * noise.data<float>()[i];
  return noisy;
}

}  // namespace

void decode(Vae& vae, const Tiling& tiling, const Tensor& latents, std::optional<float> timestep, Generator& generator,
            const Emit& emit, const OnLatentFrame& on_latent_frame) {
  require_sizes(tiling, vae.config());
  const int64_t longest = tiling.tile_sample_min_num_frames / vae.config().temporal_compression_ratio;
  if (tiling.use_framewise_decoding && latents.dim(1) > longest)
    return decode_framewise(vae, tiling, latents, timestep, generator, emit, on_latent_frame);
  ClipDecoder decode_clip(vae, tiling, latents);
  Progress progress(on_latent_frame, latents.dim(1) * decode_clip.count());
  decode_clip(latents, timestep, generator, emit, progress);
}

Tensor encode(Vae& vae, const Tiling& tiling, const Tensor& video) {
  require_sizes(tiling, vae.config());
  if (tiling.use_framewise_decoding && video.dim(0) > tiling.tile_sample_min_num_frames)
    return encode_framewise(vae, tiling, video);
  return encode_pictures(vae, tiling, video);
}

void decode_faded(Vae& vae, const FadedTiles& tiles, const Tiling& tiling, const Tensor& latents, Generator& generator,
                  Generator& injected, const Emit& emit, const OnLatentFrame& on_latent_frame) {
  const VaeConfig& config = vae.config();
  const int64_t ratio = config.spatial_compression_ratio, time_ratio = config.temporal_compression_ratio;
  const int64_t overlap = std::max<int64_t>(0, tiles.overlap);
  const auto rows = faded_tiles(latents.dim(2), tiles.vertical_tiles, overlap, ratio, "vertical_tiles");
  const auto columns = faded_tiles(latents.dim(3), tiles.horizontal_tiles, overlap, ratio, "horizontal_tiles");
  const Tensor z = faded_input(tiles, config, latents, generator);
  const std::optional<float> timestep =
      config.timestep_conditioning ? std::optional(tiles.decode_timestep.value_or(0.0f)) : std::nullopt;
  const int64_t height = latents.dim(2) * ratio, width = latents.dim(3) * ratio;
  const int64_t all = (z.dim(1) - 1) * time_ratio + 1, wanted = all - (tiles.last_frame_fix ? time_ratio : 0);

  Tensor weights = Tensor::zeros({height, width});
  for (const FadedTile& row : rows)
    for (const FadedTile& column : columns)
      for (size_t y = 0; y < row.rise.size(); ++y)
        for (size_t x = 0; x < column.rise.size(); ++x)
          weights.data<float>()[(row.begin * ratio + static_cast<int64_t>(y)) * width + column.begin * ratio +
                                static_cast<int64_t>(x)] += weight_of(row, column, y, x);

  std::vector<Tensor> pictures(static_cast<size_t>(all));
  int64_t done = 0;
  for (const FadedTile& row : rows)
    for (const FadedTile& column : columns) {
      const bool last = &row == &rows.back() && &column == &columns.back();
      int64_t t = 0;
      const Shape shape{std::ssize(row.rise), std::ssize(column.rise), config.out_channels};
      const auto take = [&](const Tensor& tile) {
        if (tile.shape() != shape || t >= all)
          throw Error(ErrorKind::usage,
                      "a tile of " + to_string(shape) + " was decoded to pictures of " + to_string(tile.shape()),
                      "take tile sizes and strides that are multiples of " + std::to_string(ratio) + " and " +
                          std::to_string(time_ratio));
        Tensor& picture = pictures[static_cast<size_t>(t)];
        if (!picture.defined()) picture = Tensor::zeros({height, width, config.out_channels});
        add_faded(tile, row, column, ratio, picture);
        if (last && t < wanted) {
          finish_faded(weights, picture);
          emit(picture);
        }
        if (last) picture = {};
        ++t;
      };
      const int64_t tile_count = std::ssize(rows) * std::ssize(columns);
      OnLatentFrame report;
      if (on_latent_frame)
        report = [&, before = done](int64_t now, int64_t of) { on_latent_frame(before * of + now, tile_count * of); };
      decode(vae, tiling, cut(cut(z, 2, row.begin, row.end), 3, column.begin, column.end), timestep, injected, take,
             report);
      ++done;
    }
}

}  // namespace prax::models::ltx
