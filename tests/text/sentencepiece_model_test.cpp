#include "text/sentencepiece_model.h"

#include <gtest/gtest.h>

#include <limits>

#include "text/support.h"

namespace prax::text {
namespace {

using Type = SentencePieceModel::Type;

void expect_broken(const std::string& part, const std::string& bytes) {
  expect_error(ErrorKind::checkpoint, part, [&] { SentencePieceModel::parse(bytes, "some/spiece.model"); });
  expect_error(ErrorKind::checkpoint, "some/spiece.model is not a sentencepiece model",
               [&] { SentencePieceModel::parse(bytes, "some/spiece.model"); });
}

TEST(SentencePieceModel, ReadsPiecesAndNormaliser) {
  SentencePieceModel model = SentencePieceModel::parse(model_bytes({{"\u2581sea", -2.5F}, {"gull", -7.F}}, "map"), "x");
  ASSERT_EQ(model.pieces.size(), 5U);
  EXPECT_EQ(model.pieces[0].text, "<pad>");
  EXPECT_EQ(model.pieces[0].type, Type::control);
  EXPECT_EQ(model.pieces[2].type, Type::unknown);
  EXPECT_EQ(model.pieces[3].text, "\u2581sea");
  EXPECT_EQ(model.pieces[3].score, -2.5F);
  EXPECT_EQ(model.pieces[4].type, Type::normal);
  EXPECT_EQ(model.precompiled_charsmap, "map");
}

TEST(SentencePieceModel, SkipsFieldsItDoesNotNeed) {
  std::string bytes = bytes_field(2, "trainer") + number_field(99, 1ULL << 60) + float_field(7, 1) +
                      varint(8 << 3 | 1) + std::string(8, 'x') + bytes_field(1, bytes_field(1, "a"));
  SentencePieceModel model = SentencePieceModel::parse(bytes, "x");
  ASSERT_EQ(model.pieces.size(), 1U);
  EXPECT_EQ(model.pieces[0].text, "a");
  EXPECT_EQ(model.pieces[0].score, 0);
  EXPECT_EQ(model.pieces[0].type, Type::normal);
  EXPECT_TRUE(model.precompiled_charsmap.empty());
}

TEST(SentencePieceModel, ReadsModelsOfTheLibrary) {
  SentencePieceModel golden = SentencePieceModel::read(golden_folder() / "spiece.model");
  ASSERT_EQ(golden.pieces.size(), 187U);
  EXPECT_EQ(golden.pieces[1].text, "</s>");
  EXPECT_EQ(golden.pieces[2].type, Type::unknown);
  EXPECT_GT(golden.precompiled_charsmap.size(), 100000U);
  EXPECT_EQ(SentencePieceModel::read(nano_folder() / "spiece.model").pieces.size(), 469U);
}

TEST(SentencePieceModel, BrokenFilesAreErrors) {
  expect_broken("no pieces", "");
  expect_broken("middle of a field", bytes_field(1, "abc").substr(0, 3));
  expect_broken("middle of a field", "\x80");
  expect_broken("without a number", std::string(2, '\0'));
  expect_broken("unknown wire type", "version https://git-lfs.github.com/spec/v1\n");
  expect_broken("more than ten bytes", "\x08" + std::string(11, '\x80'));
  expect_broken("another type", number_field(1, 3));
  expect_broken("another type", bytes_field(1, number_field(1, 3)));
  expect_broken("another type", bytes_field(1, bytes_field(1, "a") + bytes_field(2, "b")));
  expect_broken("unknown type 9", bytes_field(1, bytes_field(1, "a") + number_field(3, 9)));
  expect_broken("not valid UTF-8", bytes_field(1, bytes_field(1, "\xFF")));
  expect_broken("not a number", piece_field({"a", std::numeric_limits<float>::quiet_NaN(), Type::normal}));
  expect_broken("not a number", piece_field({"a", std::numeric_limits<float>::infinity(), Type::normal}));
}

TEST(SentencePieceModel, AnyCutOrDamageIsAnErrorOrAModel) {
  const std::string bytes = read_bytes(golden_folder() / "spiece.model");
  for (size_t i = 0; i < 6000; ++i) {
    std::string broken = bytes.substr(0, i < 5000 ? i : bytes.size());
    if (i >= 5000) broken[(i * 7919) % (i % 2 ? 4000 : bytes.size())] = static_cast<char>(i);
    try {
      SentencePieceModel::parse(broken, "x");
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
    }
  }
}

TEST(SentencePieceModel, MissingFilesAreErrors) {
  TemporaryFolder folder;
  expect_error(ErrorKind::checkpoint, "cannot be read", [&] { SentencePieceModel::read(folder / "spiece.model"); });
  std::filesystem::create_directory(folder / "spiece.model");
  expect_error(ErrorKind::checkpoint, "cannot be read", [&] { SentencePieceModel::read(folder / "spiece.model"); });
}

}  // namespace
}  // namespace prax::text
