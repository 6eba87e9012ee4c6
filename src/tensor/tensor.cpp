#include "tensor/tensor.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <numeric>

#include "base/error.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tensor/rehearsal.h"

namespace prax {

namespace {

constexpr int64_t conversion_grain = 1 << 16;

template <typename From, typename To, typename Convert>
void convert(const void* from, void* to, int64_t count, Convert&& one) {
  const From* in = static_cast<const From*>(from);
  To* out = static_cast<To*>(to);
  parallel_for(count, conversion_grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = one(in[i]);
  });
}

//! Whether so much is not to be written, since it is a rehearsal.
bool is_left_out(size_t bytes) {
  constexpr size_t least = size_t{1} << 20;  // what is smaller takes memory anyway
  return bytes >= least && rehearsing();
}

//! Any dtype to f32.
void to_f32(const Tensor& in, float* out) {
  const int64_t n = in.numel();
  switch (in.dtype()) {
    case DType::f64:
      return convert<double, float>(in.raw(), out, n, [](double v) { return static_cast<float>(v); });
    case DType::f32:
      std::memcpy(out, in.raw(), static_cast<size_t>(n) * 4);
      return;
    case DType::f16:
      return convert<float16, float>(in.raw(), out, n, [](float16 v) { return static_cast<float>(v); });
    case DType::bf16:
      return convert<bfloat16, float>(in.raw(), out, n, [](bfloat16 v) { return static_cast<float>(v); });
    case DType::f8_e4m3:
      return convert<uint8_t, float>(in.raw(), out, n, float_from_f8_e4m3);
    case DType::f8_e5m2:
      return convert<uint8_t, float>(in.raw(), out, n, float_from_f8_e5m2);
    case DType::i64:
      return convert<int64_t, float>(in.raw(), out, n, [](int64_t v) { return static_cast<float>(v); });
    case DType::i32:
      return convert<int32_t, float>(in.raw(), out, n, [](int32_t v) { return static_cast<float>(v); });
    case DType::i16:
      return convert<int16_t, float>(in.raw(), out, n, [](int16_t v) { return static_cast<float>(v); });
    case DType::i8:
      return convert<int8_t, float>(in.raw(), out, n, [](int8_t v) { return static_cast<float>(v); });
    case DType::u8:
    case DType::boolean:
      return convert<uint8_t, float>(in.raw(), out, n, [](uint8_t v) { return static_cast<float>(v); });
  }
}

}  // namespace

int64_t element_count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Tensor Tensor::meta(Shape shape, DType dtype) {
  Tensor t;
  t.shape_ = std::move(shape);
  t.dtype_ = dtype;
  t.dtype_set_ = true;
  return t;
}

Tensor Tensor::empty(Shape shape, DType dtype) {
  Tensor t = meta(std::move(shape), dtype);
  auto block = allocate(t.bytes());
  t.data_ = block.get();
  t.owner_ = std::move(block);
  return t;
}

Tensor Tensor::zeros(Shape shape, DType dtype) {
  Tensor t = empty(std::move(shape), dtype);
  if (!is_left_out(t.bytes())) std::memset(t.data_, 0, t.bytes());
  return t;
}

Tensor Tensor::full(Shape shape, float value) {
  Tensor t = empty(std::move(shape), DType::f32);
  if (!is_left_out(t.bytes()))
    for (float& v : t.span<float>()) v = value;
  return t;
}

Tensor Tensor::borrow(Shape shape, DType dtype, const void* data, std::shared_ptr<const void> owner) {
  Tensor t = meta(std::move(shape), dtype);
  t.data_ = const_cast<void*>(data);
  t.owner_ = std::move(owner);
  t.mapped_ = true;
  return t;
}

void Tensor::let_go() const {
  if (!mapped_ || !data_) return;
  static const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(data_), end = begin + bytes();
  const uintptr_t first = (begin + page - 1) / page * page, last = end / page * page;  // pages of its own
  // Gigabytes of small pages: unmapping them is work for all threads.
  const auto part = static_cast<int64_t>(1024 * page), length = static_cast<int64_t>(last > first ? last - first : 0);
  parallel_for((length + part - 1) / part, 1, [&](int64_t from, int64_t to) {
    const int64_t offset = from * part, size = std::min(to * part, length) - offset;
    ::madvise(reinterpret_cast<void*>(first + static_cast<uintptr_t>(offset)), static_cast<size_t>(size),
              MADV_DONTNEED);
  });
}

void* Tensor::typed(DType wanted) const {
  if (dtype_ != wanted || !dtype_set_)
    throw Error(ErrorKind::internal,
                "a tensor of " + std::string(name_of(dtype_)) + " was read as " + std::string(name_of(wanted)));
  if (!data_ && numel() != 0) throw Error(ErrorKind::internal, "a tensor without storage was read");
  return data_;
}

