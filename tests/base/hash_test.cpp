#include "base/hash.h"

#include <gtest/gtest.h>

namespace prax {
namespace {

TEST(Sha256, IsTheStandards) {  // FIPS 180-2, appendix B
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(std::string(1000000, 'a'))), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, PiecesAreTheWhole) { EXPECT_EQ(Sha256().add("a").add("").add("bc").finish(), sha256("abc")); }

TEST(HmacSha256, IsTheStandards) {  // RFC 4231, case 2
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Base64, ComesBackAndRefusesWhatIsNone) {  // RFC 4648, section 10
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(from_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(from_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(from_base64("Zm9vYg"), "");
  EXPECT_EQ(from_base64("Zm9*"), "");
}

}  // namespace
}  // namespace prax
