#include "media/companions.h"

#include "media/writer.h"

namespace prax::media {

void Tee::begin(const VideoFormat& format) {
  for (auto& sink : sinks_) sink->begin(format);
}

void Tee::frame(std::span<const float> rgb) {
  for (auto& sink : sinks_) sink->frame(rgb);
}

void Tee::finish() {
  for (auto& sink : sinks_) sink->finish();
}

namespace {

class MiddleFrame : public FrameSink {
public:
  explicit MiddleFrame(std::unique_ptr<FrameSink> sink) : sink_(std::move(sink)) {}

  void begin(const VideoFormat& format) override {
    wanted_ = format.frames / 2;
    seen_ = 0;
    sink_->begin({format.width, format.height, 1, format.fps});
  }
  void frame(std::span<const float> rgb) override {
    if (seen_++ == wanted_) sink_->frame(rgb);
  }
  void finish() override { sink_->finish(); }

private:
  std::unique_ptr<FrameSink> sink_;
  int64_t wanted_ = 0, seen_ = 0;
};

}  // namespace

std::unique_ptr<FrameSink> open_thumbnail(const std::filesystem::path& path) {
  return std::make_unique<MiddleFrame>(open_writer(path));
}

}  // namespace prax::media
