#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace prax::http {

//! A header field's value with parameters: `form-data; name="a"; filename="b"` (RFC 9110, 5.6.6).
struct Parameterized {
  std::string value;  //!< lower case
  Fields parameters;  //!< names in lower case

  std::optional<std::string_view> find(std::string_view name) const;
};
Parameterized parse_parameterized(std::string_view text);

struct MultipartLimits {
  size_t parts = 256;
  size_t part_headers = 8 * 1024;   //!< bytes of one part's header fields
  size_t part_memory = 16 * 1024;   //!< a longer part goes to a file
  size_t files = 40;                //!< that are open for one body
  uint64_t text_bytes = 32u << 20;  //!< of all parts that are no files together
  std::filesystem::path folder;     //!< of these files
};

//! Takes a multipart/form-data body apart as it comes (RFC 7578, RFC 2046 5.1.1). Holds no more than a part's memory.
class MultipartReader {
public:
  //! Throws HttpError(400) for a boundary that is none.
  MultipartReader(std::string_view boundary, MultipartLimits limits);

  //! The next bytes. Throws HttpError: 400 for what is no multipart body, 413 for too many parts or too much text.
  void feed(std::string_view bytes);
  //! The body is complete. HttpError(400) when the last boundary did not come.
  std::vector<Part> finish();

private:
  enum class State { preamble, after_boundary, headers, content, epilogue };

  bool step();
  void open_part(std::string_view header_block);
  void content(std::string_view bytes);

  MultipartLimits limits_;
  std::string delimiter_;        //!< "\r\n--boundary"
  std::string buffer_ = "\r\n";  //!< the first boundary may stand at the very beginning
  State state_ = State::preamble;
  std::vector<Part> parts_;
  uint64_t text_ = 0;
  size_t files_ = 0;
};

}  // namespace prax::http
