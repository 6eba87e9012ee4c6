#include <fstream>
#include <regex>
#include <set>

#include "base/error.h"
#include "jobs/change_feed.h"
#include "jobs/key_ring.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

TEST(Secret, IsRecognisedAndChecked) {
  const std::regex pattern("prax-[0-9A-Za-z]{49}");
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    const std::string secret = new_secret();
    EXPECT_TRUE(std::regex_match(secret, pattern)) << secret;
    EXPECT_TRUE(is_well_formed_secret(secret));
    EXPECT_TRUE(seen.insert(secret).second);
    for (const size_t place : {size_t{0}, size_t{5}, size_t{30}, secret.size() - 1}) {
      std::string other = secret;
      other[place] = other[place] == 'a' ? 'b' : 'a';
      EXPECT_FALSE(is_well_formed_secret(other)) << "one changed letter passes";
    }
  }
  for (const char* other : {"", "prax-", "sk-abc", "prax-0000000000000000000000000000000000000000000000000"})
    EXPECT_FALSE(is_well_formed_secret(other)) << other;
}

//! The checksum is the CRC-32 that everyone else computes: python3 -c 'import zlib; ...' of "prax-" and 43 zeros.
TEST(Secret, ChecksumIsTheUsualCrc32) {
  EXPECT_TRUE(is_well_formed_secret("prax-00000000000000000000000000000000000000000003nMGAn"));
}

TEST(Scopes, AreReadAndWritten) {
  EXPECT_EQ(scopes_named("create,read,delete"), Scope::standard);
  EXPECT_EQ(names_of(Scope::all), "create,read,delete,admin");
  EXPECT_THROW(scopes_named("create,write"), Error);
  EXPECT_TRUE(has(Scope::standard, Scope::read));
  EXPECT_FALSE(has(Scope::standard, Scope::admin));
}

class Keys : public StoreTest {
protected:
  CreatedKey create_key(const NewKey& key = named("someone")) { return store_->create_key(key, "operator"); }
  static NewKey named(const std::string& name) {
    NewKey key;
    key.name = name;
    return key;
  }
};

TEST_P(Keys, AreStoredWithoutTheirSecret) {
  NewKey wanted = named("Ada");
  wanted.note = "studio";
  wanted.scopes = Scope::read | Scope::admin;
  wanted.models = {"nano"};
  wanted.limits.requests_per_minute = 60;
  wanted.limits.daily_seconds = 90.5;
  wanted.expires_at = now() + Milliseconds(1000000);
  const CreatedKey made = create_key(wanted);
  const Key key = another()->key(made.key.id).value();
  EXPECT_EQ(key.name, "Ada");
  EXPECT_EQ(key.scopes, wanted.scopes);
  EXPECT_TRUE(key.may_use("nano"));
  EXPECT_FALSE(key.may_use("mochi"));
  EXPECT_EQ(key.limits.requests_per_minute, 60);
  EXPECT_EQ(key.limits.daily_seconds, 90.5);
  EXPECT_FALSE(key.limits.max_running);
  EXPECT_EQ(key.expires_at, wanted.expires_at);
  EXPECT_EQ(key.hint.find(made.secret.substr(10, 20)), std::string::npos);
  EXPECT_EQ(store_->key_of_hash(hash_of_secret(made.secret))->id, key.id);
  EXPECT_EQ(store_->keys().size(), 1u) << "the local key is not listed";
  if (std::string(GetParam()) != "sqlite") return;
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(bytes.find(made.secret), std::string::npos) << entry.path();
  }
}

TEST_P(Keys, NonsenseIsRefused) {
  EXPECT_THROW(create_key(named("")), Error);
  EXPECT_THROW(create_key(named(std::string(101, 'x'))), Error);
  NewKey key = named("x");
  key.limits.max_running = -1;
  EXPECT_THROW(create_key(key), Error);
}

