#include "media/input.h"

extern "C" {
#include <libavformat/avio.h>
}

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/human.h"
#include "media/picture.h"

namespace prax::media {

namespace fs = std::filesystem;

namespace {

constexpr int buffer_bytes = 1 << 16;
//! Enough for any file; more would only take memory.
constexpr int decoder_threads = 4;
constexpr size_t head_bytes = 1024;

std::ifstream open_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    throw Error(ErrorKind::io, path.string() + " cannot be opened: it is a folder", "Name a file.");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(ErrorKind::io, path.string() + " cannot be opened: " + std::strerror(errno ? errno : ENOENT),
                "Check the name and the permissions.");
  }
  return file;
}

bool looks_like_text(std::string_view head) {
  for (const char c : head) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' && byte != '\n' && byte != '\r' && byte != '\t' && byte != '\f') return false;
  }
  // The last character may be cut.
  constexpr size_t longest_character = 4;
  const size_t bad = invalid_utf8_offset(head);
  return bad == std::string_view::npos || (head.size() == head_bytes && bad + longest_character > head.size());
}

}  // namespace

void throw_no_memory() {
  throw Error(ErrorKind::resource, "there is not enough memory to read pictures", "close other programs");
}

void refuse(MediaKind kind, const std::string& name, const std::string& why) {
  if (kind == MediaKind::picture) {
    throw Error(ErrorKind::input, name + " cannot be read as a picture: " + why,
                "Check that the file is complete; PNG, JPEG, WebP and most other pictures can be read.");
  }
  throw Error(ErrorKind::input, name + " cannot be read as a video: " + why,
              "Check that the file is complete and is a video.");
}

void require_picture_size(MediaKind kind, const std::string& name, int64_t width, int64_t height) {
  if (width < 1 || height < 1) refuse(kind, name, "no picture in it has a size; it is damaged or cut off");
  if (width <= longest_picture_side && height <= longest_picture_side) return;
  refuse(kind, name,
         "it is " + std::to_string(width) + "x" + std::to_string(height) + " large, but no side may be over " +
             std::to_string(longest_picture_side));
}

std::string words_of(int code) {
  if (code == AVERROR_INVALIDDATA || code == AVERROR(EINVAL) || code == AVERROR_EXTERNAL)
    return "it is damaged, or of a kind that is not known here";
  if (code == AVERROR_PATCHWELCOME) return "its kind of compression is not known here";
  if (code == AVERROR_EOF) return "it is cut off";
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

std::string file_bytes(const fs::path& path) {
  std::ifstream file = open_file(path);
  std::string bytes;
  std::array<char, buffer_bytes> part;
  do {
    file.read(part.data(), part.size());
    bytes.append(part.data(), static_cast<size_t>(file.gcount()));
  } while (file);
  return bytes;
}

std::string file_head(const fs::path& path, size_t count) {
  std::ifstream file = open_file(path);
  std::string head(count, '\0');
  file.read(head.data(), static_cast<std::streamsize>(count));
  head.resize(static_cast<size_t>(file.gcount()));
  return head;
}

Input::Input(MediaKind kind, const fs::path& path) : kind_(kind), name_(path.string()) {
  const std::string head = file_head(path, head_bytes);
  AVIOContext* bytes = nullptr;
  // "file:", because a colon in a name would look like a protocol.
  if (const int result = avio_open(&bytes, ("file:" + name_).c_str(), AVIO_FLAG_READ); result < 0) {
    throw Error(ErrorKind::io, name_ + " cannot be opened: " + words_of(result), "Check the name and the permissions.");
  }
  bytes_.reset(bytes);
  open(head);
}

Input::Input(MediaKind kind, std::span<const uint8_t> bytes, const std::string& name)
    : kind_(kind), name_(name), memory_(bytes) {
  auto* buffer = static_cast<unsigned char*>(allocated(av_malloc(buffer_bytes)));
  bytes_.reset(avio_alloc_context(buffer, buffer_bytes, 0, this, &read_memory, nullptr, &seek_memory));
  if (!bytes_) {
    av_free(buffer);
    throw_no_memory();
  }
  open({reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), head_bytes)});
}

void Input::CloseBytes::operator()(AVIOContext* bytes) const {
  if (bytes->read_packet == &read_memory) {
    av_freep(&bytes->buffer);
    avio_context_free(&bytes);
  } else {
    avio_closep(&bytes);
  }
}

int Input::read_memory(void* input, uint8_t* out, int count) {
  auto& self = *static_cast<Input*>(input);
  const size_t left = self.memory_.size() - self.position_;
  if (left == 0) return AVERROR_EOF;
  const size_t now = std::min(left, static_cast<size_t>(std::max(count, 0)));
  std::memcpy(out, self.memory_.data() + self.position_, now);
  self.position_ += now;
  return static_cast<int>(now);
}

int64_t Input::seek_memory(void* input, int64_t offset, int whence) {
  auto& self = *static_cast<Input*>(input);
  const auto size = static_cast<int64_t>(self.memory_.size());
  if (whence == AVSEEK_SIZE) return size;
  int64_t to = offset;
  if (whence == SEEK_CUR) to += static_cast<int64_t>(self.position_);
  if (whence == SEEK_END) to += size;
  if (to < 0 || to > size) return AVERROR(EINVAL);
  self.position_ = static_cast<size_t>(to);
  return to;
}

