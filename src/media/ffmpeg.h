#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <filesystem>
#include <memory>
#include <string>

namespace prax::media {

//! Owners of FFmpeg's objects.
template <auto destroy>
struct Destroy {
  template <typename T>
  void operator()(T* object) const {
    destroy(&object);
  }
};
using CodecContext = std::unique_ptr<AVCodecContext, Destroy<avcodec_free_context>>;
using FramePtr = std::unique_ptr<AVFrame, Destroy<av_frame_free>>;
using PacketPtr = std::unique_ptr<AVPacket, Destroy<av_packet_free>>;
using FilterGraph = std::unique_ptr<AVFilterGraph, Destroy<avfilter_graph_free>>;

//! FFmpeg's own log goes nowhere: its error codes come into our messages.
void quiet_ffmpeg();

//! `code` when it is no error; else Error(io): what failed for which file, in FFmpeg's words.
int check(int code, const char* what, const std::filesystem::path& file);

//! A frame with its own buffers.
FramePtr new_frame(AVPixelFormat format, int width, int height);

}  // namespace prax::media
