#include "server/studio_files.h"

#include <gtest/gtest.h>

#include <fstream>

#include "server/sessions.h"

namespace prax::server {
namespace {

namespace fs = std::filesystem;

http::Request request(std::initializer_list<std::pair<const char*, const char*>> headers) {
  http::Request made;
  for (const auto& [name, value] : headers) made.headers.add(name, value);
  return made;
}

TEST(StudioFiles, WithoutABuildOnePageSaysHowToMakeIt) {
  const StudioFiles files("");
  EXPECT_FALSE(files.built());
  const auto page = files.answer(request({}), "library");
  EXPECT_NE(std::get<std::string>(page.body).find("npm run build"), std::string::npos);
  EXPECT_THROW(files.answer(request({}), "assets/app.js"), http::HttpError);
  EXPECT_THROW(files.answer(request({}), "v1/none"), http::HttpError);
}

TEST(StudioFiles, AFileThatIsOnlyPackedIsSentPacked) {
  const fs::path folder = fs::path(testing::TempDir()) / "studio_files_test";
  fs::create_directories(folder / "assets");
  std::ofstream(folder / "index.html") << "index";
  std::ofstream(folder / "assets/a.css.gz") << "packed";
  const StudioFiles files(folder);
  const auto answer = files.answer(request({}), "assets/a.css");
  EXPECT_EQ(answer.headers.get("content-encoding"), "gzip");
  EXPECT_EQ(answer.headers.get("content-type"), "text/css; charset=utf-8");
  EXPECT_EQ(std::get<std::string>(files.answer(request({}), "make").body), "index");
  fs::remove_all(folder);
}

TEST(Sessions, OnlyOwnPagesChangeThings) {
  const auto own = [](std::initializer_list<std::pair<const char*, const char*>> headers, bool unsaid = false) {
    return from_own_page(request(headers), unsaid);
  };
  EXPECT_TRUE(own({{"sec-fetch-site", "same-origin"}}));
  EXPECT_FALSE(own({{"sec-fetch-site", "same-site"}, {"origin", "http://a:1"}, {"host", "a:1"}}));
  EXPECT_FALSE(own({{"sec-fetch-site", "none"}}));
  EXPECT_TRUE(own({{"origin", "http://a:1"}, {"host", "a:1"}}));
  EXPECT_FALSE(own({{"origin", "http://a:2"}, {"host", "a:1"}}));
  EXPECT_FALSE(own({{"origin", "null"}, {"host", "a:1"}}));
  EXPECT_FALSE(own({{"host", "a:1"}}));
  EXPECT_TRUE(own({{"host", "a:1"}}, true));
}

}  // namespace
}  // namespace prax::server
