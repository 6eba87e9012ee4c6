#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace prax::test {

//! What fn() throws: "message; hint". Fails when that is nothing or of another kind, or does not say what to do.
template <typename Fn>
std::string error_of(ErrorKind kind, Fn&& fn) {
  try {
    fn();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), kind) << e.what();
    EXPECT_TRUE(kind == ErrorKind::internal || !e.hint().empty()) << e.what();
    return std::string(e.what()) + "; " + e.hint();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace prax::test
