#pragma once

#include <array>
#include <exception>
#include <filesystem>
#include <string>

#include "media/ffmpeg.h"
#include "media/output_file.h"

namespace prax::media {

//! One encoder and one container over an OutputFile. Write errors keep their own message and come out of the call
//! during which they happened.
class Muxer {
public:
  //! `format` is FFmpeg's name of the container ("mp4").
  Muxer(const std::filesystem::path& target, const char* format);
  ~Muxer();
  Muxer(const Muxer&) = delete;
  Muxer& operator=(const Muxer&) = delete;

  AVFormatContext& container() { return *container_; }
  OutputFile& file() { return file_; }
  const std::filesystem::path& file_target() const { return file_.target(); }
  //! The first bytes of the file as they were written last.
  const std::array<uint8_t, 32>& head() const { return head_; }

  //! Opens the encoder that the context describes, as the container's next stream.
  AVStream& add_stream(AVCodecContext& encoder, AVDictionary** options);
  void write_header(AVDictionary** options);
  //! Encodes a frame (null: no more will come) and writes what comes out.
  void encode(AVCodecContext& encoder, AVStream& stream, const AVFrame* frame);
  void write(AVPacket& packet);
  void write_trailer();

private:
  static int write_bytes(void* self, uint8_t* bytes, int count);
  static int64_t seek(void* self, int64_t offset, int whence);
  int checked(int code, const char* what);

  OutputFile file_;
  AVFormatContext* container_ = nullptr;
  std::exception_ptr failure_;
  std::array<uint8_t, 32> head_{};
};

}  // namespace prax::media
