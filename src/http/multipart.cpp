#include "http/multipart.h"

#include "base/human.h"
#include "http/target.h"

namespace prax::http {
namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw HttpError(400, "invalid_multipart", "The multipart body cannot be read: " + why);
}

}  // namespace

std::optional<std::string_view> Parameterized::find(std::string_view name) const {
  for (const auto& [key, text] : parameters)
    if (key == name) return text;
  return std::nullopt;
}

Parameterized parse_parameterized(std::string_view text) {
  Parameterized result;
  size_t at = text.find(';');
  result.value = lower_case(trimmed(text.substr(0, at)));
  while (at < text.size()) {
    ++at;  // the semicolon
    const size_t equals = text.find('=', at);
    if (equals == std::string_view::npos) break;
    const std::string name = lower_case(trimmed(text.substr(at, equals - at)));
    std::string content;
    at = equals + 1;
    if (at < text.size() && text[at] == '"') {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        // Browsers send a backslash in a file's name as it is and a quote as %22.
        if (text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\')) ++at;
        content += text[at];
      }
      at = text.find(';', at);
    } else {
      const size_t end = text.find(';', at);
      content = trimmed(text.substr(at, end == std::string_view::npos ? end : end - at));
      at = end;
    }
    result.parameters.emplace_back(name, std::move(content));
  }
  return result;
}

MultipartReader::MultipartReader(std::string_view boundary, MultipartLimits limits) : limits_(std::move(limits)) {
  constexpr size_t longest = 70;  // RFC 2046, 5.1.1
  if (boundary.empty() || boundary.size() > longest) refuse("its boundary must have 1 to 70 characters");
  delimiter_ = "\r\n--" + std::string(boundary);
}

void MultipartReader::feed(std::string_view bytes) {
  buffer_ += bytes;
  while (step()) {
  }
}

//! One move forward; false when more bytes are needed for it.
bool MultipartReader::step() {
  switch (state_) {
    case State::preamble: {
      const size_t at = buffer_.find(delimiter_);
      if (at == std::string::npos) {
        if (buffer_.size() > limits_.part_headers) refuse("the first boundary does not come");
        return false;
      }
      buffer_.erase(0, at + delimiter_.size());
      state_ = State::after_boundary;
      return true;
    }
    case State::after_boundary: {
      if (buffer_.starts_with("--")) {
        state_ = State::epilogue;
        return true;
      }
      const size_t end = buffer_.find("\r\n");
      if (end == std::string::npos) {
        if (buffer_.size() > limits_.part_headers) refuse("a boundary's line does not end");
        return false;
      }
      if (buffer_.find_first_not_of(" \t") != end) refuse("something follows a boundary on its line");
      buffer_.erase(0, end);  // its line end is also the one before an empty header block
      state_ = State::headers;
      return true;
    }
    case State::headers: {
      const size_t end = buffer_.find("\r\n\r\n");
      if (end == std::string::npos || end > limits_.part_headers) {
        if (buffer_.size() > limits_.part_headers) refuse("a part's header is too long");
        return false;
      }
      open_part(std::string_view(buffer_).substr(2, end < 2 ? 0 : end - 2));
      buffer_.erase(0, end + 4);
      state_ = State::content;
      return true;
    }
    case State::content: {
      const size_t at = buffer_.find(delimiter_);
      if (at != std::string::npos) {
        content(std::string_view(buffer_).substr(0, at));
        buffer_.erase(0, at + delimiter_.size());
        state_ = State::after_boundary;
        return true;
      }
      // The end of what is here may be the beginning of a boundary.
      if (buffer_.size() >= delimiter_.size()) {
        const size_t safe = buffer_.size() - (delimiter_.size() - 1);
        content(std::string_view(buffer_).substr(0, safe));
        buffer_.erase(0, safe);
      }
      return false;
    }
    case State::epilogue:
      buffer_.clear();
      return false;
  }
  return false;
}

void MultipartReader::open_part(std::string_view block) {
  if (parts_.size() >= limits_.parts)
    throw HttpError(413, "too_many_parts", "The body has more than " + std::to_string(limits_.parts) + " parts");
  Part part;
  bool named = false;
  while (!block.empty()) {
    const size_t end = block.find("\r\n");
    const std::string_view line = block.substr(0, end);
    block.remove_prefix(end == std::string_view::npos ? block.size() : end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) refuse("a part has a header line without a colon");
    const std::string_view name = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
    if (equal_ignoring_case(name, "content-disposition")) {
      const auto disposition = parse_parameterized(value);
      if (disposition.value != "form-data") refuse("a part is not form-data");
      const auto part_name = disposition.find("name");
      if (!part_name) refuse("a part has no name");
      part.name = *part_name;
      if (const auto filename = disposition.find("filename"))
        part.filename = std::string(*filename);
      else if (disposition.find("filename*"))
        part.filename = "upload";
      named = true;
    } else if (equal_ignoring_case(name, "content-type")) {
      part.content_type = parse_parameterized(value).value;
    } else if (equal_ignoring_case(name, "content-transfer-encoding") && !equal_ignoring_case(value, "binary") &&
               !equal_ignoring_case(value, "8bit") && !equal_ignoring_case(value, "7bit")) {
      refuse("a part is encoded as " + std::string(value) + "; send its bytes as they are");
    }
  }
  if (!named) refuse("a part has no content-disposition");
  if (invalid_utf8_offset(part.name) != std::string_view::npos) refuse("a part's name is not UTF-8");
  part.content = Spool(limits_.folder, limits_.part_memory);
  parts_.push_back(std::move(part));
}

void MultipartReader::content(std::string_view bytes) {
  Part& part = parts_.back();
  if (!part.filename) {
    text_ += bytes.size();
    if (text_ > limits_.text_bytes)
      throw HttpError(413, "text_too_long", "The text fields have more than " + human_bytes(limits_.text_bytes));
  }
  const bool was_short = part.content.size() <= limits_.part_memory;
  if (was_short && part.content.size() + bytes.size() > limits_.part_memory && ++files_ > limits_.files)
    throw HttpError(413, "too_many_parts",
                    "The body has more than " + std::to_string(limits_.files) + " parts of over " +
                        human_bytes(limits_.part_memory));
  part.content.append(bytes);
}

std::vector<Part> MultipartReader::finish() {
  if (state_ != State::epilogue) refuse("it ends before its last boundary");
  return std::move(parts_);
}

}  // namespace prax::http
