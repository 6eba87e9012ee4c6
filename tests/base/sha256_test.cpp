#include "base/sha256.h"

#include <gtest/gtest.h>

namespace prax {
namespace {

TEST(Sha256, IsTheStandards) {  // FIPS 180-2, appendix B
  EXPECT_EQ(Sha256().hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256().add("abc").hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, PiecesAreTheWhole) {
  EXPECT_EQ(Sha256().add("a").add("").add("bc").hex(), Sha256().add("abc").hex());
  EXPECT_EQ(Sha256().add(std::string(1000000, 'a')).hex(),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace prax