TEST_P(Keys, ARingKnowsThem) {
  const CreatedKey made = create_key();
  KeyRing ring(*store_);
  using Verdict = KeyRing::Verdict;
  EXPECT_EQ(ring.check(made.secret).verdict, Verdict::accepted);
  EXPECT_EQ(ring.check(made.secret).key->id, made.key.id);
  EXPECT_EQ(ring.check(new_secret()).verdict, Verdict::unknown);
  EXPECT_EQ(ring.check("sk-123").verdict, Verdict::malformed);
  NewKey old = named("old");
  old.expires_at = now() - Milliseconds(1);
  EXPECT_EQ(ring.check(create_key(old).secret).verdict, Verdict::expired);
  EXPECT_TRUE(store_->key(made.key.id)->last_used_at);
}

TEST_P(Keys, RevocationIsSeenEverywhereWithinASecond) {
  const CreatedKey made = create_key();
  const auto elsewhere = another();  // as in another process
  KeyRing ring(*elsewhere);
  ChangeFeed feed(*elsewhere);
  std::atomic<int> told{0};
  const auto subscription = feed.on_keys_changed([&] { ++told; });
  ASSERT_EQ(ring.check(made.secret).verdict, KeyRing::Verdict::accepted);
  ASSERT_TRUE(ring.still_valid(made.key.id));
  EXPECT_TRUE(store_->revoke_key(made.key.id, "operator"));
  const auto revoked = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] {
    return ring.check(made.secret).verdict == KeyRing::Verdict::revoked && !ring.still_valid(made.key.id) && told > 0;
  }));
  EXPECT_LT(std::chrono::steady_clock::now() - revoked, std::chrono::seconds(1));
  EXPECT_TRUE(store_->revoke_key(made.key.id, "operator"));
  EXPECT_FALSE(store_->revoke_key("key_none", "operator"));
  EXPECT_FALSE(store_->revoke_key(local_key_id, "operator"));
}

TEST_P(Keys, AllAreRevokedAtOnce) {
  const CreatedKey a = create_key(), b = create_key();
  create_key();
  store_->revoke_key(a.key.id, "operator");
  EXPECT_EQ(store_->revoke_all_keys("operator"), 2);
  EXPECT_EQ(store_->revoke_all_keys("operator"), 0);
  EXPECT_TRUE(store_->key(b.key.id)->revoked_at);
  EXPECT_FALSE(store_->key(local_key_id)->revoked_at);
}

TEST_P(Keys, AllButOneAreRevoked) {
  const CreatedKey mine = create_key(), other = create_key();
  EXPECT_EQ(store_->revoke_all_keys(mine.key.id, mine.key.id), 1);
  EXPECT_FALSE(store_->key(mine.key.id)->revoked_at);
  EXPECT_TRUE(store_->key(other.key.id)->revoked_at);
}

TEST_P(Keys, ARotatedKeyHasAnotherSecret) {
  const CreatedKey made = create_key();
  KeyRing ring(*store_, Milliseconds(0));
  const CreatedKey rotated = store_->rotate_key(made.key.id, "operator").value();
  EXPECT_EQ(rotated.key.id, made.key.id);
  EXPECT_EQ(ring.check(made.secret).verdict, KeyRing::Verdict::unknown);
  EXPECT_EQ(ring.check(rotated.secret).verdict, KeyRing::Verdict::accepted);
  store_->revoke_key(made.key.id, "operator");
  EXPECT_FALSE(store_->rotate_key(made.key.id, "operator"));
}

TEST_P(Keys, TheirJobsAreCancelledWhenAsked) {
  const std::string key = create_key().key.id;
  create(*store_, job_for(key));
  create(*store_, job_for(key));
  create(*store_, job_for());
  const Claim running = store_->claim(claim_as("w")).value();
  EXPECT_EQ(store_->cancel_jobs_of(key, "operator"), 2);
  EXPECT_EQ(store_->queue_stats().cancelled, 2);
  EXPECT_EQ(store_->report(running.lease, Milliseconds(1), at_percent(1)),
            running.job.key_id == key ? Standing::cancelled : Standing::ours);
}

PRAX_FOR_EACH_STORE(Keys);

}  // namespace
}  // namespace prax::jobs::test
