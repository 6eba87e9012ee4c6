#include "base/error.h"

#include <new>

namespace prax {

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage:
      return "usage";
    case ErrorKind::input:
      return "input";
    case ErrorKind::checkpoint:
      return "checkpoint";
    case ErrorKind::io:
      return "io";
    case ErrorKind::disk_full:
      return "disk_full";
    case ErrorKind::resource:
      return "resource";
    case ErrorKind::interrupted:
      return "interrupted";
    case ErrorKind::internal:
      return "internal";
  }
  return "internal";
}

Error to_error(const std::exception& problem) {
  if (const auto* error = dynamic_cast<const Error*>(&problem)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&problem)) {
    return {ErrorKind::resource, "there is not enough memory",
            "close other programs, or choose a smaller --size, fewer --frames or a smaller model"};
  }
  return {ErrorKind::internal, std::string("something unexpected went wrong: ") + problem.what(),
          "this is a bug; please report it with the command that led here"};
}

}  // namespace prax
