#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "media/ffmpeg.h"
#include "media/orientation.h"

namespace prax::media {

//! What a file is read as; messages name it.
enum class MediaKind { picture, video };

//! Throws Error(input): `name` cannot be read as that kind, and why.
[[noreturn]] void refuse(MediaKind kind, const std::string& name, const std::string& why);
//! refuse() when a picture of that size is none or larger than can be read.
void require_picture_size(MediaKind kind, const std::string& name, int64_t width, int64_t height);
//! FFmpeg's error code as a reason for refuse().
std::string words_of(int code);
[[noreturn]] void throw_no_memory();
//! `object`; throws Error(resource) when it is null.
template <typename T>
T* allocated(T* object) {
  if (!object) throw_no_memory();
  return object;
}

//! The first bytes of a file, at most `count`. Throws Error(io) when it cannot be opened or is a folder.
std::string file_head(const std::filesystem::path& path, size_t count);
//! All of them.
std::string file_bytes(const std::filesystem::path& path);

//! A container opened for reading, and its one interesting stream. Nothing else is opened: a playlist reaches no other
//! file and no network.
class Input {
public:
  //! Throws Error(io) when the file cannot be opened, Error(input) when there are no pictures in it.
  Input(MediaKind kind, const std::filesystem::path& path);
  //! From memory that lives as long as the object; `name` is for messages.
  Input(MediaKind kind, std::span<const uint8_t> bytes, const std::string& name);

  AVFormatContext& container() { return *container_; }
  AVStream& stream() { return *stream_; }
  //! A single picture in a file format of its own (BMP, TIFF ...), no clip.
  bool is_still() const;
  //! How the pictures are to be turned.
  Orientation orientation() const;

  //! The stream's next packet in the order of the file; false at the end.
  bool next_packet(AVPacket& packet);
  //! The stream's next picture, decoded, in the order of showing; false at the end. Error(input) where it is damaged.
  bool next_frame(AVFrame& frame);

private:
  struct CloseContainer {
    void operator()(AVFormatContext* container) const { avformat_close_input(&container); }
  };
  struct CloseBytes {
    void operator()(AVIOContext* bytes) const;
  };
  static int read_memory(void* input, uint8_t* out, int count);
  static int64_t seek_memory(void* input, int64_t offset, int whence);
  void open(std::string_view head);
  void choose_stream();
  void open_decoder();
  [[noreturn]] void refuse_damage(const std::string& why) const;

  MediaKind kind_;
  std::string name_;
  std::span<const uint8_t> memory_;
  size_t position_ = 0;
  std::unique_ptr<AVIOContext, CloseBytes> bytes_;
  std::unique_ptr<AVFormatContext, CloseContainer> container_;
  AVStream* stream_ = nullptr;
  CodecContext decoder_;
  PacketPtr packet_;
  int64_t packets_ = 0, frames_ = 0;
  bool ended_ = false;
};

}  // namespace prax::media
