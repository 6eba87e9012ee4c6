#include "http/range.h"

#include <gtest/gtest.h>

namespace prax::http {
namespace {

struct Case {
  const char* header;
  RangeResult result;
  uint64_t first, last;
};

TEST(Range, OfAHundredBytes) {
  using enum RangeResult;
  for (const Case& c : {Case{"bytes=0-0", part, 0, 0},
                        {"bytes=10-", part, 10, 99},
                        {"bytes=-10", part, 90, 99},
                        {"bytes=-1000", part, 0, 99},
                        {"Bytes= 5-500", part, 5, 99},
                        {"bytes=100-", unsatisfiable, 0, 0},
                        {"bytes=-0", unsatisfiable, 0, 0},
                        {"bytes=5-4", whole, 0, 0},
                        {"bytes=a-b", whole, 0, 0},
                        {"bytes=1-2,4-5", whole, 0, 0},
                        {"lines=1-2", whole, 0, 0},
                        {"bytes=", whole, 0, 0},
                        {"bytes=99999999999999999999-", whole, 0, 0}}) {
    ByteRange range;
    EXPECT_EQ(parse_range(c.header, 100, range), c.result) << c.header;
    EXPECT_EQ(range.first, c.first) << c.header;
    EXPECT_EQ(range.last, c.last) << c.header;
  }
  ByteRange range;
  EXPECT_EQ(parse_range("bytes=0-", 0, range), unsatisfiable);
}

TEST(HttpDate, ThereAndBack) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  EXPECT_FALSE(parse_http_date("yesterday"));
}

TEST(Etag, Matches) {
  EXPECT_TRUE(matches_etag("\"a\", W/\"b\"", "\"b\""));
  EXPECT_TRUE(matches_etag("*", "\"b\""));
  EXPECT_FALSE(matches_etag("\"a\", \"c\"", "\"b\""));
}

TEST(ContentDisposition, NamesInAnyScript) {
  EXPECT_EQ(content_disposition(false, "a.mp4"), "inline; filename=\"a.mp4\"");
  EXPECT_EQ(content_disposition(true, "ä\"/.mp4"),
            "attachment; filename=\"____.mp4\"; filename*=UTF-8''%C3%A4%22%2F.mp4");
}

}  // namespace
}  // namespace prax::http