void Input::open(std::string_view head) {
  quiet_ffmpeg();
  if (head.empty()) refuse(kind_, name_, "the file is empty");
  AVFormatContext* container = allocated(avformat_alloc_context());
  container->pb = bytes_.get();
  container->flags |= AVFMT_FLAG_CUSTOM_IO;
  container->io_open = [](AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EPERM); };
  // Containers inside of this one do not know the callback, but take over the list.
  AVDictionary* options = nullptr;
  av_dict_set(&options, "protocol_whitelist", "none", 0);
  // Without a name, so that the content alone says what it is.
  const int opened = avformat_open_input(&container, nullptr, nullptr, &options);
  av_dict_free(&options);
  if (opened < 0) refuse(kind_, name_, looks_like_text(head) ? "it is a text" : words_of(opened));
  container_.reset(container);
  if (const int result = avformat_find_stream_info(container, nullptr); result < 0)
    refuse(kind_, name_, words_of(result));
  choose_stream();
  require_picture_size(kind_, name_, stream_->codecpar->width, stream_->codecpar->height);
}

void Input::choose_stream() {
  int index = av_find_best_stream(container_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  const auto is_cover = [&](int i) { return (container_->streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0; };
  for (int i = 0; index >= 0 && is_cover(index) && i < static_cast<int>(container_->nb_streams); ++i) {
    if (container_->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !is_cover(i)) index = i;
  }
  if (index >= 0 && !(kind_ == MediaKind::video && is_cover(index))) {
    stream_ = container_->streams[index];
    return;
  }
  for (unsigned i = 0; i < container_->nb_streams; ++i) {
    if (container_->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
      refuse(kind_, name_, "there is only sound in it, no moving picture");
  }
  refuse(kind_, name_, "there is no picture in it");
}

bool Input::is_still() const {
  const std::string_view format = container_->iformat->name;
  return format.ends_with("_pipe") || format.starts_with("image2");
}

Orientation Input::orientation() const {
  constexpr size_t numbers = 9;
  size_t size = 0;
  const uint8_t* bytes = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &size);
  if (!bytes || size < numbers * sizeof(int32_t)) return upright;
  int32_t matrix[numbers];
  std::memcpy(matrix, bytes, sizeof matrix);
  return matrix_orientation(matrix);
}

void Input::refuse_damage(const std::string& why) const {
  refuse(kind_, name_, frames_ == 0 ? why : "after " + std::to_string(frames_) + " pictures " + why);
}

bool Input::next_packet(AVPacket& packet) {
  av_packet_unref(&packet);
  for (;;) {
    const int result = av_read_frame(container_.get(), &packet);
    if (result == AVERROR_EOF) {
      // MP4 has an index of all that should be there.
      const int64_t listed = avformat_index_get_entries_count(stream_);
      if (std::string_view(container_->iformat->name).starts_with("mov") && packets_ < listed)
        refuse_damage("it is cut off");
      return false;
    }
    if (result < 0) refuse_damage(words_of(result));
    if (packet.stream_index == stream_->index) {
      ++packets_;
      return true;
    }
    av_packet_unref(&packet);
  }
}

void Input::open_decoder() {
  const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
  if (!codec) {
    refuse(kind_, name_,
           "its compression, " + std::string(avcodec_get_name(stream_->codecpar->codec_id)) + ", is not known here");
  }
  decoder_.reset(allocated(avcodec_alloc_context3(codec)));
  packet_.reset(allocated(av_packet_alloc()));
  if (const int result = avcodec_parameters_to_context(decoder_.get(), stream_->codecpar); result < 0)
    refuse(kind_, name_, words_of(result));
  decoder_->pkt_timebase = stream_->time_base;
  decoder_->thread_count = decoder_threads;
  decoder_->max_pixels = int64_t{longest_picture_side} * longest_picture_side;
  if (const int result = avcodec_open2(decoder_.get(), codec, nullptr); result < 0)
    refuse(kind_, name_, words_of(result));
}

bool Input::next_frame(AVFrame& frame) {
  constexpr int damage =
      FF_DECODE_ERROR_INVALID_BITSTREAM | FF_DECODE_ERROR_CONCEALMENT_ACTIVE | FF_DECODE_ERROR_DECODE_SLICES;
  if (!decoder_) open_decoder();
  av_frame_unref(&frame);
  for (;;) {
    const int result = avcodec_receive_frame(decoder_.get(), &frame);
    if (result >= 0) {
      if ((frame.decode_error_flags & damage) || (frame.flags & AV_FRAME_FLAG_CORRUPT))
        refuse_damage("it is damaged or cut off");
      ++frames_;
      return true;
    }
    if (result == AVERROR_EOF) return false;
    if (result != AVERROR(EAGAIN)) refuse_damage(words_of(result));
    if (ended_) return false;
    ended_ = !next_packet(*packet_);
    if (!ended_ && (packet_->flags & AV_PKT_FLAG_CORRUPT)) refuse_damage("it is damaged or cut off");
    const int sent = avcodec_send_packet(decoder_.get(), ended_ ? nullptr : packet_.get());
    if (sent < 0) refuse_damage(words_of(sent));
  }
}

}  // namespace prax::media
