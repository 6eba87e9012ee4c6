#include "server/outbound.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "server/rate_limiter.h"
#include "server/webhook_sender.h"

namespace prax::server {
namespace {

TEST(Outbound, PrivateAddresses) {
  for (const char* address : {"127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0",
                              "100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1",
                              "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "ff02::1"})
    EXPECT_TRUE(is_private_address(address)) << address;
  for (const char* address : {"8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"})
    EXPECT_FALSE(is_private_address(address)) << address;
}

TEST(Outbound, UrlsByTheirText) {
  for (const char* url :
       {"http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://localhost/", "file:///etc/passwd",
        "https://2130706433/", "https://0x7f.1/", "gopher://example.com", "nonsense", ""})
    EXPECT_THROW(check_url(url, {}), Error) << url;
  EXPECT_NO_THROW(check_url("https://example.com/hook?x=1", {}));
  EXPECT_NO_THROW(check_url("http://127.0.0.1:9/", {.private_addresses = true}));
}

TEST(Webhook, SignsAsTheStandardSays) {
  // The example of the Standard Webhooks specification.
  const auto headers = webhook_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})",
                                       {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
  EXPECT_EQ(headers.back().first, "webhook-signature");
  EXPECT_EQ(headers.back().second, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(Webhook, WaitsLongerEachTime) {
  for (int i = 1; i < 12; ++i) EXPECT_LE(retry_delay(i), retry_delay(i + 1));
  EXPECT_EQ(retry_delay(1).count(), 5000);
  EXPECT_EQ(retry_delay(100), std::chrono::hours(12));
}

TEST(RateLimiter, RefillsEvenly) {
  RateLimiter limiter;
  const auto start = RateLimiter::Clock::now();
  for (int i = 0; i < 60; ++i) EXPECT_TRUE(limiter.take("k", 60, start).allowed);
  const auto refused = limiter.take("k", 60, start);
  EXPECT_FALSE(refused.allowed);
  EXPECT_NEAR(refused.retry_seconds, 1, 1e-6);
  EXPECT_TRUE(limiter.take("other", 60, start).allowed);
  EXPECT_TRUE(limiter.take("k", 60, start + std::chrono::milliseconds(1001)).allowed);
  EXPECT_FALSE(limiter.take("k", 60, start + std::chrono::milliseconds(1002)).allowed);
}

}  // namespace
}  // namespace prax::server
