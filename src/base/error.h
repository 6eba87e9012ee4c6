#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace prax {

//! What kind of thing went wrong; decides exit and status codes.
enum class ErrorKind {
  usage,        //!< the caller asked for something that cannot be (exit 2)
  input,        //!< a file or text that was handed in is broken (exit 1)
  checkpoint,   //!< a model folder is incomplete, corrupt or of an unknown kind (exit 1)
  io,           //!< reading or writing failed: missing, forbidden (exit 1)
  disk_full,    //!< no room to write: the disk, a quota, or the limit of a file's size (exit 1)
  resource,     //!< not enough memory or another limit (exit 1)
  interrupted,  //!< cancelled by the user (exit 130)
  internal      //!< a bug in the program (exit 1)
};

//! The one exception of the program: what() is one sentence that says what is wrong, hint() one that says what to do.
class Error : public std::runtime_error {
public:
  Error(ErrorKind kind, const std::string& message, std::string hint = {})
      : std::runtime_error(message), kind_(kind), hint_(std::move(hint)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& hint() const { return hint_; }

private:
  ErrorKind kind_;
  std::string hint_;
};

std::string_view name_of(ErrorKind kind);  //!< "usage", "io" ...

//! The Error that an exception stands for: itself, or one sentence for memory that ran out and other library errors.
Error to_error(const std::exception& problem);

}  // namespace prax
