#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "checkpoint/weights.h"
#include "tensor/parallel.h"

namespace prax::checkpoint {

namespace {

//! A prime, so that rows of a matrix, whatever their length, do not fall on the same numbers.
constexpr int64_t tile_size = 1048573;
constexpr int64_t copy_grain = 1 << 18;
//! Matrices from this size on are windows onto a NumberFile.
constexpr size_t large_bytes = 8'000'000;
//! Pages of a NumberFile: about 32 MiB, and a prime for the same reason as above.
constexpr int64_t file_pages = 8191;

//! The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t hash_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return mixed(hash);
}

//! The i-th number: a sum of four uniform 16-bit numbers (Irwin-Hall), mean 0 and deviation 1: variance
//! 4 * (2^32 - 1) / 12.
float normal_at(int64_t i) {
  static const float scale = static_cast<float>(1 / std::sqrt((0x1p32 - 1) / 3));
  const uint64_t bits = mixed(static_cast<uint64_t>(i));
  const auto sum = static_cast<int64_t>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
  return static_cast<float>(sum - 2 * 0xffff) * scale;
}

const std::vector<float>& normal_tile() {
  static const std::vector<float> tile = [] {
    std::vector<float> values(tile_size);
    for (int64_t i = 0; i < tile_size; ++i) values[static_cast<size_t>(i)] = normal_at(i);
    return values;
  }();
  return tile;
}

struct Distribution {
  float mean, deviation;
};

Distribution distribution_for(const std::string& name, const Shape& shape) {
  if (shape.size() > 1) {
    const int64_t fan_in = element_count(shape) / std::max<int64_t>(1, shape[0]);
    return {0.0f, 1.0f / std::sqrt(static_cast<float>(std::max<int64_t>(1, fan_in)))};
  }
  // The gain of a norm, and the deviations that latents are divided by, must not be near zero.
  const bool gain = shape.size() == 1 && (name.ends_with("weight") || name.ends_with("std") || name.ends_with("gamma"));
  return {gain ? 1.0f : 0.0f, 0.02f};
}

//! Random numbers of one type and deviation in a file that lives in memory only. Giant matrices are made of it by
//! mapping its pages again and again: they behave like a mapped checkpoint, and the process owns no copy of them.
class NumberFile {
public:
  NumberFile(DType dtype, float deviation) : dtype_(dtype), page_(static_cast<size_t>(::sysconf(_SC_PAGESIZE))) {
    file_ = ::memfd_create("praxinoscope-synthetic", MFD_CLOEXEC);
    if (file_ < 0) return;
    void* pages = MAP_FAILED;
    if (::ftruncate(file_, static_cast<off_t>(bytes())) == 0)
      pages = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (pages == MAP_FAILED) {
      ::close(file_);
      file_ = -1;
      return;
    }
    fill(pages, deviation);
    ::munmap(pages, bytes());
  }
  NumberFile(const NumberFile&) = delete;
  NumberFile& operator=(const NumberFile&) = delete;
  ~NumberFile() {
    if (file_ >= 0) ::close(file_);
  }

  size_t bytes() const { return static_cast<size_t>(file_pages) * page_; }

  //! A tensor whose elements begin on page `start % file_pages` and run around the end; undefined when the system
  //! does not let us map.
  Tensor window(const Shape& shape, uint64_t start) const {
    if (file_ < 0) return {};
    const size_t wanted = static_cast<size_t>(element_count(shape)) * size_of(dtype_);
    const size_t length = (wanted + page_ - 1) / page_ * page_;
    void* room = ::mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return {};
    const std::shared_ptr<const void> owner(room,
                                            [length](const void* at) { ::munmap(const_cast<void*>(at), length); });
    size_t offset = start % static_cast<uint64_t>(file_pages) * page_;
    for (size_t done = 0; done < length;) {
      const size_t part = std::min(length - done, bytes() - offset);
      if (::mmap(static_cast<char*>(room) + done, part, PROT_READ, MAP_SHARED | MAP_FIXED, file_,
                 static_cast<off_t>(offset)) == MAP_FAILED)
        return {};
      done += part;
      offset = 0;
    }
    return Tensor::borrow(shape, dtype_, room, owner);
  }

private:
  void fill(void* pages, float deviation) const {
    const auto count = static_cast<int64_t>(bytes() / size_of(dtype_));
    parallel_for(count, copy_grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float value = deviation * normal_at(i);
        if (dtype_ == DType::f32) static_cast<float*>(pages)[i] = value;
        if (dtype_ == DType::bf16) static_cast<bfloat16*>(pages)[i] = bfloat16(value);
        if (dtype_ == DType::f16) static_cast<float16*>(pages)[i] = float16(value);
      }
    });
  }

  DType dtype_;
  size_t page_;
  int file_ = -1;
};

//! Kept to the end of the process: a model asks for the same few again and again.
const NumberFile& number_file(DType dtype, float deviation) {
  static std::mutex mutex;
  static std::map<std::pair<DType, float>, NumberFile>& files = *new std::map<std::pair<DType, float>, NumberFile>;
  std::lock_guard lock(mutex);
  return files.try_emplace(std::pair(dtype, deviation), dtype, deviation).first->second;
}

}  // namespace

SyntheticSource::SyntheticSource(DType dtype) : dtype_(dtype) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    throw Error(ErrorKind::usage, "synthetic weights cannot be of type " + std::string(name_of(dtype)),
                "use f32, bf16 or f16");
}

Tensor SyntheticSource::get(const std::string& name, const Shape& shape) {
  const auto [mean, deviation] = distribution_for(name, shape);
  const int64_t count = element_count(shape);
  const size_t width = size_of(dtype_);
  if (mean == 0.0f && static_cast<size_t>(count) * width >= large_bytes) {
    const Tensor window = number_file(dtype_, deviation).window(shape, hash_of(name));
    if (window.defined()) return window;
  }
  const auto& tile = normal_tile();
  const int64_t head = std::min(count, tile_size);
  const auto start = static_cast<int64_t>(hash_of(name) % tile_size);
  Tensor scaled = Tensor::empty({head});
  float* out = scaled.data<float>();
  const int64_t before_wrap = std::min(head, tile_size - start);
  for (int64_t i = 0; i < before_wrap; ++i) out[i] = mean + deviation * tile[static_cast<size_t>(start + i)];
  for (int64_t i = before_wrap; i < head; ++i) out[i] = mean + deviation * tile[static_cast<size_t>(i - before_wrap)];
  const Tensor converted = scaled.to(dtype_);
  if (count == head) return converted.view(shape);

  Tensor tensor = Tensor::empty(shape, dtype_);
  const auto* from = static_cast<const char*>(converted.raw());
  auto* to = static_cast<char*>(tensor.raw());
  parallel_for(count, copy_grain, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t at = begin % tile_size, run = std::min(end - begin, tile_size - at);
      std::memcpy(to + static_cast<size_t>(begin) * width, from + static_cast<size_t>(at) * width,
                  static_cast<size_t>(run) * width);
      begin += run;
    }
  });
  return tensor;
}

}  // namespace prax::checkpoint
