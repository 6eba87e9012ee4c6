#include "http/router.h"

#include <gtest/gtest.h>

#include "http/target.h"

namespace prax::http {
namespace {

Router::Match match(const Router& router, const std::string& method, const std::string& target, Request& request) {
  request.method = method;
  request.path = parse_target(target)->path;
  return router.match(request);
}

TEST(Router, FixedSegmentsGoFirst) {
  Router router;
  router.add({"GET", "/v1/videos/{video_id}", {}});
  router.add({"GET", "/v1/videos/characters", {}});
  router.add({"DELETE", "/v1/videos/{video_id}", {}});
  router.add({"GET", "/files/{rest...}", {}});
  Request request;
  EXPECT_EQ(match(router, "GET", "/v1/videos/characters", request).route->pattern, "/v1/videos/characters");
  EXPECT_EQ(match(router, "HEAD", "/v1/videos/a%20b?x=1", request).route->pattern, "/v1/videos/{video_id}");
  EXPECT_EQ(request.capture("video_id"), "a b");
  const auto wrong = match(router, "PUT", "/v1/videos/x", request);
  EXPECT_FALSE(wrong.route);
  EXPECT_EQ(wrong.allowed, (std::vector<std::string>{"GET", "DELETE", "HEAD", "OPTIONS"}));
  EXPECT_TRUE(match(router, "GET", "/v1/videos/x/y", request).allowed.empty());
  EXPECT_TRUE(match(router, "GET", "/v1/videos/", request).allowed.empty());
  EXPECT_TRUE(match(router, "GET", "/files/a/b%2Fc", request).route);
  EXPECT_EQ(request.capture("rest"), "a/b/c");
}

TEST(Target, LoopbackByName) {
  for (const char* name : {"localhost", "LOCALHOST", "studio.localhost", "127.0.0.1", "127.1.2.3", "::1"})
    EXPECT_TRUE(is_loopback_host(name)) << name;
  for (const char* name : {"", "127.evil.example", "127.0.0.1.evil.example", "127.0.0.1.", "127.0.0.256", "127.1",
                           "128.0.0.1", "localhost.evil.example", "evillocalhost", "::2"})
    EXPECT_FALSE(is_loopback_host(name)) << name;
}

TEST(Target, IsDecodedOrRefused) {
  const auto target = parse_target("http://host/a%20b?x=1+2&y=%C3%A4&&z");
  EXPECT_EQ(target->path, "/a%20b");
  EXPECT_EQ(target->query, (Fields{{"x", "1 2"}, {"y", "ä"}, {"z", ""}}));
  for (const char* broken : {"", "*", "a", "/%", "/%zz", "/?a=%ff", "/%00"})
    EXPECT_FALSE(parse_target(broken)) << broken;
  EXPECT_EQ(percent_encode("a b/ä"), "a%20b%2F%C3%A4");
}

TEST(EventStream, TextAndBacklog) {
  EXPECT_EQ(to_text({"7", "video.completed", "a\nb"}), "id: 7\nevent: video.completed\ndata: a\ndata: b\n\n");
  EventStream stream(100);
  bool ended = false;
  stream.on_close([&] { ended = true; });
  EXPECT_TRUE(stream.send({"", "", "x"}));
  EXPECT_FALSE(stream.send({"", "", std::string(100, 'x')}));
  EXPECT_TRUE(ended);
  EXPECT_EQ(stream.take(), "data: x\n\n");
}

}  // namespace
}  // namespace prax::http
