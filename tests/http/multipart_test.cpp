#include "http/multipart.h"

#include <gtest/gtest.h>

#include <random>

namespace prax::http {
namespace {

std::vector<Part> read(const std::string& body, size_t piece, MultipartLimits limits = {}) {
  if (limits.folder.empty()) limits.folder = ::testing::TempDir();
  MultipartReader reader("b", limits);
  for (size_t at = 0; at < body.size(); at += piece) reader.feed(std::string_view(body).substr(at, piece));
  return reader.finish();
}

const std::string two_parts =
    "preamble\r\n--b\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\na boat\r\n--b\r\n"
    "Content-Disposition: form-data; name=\"input_reference\"; filename=\"..%2Fa \\\"b\\\".png\"\r\n"
    "Content-Type: image/png; q=1\r\n\r\n\r\n--c\r\n\001binary\r\n--b--\r\nepilogue";

TEST(Multipart, IsTheSameInPiecesOfAnySize) {
  std::string body = two_parts;
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    const auto parts = read(body, piece);
    ASSERT_EQ(parts.size(), 2u) << piece;
    EXPECT_EQ(parts[0].name, "prompt");
    EXPECT_EQ(parts[0].content.text(), "a boat");
    EXPECT_FALSE(parts[0].filename);
    EXPECT_EQ(parts[1].filename, "..%2Fa \"b\".png");
    EXPECT_EQ(parts[1].content_type, "image/png");
    EXPECT_EQ(parts[1].content.text(), "\r\n--c\r\n\001binary");
  }
}

TEST(Multipart, LongPartsGoToAFile) {
  const std::string content(300'000, 'x');
  auto parts = read("--b\r\ncontent-disposition: form-data; name=a; filename=f\r\n\r\n" + content + "\r\n--b--", 4096);
  const auto path = parts.at(0).content.file()->path();
  EXPECT_EQ(std::filesystem::file_size(path), content.size());
  EXPECT_EQ(parts[0].content.text(), content);
  parts.clear();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Multipart, RefusesWhatIsNone) {
  for (const char* body :
       {"", "--b", "--b\r\n\r\n", "--b\r\nx\r\n\r\n\r\n--b--", "--b\r\nx: y\r\n\r\n\r\n--b--",
        "--b\r\ncontent-disposition: form-data\r\n\r\n\r\n--b--",
        "--b\r\ncontent-disposition: form-data; name=a\r\n\r\nnever ends",
        "--b\r\ncontent-disposition: form-data; name=a\r\ncontent-transfer-encoding: base64\r\n\r\n\r\n--b--"})
    EXPECT_THROW(read(body, 7), HttpError) << body;
  EXPECT_THROW(MultipartReader("", {}), HttpError);
  EXPECT_THROW(MultipartReader(std::string(71, 'b'), {}), HttpError);
}

TEST(Multipart, KeepsToItsLimits) {
  MultipartLimits limits;
  limits.parts = 2;
  limits.text_bytes = 10;
  const std::string part = "--b\r\ncontent-disposition: form-data; name=a\r\n\r\nfour\r\n";
  EXPECT_EQ(read(part + part + "--b--", 9, limits).size(), 2u);
  try {
    read(part + part + part + "--b--", 9, limits);
    FAIL();
  } catch (const HttpError& error) {
    EXPECT_EQ(error.status(), 413);
  }
  EXPECT_THROW(read("--b\r\ncontent-disposition: form-data; name=a\r\n\r\n0123456789a\r\n--b--", 9, limits), HttpError);
}

TEST(Multipart, OpensFewFiles) {
  const auto body_of = [](size_t parts, size_t bytes) {
    std::string body;
    for (size_t i = 0; i < parts; ++i)
      body += "--b\r\ncontent-disposition: form-data; name=a" + std::to_string(i) + "\r\n\r\n" +
              std::string(bytes, 'x') + "\r\n";
    return body + "--b--";
  };
  EXPECT_EQ(read(body_of(40, 20'000), 4096).size(), 40u);
  EXPECT_EQ(read(body_of(200, 16'000), 4096).size(), 200u);
  try {
    read(body_of(41, 20'000), 4096);
    FAIL();
  } catch (const HttpError& error) {
    EXPECT_EQ(error.status(), 413);
  }
}

TEST(Multipart, SurvivesRandomBytes) {
  std::mt19937 random(1);
  const std::vector<std::string> words{"--b",
                                       "--b--",
                                       "\r\n",
                                       "\r\n\r\n",
                                       "content-disposition: form-data; name=a",
                                       ";",
                                       "\"",
                                       "filename*=x",
                                       ":",
                                       std::string(1, '\0'),
                                       "x",
                                       "--",
                                       std::string(9000, 'y')};
  for (int round = 0; round < 3000; ++round) {
    std::string body;
    for (size_t i = random() % 20; i > 0; --i) body += words[random() % words.size()];
    try {
      read(body, 1 + random() % 64);
    } catch (const HttpError& error) {
      EXPECT_TRUE(error.status() == 400 || error.status() == 413);
    }
  }
}

TEST(Parameterized, TakesQuotesAndSpaces) {
  const auto value = parse_parameterized("Form-Data ; Name=\"a;b\\\"c\" ; x=y; broken");
  EXPECT_EQ(value.value, "form-data");
  EXPECT_EQ(value.find("name"), "a;b\"c");
  EXPECT_EQ(value.find("x"), "y");
  EXPECT_FALSE(value.find("broken"));
}

}  // namespace
}  // namespace prax::http