Tensor Tensor::view(Shape shape) const {
  const std::string asked = to_string(shape);
  int64_t known = 1;
  int64_t* open = nullptr;
  for (int64_t& d : shape) {
    if (d == -1) {
      open = &d;
    } else {
      known *= d;
    }
  }
  if (open) *open = known ? numel() / known : 0;
  if (element_count(shape) != numel())
    throw Error(ErrorKind::internal, "a tensor " + to_string(shape_) + " cannot be seen as " + asked);
  Tensor t = *this;
  t.shape_ = std::move(shape);
  return t;
}

Tensor Tensor::slice(int64_t begin, int64_t end) const {
  if (shape_.empty() || begin < 0 || begin > end || end > shape_[0])
    throw Error(ErrorKind::internal, "rows " + std::to_string(begin) + " to " + std::to_string(end) +
                                         " are not in a tensor " + to_string(shape_));
  Tensor t = *this;
  t.shape_[0] = 1;
  const size_t row = t.bytes();
  t.shape_[0] = end - begin;
  if (data_) t.data_ = static_cast<char*>(data_) + static_cast<size_t>(begin) * row;
  return t;
}

Tensor Tensor::clone() const {
  Tensor t = empty(shape_, dtype_);
  if (bytes() && !is_left_out(bytes())) std::memcpy(t.data_, data_, bytes());
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor out = empty(shape_, dtype);
  if (dtype == DType::f32) {
    to_f32(*this, out.data<float>());
    return out;
  }
  const int64_t n = numel();
  const Tensor wide = dtype_ == DType::f32 ? *this : to(DType::f32);
  const void* in = wide.raw();
  switch (dtype) {
    case DType::bf16:
      convert<float, bfloat16>(in, out.raw(), n, [](float v) { return bfloat16(v); });
      break;
    case DType::f16:
      convert<float, float16>(in, out.raw(), n, [](float v) { return float16(v); });
      break;
    case DType::f64:
      convert<float, double>(in, out.raw(), n, [](float v) { return static_cast<double>(v); });
      break;
    case DType::i64:
      convert<float, int64_t>(in, out.raw(), n, [](float v) { return static_cast<int64_t>(v); });
      break;
    default:
      throw Error(ErrorKind::internal, "no conversion to " + std::string(name_of(dtype)));
  }
  return out;
}

Tensor Tensor::permute(const std::vector<int>& order) const {
  const size_t rank = shape_.size();
  if (rank == 0) return clone();
  Shape out_shape(rank), strides(rank, 1);
  for (size_t i = rank - 1; i-- > 0;) strides[i] = strides[i + 1] * shape_[i + 1];
  Shape out_strides(rank);
  for (size_t i = 0; i < rank; ++i) {
    out_shape[i] = shape_[order[i]];
    out_strides[i] = strides[order[i]];
  }
  Tensor out = empty(out_shape, dtype_);
  const size_t element = size_of(dtype_);
  const char* in = static_cast<const char*>(data_);
  char* to = static_cast<char*>(out.data_);
  const int64_t inner = out_shape[rank - 1], inner_stride = out_strides[rank - 1];
  const int64_t rows = inner ? numel() / inner : 0;
  parallel_for(rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, inner)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t rest = row, offset = 0;
      for (size_t i = rank - 1; i-- > 0;) {
        offset += rest % out_shape[i] * out_strides[i];
        rest /= out_shape[i];
      }
      char* target = to + static_cast<size_t>(row * inner) * element;
      if (inner_stride == 1) {
        std::memcpy(target, in + static_cast<size_t>(offset) * element, static_cast<size_t>(inner) * element);
        continue;
      }
      for (int64_t i = 0; i < inner; ++i)
        std::memcpy(target + static_cast<size_t>(i) * element,
                    in + static_cast<size_t>(offset + i * inner_stride) * element, element);
    }
  });
  return out;
}

Tensor Tensor::concat(const std::vector<Tensor>& parts, int dim) {
  Shape shape = parts.at(0).shape_;
  int64_t total = 0;
  for (const Tensor& part : parts) total += part.shape_[dim];
  shape[dim] = total;
  Tensor out = empty(shape, parts[0].dtype_);
  int64_t outer = 1;
  for (int i = 0; i < dim; ++i) outer *= shape[i];
  const size_t out_row = outer ? out.bytes() / static_cast<size_t>(outer) : 0;
  if (is_left_out(out.bytes())) return out;
  size_t offset = 0;
  for (const Tensor& part : parts) {
    const size_t row = outer ? part.bytes() / static_cast<size_t>(outer) : 0;
    for (int64_t i = 0; i < outer; ++i)
      std::memcpy(static_cast<char*>(out.data_) + static_cast<size_t>(i) * out_row + offset,
                  static_cast<const char*>(part.data_) + static_cast<size_t>(i) * row, row);
    offset += row;
  }
  return out;
}

}  // namespace prax
