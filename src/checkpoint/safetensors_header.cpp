#include "checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

namespace {

using Entry = SafetensorsFile::Entry;

constexpr size_t largest_rank = 64;
constexpr int deepest_unknown_value = 64;

[[noreturn]] void refuse(const std::string& origin, const std::string& what,
                         const std::string& hint = "the file is damaged; download it again") {
  throw Error(ErrorKind::checkpoint, in_quotes(origin, 400) + ": " + what, hint);
}

std::string tensor_named(const std::string& name) { return "tensor " + in_quotes(name); }

//! Walks the JSON text of a header:
//!   {"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
public:
  HeaderReader(SafetensorsHeader& header, const std::string& origin) : header_(header), origin_(origin) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool value) override { return unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return unexpected(in_quotes(text, 40)); }
  bool binary(binary_t&) override { return unexpected("binary"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::numbers) return unexpected(std::to_string(value));
    if (field_ == "shape") {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
        refuse(origin_, tensor_named(name_) + " has an extent of " + std::to_string(value) + " in its shape");
      if (shape_->size() == largest_rank)
        refuse(origin_, tensor_named(name_) + " has more than " + std::to_string(largest_rank) + " dimensions");
      shape_->push_back(static_cast<int64_t>(value));
    } else {
      if (offsets_->size() == 2)
        refuse(origin_, "data_offsets of " + tensor_named(name_) + " has more than two numbers");
      offsets_->push_back(value);
    }
    return true;
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header_.metadata[field_] = std::move(value);
      return true;
    }
    if (place_ != Place::entry || field_ != "dtype") return unexpected("the text " + in_quotes(value, 40));
    dtype_ = dtype_from_safetensors(value);
    if (!dtype_)
      refuse(origin_, tensor_named(name_) + " has elements of type " + in_quotes(value, 40) + ", which cannot be read",
             "use a checkpoint in F32, F16, BF16, F64, F8_E4M3, F8_E5M2, I64, I32, I16, I8, U8 or BOOL, or convert it");
    return true;
  }

  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::outside:
        place_ = Place::root;
        return true;
      case Place::root:
        place_ = field_ == "__metadata__" ? Place::metadata : Place::entry;
        name_ = field_;
        dtype_.reset();
        shape_.reset();
        offsets_.reset();
        seen_.clear();
        return true;
      default:
        return enter_unknown("an object");
    }
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::entry || (field_ != "shape" && field_ != "data_offsets")) return enter_unknown("a list");
    place_ = Place::numbers;
    if (field_ == "shape") {
      shape_.emplace();
    } else {
      offsets_.emplace();
    }
    return true;
  }

  bool key(string_t& value) override {
    field_ = std::move(value);
    if (place_ == Place::root) {
      const bool twice =
          field_ == "__metadata__" ? std::exchange(has_metadata_, true) : header_.entries.contains(field_);
      if (twice) refuse(origin_, "the header names " + in_quotes(field_) + " twice");
    } else if (place_ == Place::metadata) {
      if (header_.metadata.contains(field_))
        refuse(origin_, "__metadata__ has the key " + in_quotes(field_) + " twice");
    } else if (place_ == Place::entry && (field_ == "dtype" || field_ == "shape" || field_ == "data_offsets")) {
      if (std::find(seen_.begin(), seen_.end(), field_) != seen_.end())
        refuse(origin_, tensor_named(name_) + " has " + field_ + " twice");
      seen_.push_back(field_);
    }
    return true;
  }

  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    refuse(origin_, "the header is not valid JSON at its byte " + std::to_string(position));
  }

