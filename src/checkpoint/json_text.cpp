#include "checkpoint/json_text.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "checkpoint/messages.h"

namespace prax::checkpoint {

namespace {

constexpr int deepest_nesting = 64;
constexpr uintmax_t largest_file = uintmax_t{64} << 20;

nlohmann::json parse_strictly(std::string_view text, const std::string& origin) {
  const auto limit_depth = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > deepest_nesting)
      throw Error(ErrorKind::checkpoint,
                  in_quotes(origin, 400) + " nests deeper than " + std::to_string(deepest_nesting) + " levels",
                  "this is no configuration of a model; download the file again");
    return true;
  };
  return nlohmann::json::parse(text.begin(), text.end(), limit_depth);
}

bool starts_with_at(std::string_view text, size_t at, std::string_view word) {
  return text.substr(at, word.size()) == word;
}

//! Puts quotes around the non-finite numbers outside of strings; JSON has no spelling for them.
std::string with_quoted_constants(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    if (in_string) {
      if (text[i] == '\\' && i + 1 < text.size()) {
        out += text[i++];  // what it escapes follows, and ends nothing
      } else if (text[i] == '"') {
        in_string = false;
      }
    } else {
      std::string_view found;
      for (std::string_view word : {"-Infinity", "Infinity", "NaN"})
        if (found.empty() && starts_with_at(text, i, word)) found = word;
      if (!found.empty()) {
        out.append("\"").append(found).append("\"");
        i += found.size();
        continue;
      }
      if (text[i] == '"') in_string = true;
    }
    out += text[i++];
  }
  return out;
}

}  // namespace

std::string in_quotes(std::string_view text, size_t longest) {
  std::string out = "'";
  for (char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + (text.size() > longest ? "...'" : "'");
}

nlohmann::json parse_json(std::string_view text, const std::string& origin) {
  // The parser takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos)
    throw Error(ErrorKind::checkpoint, in_quotes(origin, 400) + " is not valid JSON: it holds a NUL byte",
                "download the file again");
  std::string reason;
  try {
    return parse_strictly(text, origin);
  } catch (const nlohmann::json::exception& error) {
    reason = error.what();
  }
  try {
    const std::string repaired = with_quoted_constants(text);
    if (repaired.size() != text.size()) return parse_strictly(repaired, origin);
  } catch (const nlohmann::json::exception&) {
    // the first message is about the text as it stands in the file
  }
  // "[json.exception.parse_error.101] parse error at line 1, column 2: ..." without what only a programmer wants.
  if (const size_t end = reason.find("] "); end != std::string::npos) reason.erase(0, end + 2);
  std::string shown = in_quotes(reason, 240);
  shown = shown.substr(1, shown.size() - 2);
  throw Error(ErrorKind::checkpoint, in_quotes(origin, 400) + " is not valid JSON: " + shown,
              "download the file again, or correct it if you edited it");
}

nlohmann::json read_json(const std::filesystem::path& file) {
  std::error_code failure;
  const auto status = std::filesystem::status(file, failure);
  const std::string name = named(file);
  if (status.type() == std::filesystem::file_type::not_found)
    throw Error(ErrorKind::checkpoint, "the file " + name + " is missing",
                "the model folder is incomplete; download it again");
  if (failure) throw Error(ErrorKind::io, "cannot look at " + name + ": " + failure.message(), "check its permissions");
  if (status.type() != std::filesystem::file_type::regular)
    throw Error(ErrorKind::checkpoint, name + " is not a regular file", "it should be a JSON file of the model folder");
  const uintmax_t size = std::filesystem::file_size(file, failure);
  if (failure) throw Error(ErrorKind::io, "cannot look at " + name + ": " + failure.message(), "check its permissions");
  if (size > largest_file)
    throw Error(ErrorKind::checkpoint, name + " has " + std::to_string(size) + " bytes, too many for a configuration",
                "it should be a JSON file of the model folder; download it again");
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  std::string text(size, '\0');
  if (!in || !in.read(text.data(), static_cast<std::streamsize>(size)))
    throw Error(ErrorKind::io, "cannot read " + name + (errno ? std::string(": ") + std::strerror(errno) : ""),
                "check that the file exists and that you may read it");
  if (text.empty()) throw Error(ErrorKind::checkpoint, name + " is empty", "download the file again");
  if (text.starts_with("version https://git-lfs"))
    throw Error(ErrorKind::checkpoint, name + " is a Git LFS pointer, not the file itself",
                "run `git lfs pull` in the model folder");
  return parse_json(text, file.string());
}

}  // namespace prax::checkpoint
