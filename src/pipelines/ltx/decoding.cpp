#include "pipelines/ltx/decoding.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

//! One clip's pixels or latents without the batch's dimension, and with it.
Tensor unbatched(const Tensor& t) { return t.view({t.dim(1), t.dim(2), t.dim(3), t.dim(4)}); }
Tensor batched(const Tensor& t) { return t.view({1, t.dim(0), t.dim(1), t.dim(2), t.dim(3)}); }

}  // namespace

Tensor with_decode_noise(const models::ltx::Vae& vae, const json& a, Tensor latents, Generator& generator,
                         std::optional<float>& timestep) {
  timestep.reset();
  if (!vae.config().timestep_conditioning) return latents;
  // The reference mixes noise of the whole batch in, drawn after everything else.
  const Tensor noise = generator.randn(latents.shape());
  timestep = a.at("decode_timestep").get<float>();
  const float share = a.at("decode_noise_scale").is_null() ? *timestep : a.at("decode_noise_scale").get<float>();
  for (int64_t i = 0; i < latents.numel(); ++i)
    latents.data<float>()[i] = (1.0f - share) * latents.data<float>()[i] + share * noise.data<float>()[i];
  return latents;
}

void decode_clip(models::ltx::Vae& vae, const models::ltx::Tiling& tiling, const Tensor& clip,
                 std::optional<float> timestep, Generator& injected, const media::VideoFormat& format,
                 media::FrameSink& sink, const Monitor& monitor, bool probed) {
  std::vector<Tensor> pictures;
  sink.begin(format);
  monitor.report("decode", 0, clip.dim(2));
  models::ltx::decode(
      vae, tiling, unbatched(clip), timestep, injected,
      [&](const Tensor& picture) {
        monitor.check();
        if (monitor.probe) pictures.push_back(picture);
        const Tensor rgb = to_rgb(picture);
        sink.frame(rgb.span<float>());
      },
      [&](int64_t done, int64_t all) {
        monitor.check();
        monitor.report("decode", done, all);
      });
  sink.finish();
  if (!monitor.probe || !probed) return;
  monitor.probe("vae.decode.0.in.0", clip);
  if (timestep) monitor.probe("vae.decode.0.in.1", Tensor::full({1}, *timestep));
  const Tensor video =
      Tensor::concat(pictures, 0).view({static_cast<int64_t>(pictures.size()), format.height, format.width, -1});
  monitor.probe("vae.decode.0.out", batched(video.permute({3, 0, 1, 2})));
}

Tensor small_picture(models::ltx::Vae& vae, const Tensor& latents) {
  constexpr int64_t most_cells = 16;
  constexpr float timestep = 0.05f;
  const int64_t channels = latents.dim(1), frames = latents.dim(2), rows = latents.dim(3), columns = latents.dim(4);
  const int64_t shrink = (std::max(rows, columns) + most_cells - 1) / most_cells;
  const int64_t height = std::max<int64_t>(1, rows / shrink), width = std::max<int64_t>(1, columns / shrink);
  Tensor small = Tensor::zeros({channels, 1, height, width});
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t y = 0; y < height * shrink; ++y)
      for (int64_t x = 0; x < width * shrink; ++x) {
        if (y >= rows || x >= columns) continue;
        small.data<float>()[(c * height + y / shrink) * width + x / shrink] +=
            latents.data<float>()[((c * frames + frames / 2) * rows + y) * columns + x] /
            static_cast<float>(shrink * shrink);
      }
  Generator noise(0);
  Tensor preview;
  vae.decode(small, timestep, noise, [&](const Tensor& picture) { preview = to_rgb(picture); });
  return preview;
}
models::ltx::Tiling tiling_of(const json& value) {
  models::ltx::Tiling tiling;
  if (value.is_null()) return tiling;
  if (value.is_boolean()) {
    tiling.use_tiling = value.get<bool>();
    return tiling;
  }
  tiling.use_tiling = true;
  const std::pair<const char*, int64_t*> sizes[] = {
      {"tile_sample_min_height", &tiling.tile_sample_min_height},
      {"tile_sample_min_width", &tiling.tile_sample_min_width},
      {"tile_sample_min_num_frames", &tiling.tile_sample_min_num_frames},
      {"tile_sample_stride_height", &tiling.tile_sample_stride_height},
      {"tile_sample_stride_width", &tiling.tile_sample_stride_width},
      {"tile_sample_stride_num_frames", &tiling.tile_sample_stride_num_frames}};
  const std::pair<const char*, bool*> switches[] = {{"use_tiling", &tiling.use_tiling},
                                                    {"use_framewise_decoding", &tiling.use_framewise_decoding}};
  for (const auto& [key, given] : value.items()) {
    const auto size = std::find_if(std::begin(sizes), std::end(sizes), [&](const auto& s) { return s.first == key; });
    const auto on =
        std::find_if(std::begin(switches), std::end(switches), [&](const auto& s) { return s.first == key; });
    if (size != std::end(sizes) && given.is_number_integer() && given.get<int64_t>() > 0)
      *size->second = given.get<int64_t>();
    else if (on != std::end(switches) && given.is_boolean())
      *on->second = given.get<bool>();
    else
      throw Error(ErrorKind::usage, "vae_tiling has \"" + key + "\": " + given.dump() + ", which cannot be",
                  "it takes tile_sample_min_ and tile_sample_stride_ height, width and num_frames, and "
                  "use_framewise_decoding");
  }
  return tiling;
}

Tensor mode(const Tensor& moments) {
  const int64_t channels = moments.dim(0) / 2;
  return batched(moments.slice(0, channels));
}

//! mean + exp(logvar / 2) noise, the log-variance clamped.
Tensor sample(const Tensor& moments, Generator& generator) {
  constexpr float least = -30.0f, most = 20.0f;
  const Tensor mean = mode(moments);
  Tensor out = generator.randn(mean.shape());
  const float *means = mean.data<float>(), *log_variances = moments.data<float>() + mean.numel();
  for (int64_t i = 0; i < out.numel(); ++i)
    out.data<float>()[i] = means[i] + std::exp(0.5f * std::clamp(log_variances[i], least, most)) * out.data<float>()[i];
  return out;
}

Tensor encode_pixels(models::ltx::Vae& vae, const models::ltx::Tiling& tiling, const Tensor& pixels, int64_t call,
                     const Monitor& monitor) {
  monitor.check();
  monitor.report("encode", 0, pixels.dim(0));
  const Tensor moments = models::ltx::encode(vae, tiling, pixels);
  monitor.report("encode", pixels.dim(0), pixels.dim(0));
  if (monitor.probe) {
    const std::string name = "vae.encode." + std::to_string(call);
    monitor.probe(name + ".in.0", batched(pixels.permute({3, 0, 1, 2})));
    monitor.probe(name + ".out", batched(moments));
  }
  return moments;
}

}  // namespace prax::pipelines::ltx