private:
  enum class Place { outside, root, metadata, entry, numbers, unknown };

  bool unexpected(const std::string& what) {
    switch (place_) {
      case Place::outside:
        refuse(origin_, "the header is " + what + " instead of a JSON object");
      case Place::root:
        refuse(origin_, "the entry of " + tensor_named(field_) + " is " + what + " instead of an object");
      case Place::metadata:
        refuse(origin_, "__metadata__ has " + what + " under " + in_quotes(field_) + " instead of text");
      case Place::numbers:
        refuse(origin_, field_ + " of " + tensor_named(name_) + " holds " + what + " instead of a whole number");
      case Place::entry:
        if (field_ == "dtype" || field_ == "shape" || field_ == "data_offsets")
          refuse(origin_, field_ + " of " + tensor_named(name_) + " is " + what);
        return true;
      case Place::unknown:
        return true;
    }
    return true;
  }

  //! A list or object where the format has none: an error, or the value of a key we do not know.
  bool enter_unknown(const std::string& what) {
    unexpected(what);
    place_ = Place::unknown;
    if (++unknown_depth_ > deepest_unknown_value) refuse(origin_, tensor_named(name_) + " has a deeply nested entry");
    return true;
  }

  bool leave() {
    switch (place_) {
      case Place::unknown:
        if (--unknown_depth_ == 0) place_ = Place::entry;
        break;
      case Place::numbers:
        place_ = Place::entry;
        break;
      case Place::metadata:
        place_ = Place::root;
        break;
      case Place::entry:
        finish_entry();
        place_ = Place::root;
        break;
      default:
        place_ = Place::outside;
        break;
    }
    return true;
  }

  void finish_entry() {
    const char* missing = !dtype_ ? "dtype" : !shape_ ? "shape" : !offsets_ ? "data_offsets" : nullptr;
    if (missing) refuse(origin_, tensor_named(name_) + " has no " + missing);
    if (offsets_->size() != 2)
      refuse(origin_, "data_offsets of " + tensor_named(name_) + " has " + std::to_string(offsets_->size()) +
                          " numbers instead of two");
    header_.entries[name_] = Entry{*dtype_, std::move(*shape_), (*offsets_)[0], (*offsets_)[1]};
  }

  SafetensorsHeader& header_;
  const std::string& origin_;
  Place place_ = Place::outside;
  int unknown_depth_ = 0;
  bool has_metadata_ = false;
  std::string name_, field_;
  std::optional<DType> dtype_;
  std::optional<Shape> shape_;
  std::optional<std::vector<uint64_t>> offsets_;
  std::vector<std::string> seen_;
};

//! Bytes of a tensor; nullopt when they do not fit 63 bits. Extents of 0 do not hide an overflow of the others.
std::optional<uint64_t> bytes_of(const Entry& entry) {
  int64_t bytes = static_cast<int64_t>(size_of(entry.dtype));
  bool empty = false;
  for (int64_t extent : entry.shape) {
    if (extent == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, extent, &bytes)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

void check_layout(const SafetensorsHeader& header, uint64_t data_bytes, const std::string& origin) {
  std::vector<const std::pair<const std::string, Entry>*> order;
  for (const auto& item : header.entries) {
    const auto& [name, entry] = item;
    std::string range = "[";
    range.append(std::to_string(entry.begin)).append(", ").append(std::to_string(entry.end)).append("]");
    if (entry.begin > entry.end)
      refuse(origin, "data_offsets " + range + " of " + tensor_named(name) + " run backwards");
    const auto bytes = bytes_of(entry);
    if (!bytes)
      refuse(origin, tensor_named(name) + " has the shape " + to_string(entry.shape) + ", more than memory can hold");
    if (*bytes != entry.end - entry.begin)
      refuse(origin, tensor_named(name) + " of shape " + to_string(entry.shape) + " and type " +
                         std::string(safetensors_name(entry.dtype)) + " needs " + std::to_string(*bytes) +
                         " bytes, but its data_offsets are " + range);
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t at = 0;
  for (const auto* item : order) {
    const uint64_t begin = item->second.begin;
    if (begin < at) refuse(origin, tensor_named(item->first) + " overlaps the tensor before it");
    if (begin > at)
      refuse(origin,
             std::to_string(begin - at) + " bytes before " + tensor_named(item->first) + " belong to no tensor");
    at = item->second.end;
  }
  if (at > data_bytes)
    refuse(origin,
           "the file is cut off: " + std::to_string(at - data_bytes) + " of the " + std::to_string(at) +
               " bytes of its tensors are missing",
           "the download did not finish; download the file again");
  if (at < data_bytes)
    refuse(origin, std::to_string(data_bytes - at) + " bytes at the end of the file belong to no tensor");
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& origin) {
  // The parser takes a NUL for the end of the text.
  if (const size_t nul = json.find('\0'); nul != std::string_view::npos)
    refuse(origin, "the header is not valid JSON at its byte " + std::to_string(nul + 1));
  SafetensorsHeader header;
  HeaderReader reader(header, origin);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  check_layout(header, data_bytes, origin);
  return header;
}

}  // namespace prax::checkpoint
