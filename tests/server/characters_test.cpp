#include "server/characters.h"

#include <gtest/gtest.h>

namespace prax::server {
namespace {

jobs::Character character(const std::string& id, const std::string& name) {
  jobs::Character c;
  c.id = id;
  c.name = name;
  return c;
}

std::string found(std::string_view prompt) {
  static const std::vector<jobs::Character> known = {character("char_1", "Ann"),  character("char_2", "Ann Lee"),
                                                     character("char_3", "Été"),  character("char_4", "小明"),
                                                     character("char_5", "Bo 🎈"), character("char_6", "Ann")};
  std::string ids;
  for (const auto& each : named_characters(prompt, known)) ids += each.id.substr(5);
  return ids;
}

TEST(Characters, AreNamedInPrompts) {
  EXPECT_EQ(found("Ann walks"), "1");
  EXPECT_EQ(found("here walks Ann"), "1");
  EXPECT_EQ(found("@Ann, and then Ann's dog"), "1");
  EXPECT_EQ(found("Annex, Joann, ANN, ann, Ann2, Ann_"), "");
  EXPECT_EQ(found(""), "");
}

TEST(Characters, ComeInTheOrderOfTheirFirstMention) {
  EXPECT_EQ(found("Été meets Ann; Été leaves"), "31");
  EXPECT_EQ(found("Bo 🎈meets Été"), "53");
}

TEST(Characters, TheLongestNameIsMeant) {
  EXPECT_EQ(found("Ann Lee"), "2");
  EXPECT_EQ(found("Ann Leeds"), "1");
  EXPECT_EQ(found("Ann Lee and Ann"), "21");
}

TEST(Characters, NamesNeedNoSpacesWhereTheirScriptHasNone) {
  EXPECT_EQ(found("看小明在跑步"), "4");
  EXPECT_EQ(found("E\u0301te\u0301 dort"), "3") << "the same letters, decomposed";
}

TEST(Characters, AreNamedByTheirIds) {
  EXPECT_EQ(found("a dance of @char_3 and char_6"), "36");
  EXPECT_EQ(found("char_33"), "");
}

}  // namespace
}  // namespace prax::server
