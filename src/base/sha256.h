#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace prax {

//! SHA-256 of bytes that come in pieces.
class Sha256 {
public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& add(std::string_view bytes);
  //! Of all that was added, 64 digits in lower case. Nothing is added afterwards.
  std::string hex();

private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace prax
