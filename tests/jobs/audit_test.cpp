#include <fstream>

#include "base/error.h"
#include "jobs/data_folder.h"
#include "jobs/database.h"
#include "support.h"

namespace prax::jobs::test {
namespace {

class Audit : public StoreTest {
protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (!store_) return;
    for (int i = 0; i < 5; ++i) store_->audit({"test.happened", "operator", "thing_" + std::to_string(i), {{"i", i}}});
  }

  //! Changes the database behind the store's back.
  void tamper(const std::vector<std::string>& statements) {
    const auto raw = std::string(GetParam()) == "sqlite" ? open_sqlite(where_, {}) : open_postgres(where_, {});
    raw->begin(true);
    for (const std::string& statement : statements) raw->run(statement);
    raw->commit();
  }
};

TEST_P(Audit, AnUntouchedLogIsIntact) {
  const AuditVerdict verdict = verify_audit(*store_, {AuditHead{}, store_->audit_head()});
  EXPECT_TRUE(verdict.intact) << verdict.problem;
  EXPECT_EQ(verdict.entries, 5);
  EXPECT_EQ(verdict.head, store_->audit_head());
  const auto entries = store_->audit_entries(2, 2);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].sequence, 3);
  EXPECT_EQ(entries[0].event.details["i"], 2);
}

TEST_P(Audit, FindsChangedEntries) {
  for (const char* change : {"actor = 'nobody'", "at = at + 1", "details = '{\"i\":9}'", "subject = ''", "action = 'x'",
                             "details = '{broken'"}) {
    StoreTest::SetUp();
    if (std::string(GetParam()) == "sqlite") {
      where_ = (folder_.path() / (std::to_string(std::hash<std::string>()(change)) + ".db")).string();
      store_ = open_store(where_);
    }
    for (int i = 0; i < 5; ++i) store_->audit({"test.happened", "operator", "thing", {{"i", i}}});
    tamper({"UPDATE audit SET " + std::string(change) + " WHERE sequence = 3"});
    const AuditVerdict verdict = verify_audit(*store_);
    EXPECT_FALSE(verdict.intact) << change;
    EXPECT_NE(verdict.problem.find("3"), std::string::npos) << verdict.problem;
    EXPECT_EQ(verdict.entries, 2);
  }
}

TEST_P(Audit, FindsRemovedEntries) {
  tamper({"DELETE FROM audit WHERE sequence = 3"});
  EXPECT_FALSE(verify_audit(*store_).intact);
}

TEST_P(Audit, FindsRemovedEntriesThatWereRenumbered) {
  tamper({"DELETE FROM audit WHERE sequence = 3", "UPDATE audit SET sequence = 3 WHERE sequence = 4",
          "UPDATE audit SET sequence = 4 WHERE sequence = 5", "UPDATE audit_head SET sequence = 4"});
  EXPECT_FALSE(verify_audit(*store_).intact);
}

TEST_P(Audit, FindsACutEnd) {
  tamper({"DELETE FROM audit WHERE sequence > 3"});
  const AuditVerdict verdict = verify_audit(*store_);
  EXPECT_FALSE(verdict.intact);
  EXPECT_NE(verdict.problem.find("cut off"), std::string::npos) << verdict.problem;
}

TEST_P(Audit, FindsACutEndWhoseHeadWasSetBackByAnAnchor) {
  const AuditHead anchor = store_->audit_head();
  const std::string third = store_->audit_entries(2, 1).at(0).hash;
  tamper({"DELETE FROM audit WHERE sequence > 3", "UPDATE audit_head SET sequence = 3, hash = '" + third + "'"});
  EXPECT_TRUE(verify_audit(*store_).intact) << "the database alone cannot prove it";
  EXPECT_FALSE(verify_audit(*store_, {anchor}).intact);
}

TEST_P(Audit, FindsARewrittenChainByAnAnchor) {
  const AuditHead anchor = store_->audit_head();
  // All entries anew, with hashes that fit.
  auto entries = store_->audit_entries(0, 100);
  std::string previous(64, '0');
  std::vector<std::string> statements;
  for (AuditEntry& e : entries) {
    if (e.sequence == 2) e.event.actor = "nobody";
    e.previous = previous;
    e.hash = previous = hash_of(e);
    statements.push_back("UPDATE audit SET actor = '" + e.event.actor + "', previous = '" + e.previous + "', hash = '" +
                         e.hash + "' WHERE sequence = " + std::to_string(e.sequence));
  }
  statements.push_back("UPDATE audit_head SET hash = '" + previous + "'");
  tamper(statements);
  EXPECT_TRUE(verify_audit(*store_).intact) << "the database alone cannot prove it";
  const AuditVerdict verdict = verify_audit(*store_, {anchor});
  EXPECT_FALSE(verdict.intact);
  EXPECT_NE(verdict.problem.find("rewritten"), std::string::npos) << verdict.problem;
}

TEST_P(Audit, FindsAHeadThatWasRemoved) {
  tamper({"DELETE FROM audit_head"});
  EXPECT_FALSE(verify_audit(*store_).intact);
}

TEST_P(Audit, SaysWhoMadeWhat) {
  const std::string key = new_key(*store_);
  NewJob job = job_for(key);
  job.request_id = "req_1";
  create(*store_, job);
  const Claim claim = store_->claim(claim_as("w")).value();
  JobOutcome outcome;
  outcome.results = {{"video", "results/x", "video/mp4", 1, "abcd"}};
  store_->complete(claim.lease, outcome);
  store_->delete_job(job.id, key);
  std::vector<std::string> actions;
  for (const AuditEntry& e : store_->audit_entries(5, 100)) {
    actions.push_back(e.event.action);
    EXPECT_EQ(to_json(e).dump().find(job.prompt), std::string::npos) << "prompts stay out of the log";
    if (e.event.action == "job.created") {
      EXPECT_EQ(e.event.actor, key);
      EXPECT_EQ(e.event.details["model"], "nano");
      EXPECT_EQ(e.event.details["request_id"], "req_1");
    }
    if (e.event.action == "job.completed") {
      EXPECT_EQ(e.event.details["sha256"]["video"], "abcd");
    }
  }
  EXPECT_EQ(actions, (std::vector<std::string>{"key.created", "job.created", "job.completed", "job.deleted"}));
}

PRAX_FOR_EACH_STORE(Audit);

TEST(Anchor, NeverGoesBack) {
  const ScratchFolder folder;
  const auto file = folder.path() / "audit.head";
  EXPECT_FALSE(read_anchor(file));
  keep_anchor(file, {5, std::string(64, 'a')});
  keep_anchor(file, {3, std::string(64, 'b')});
  EXPECT_EQ(read_anchor(file), (AuditHead{5, std::string(64, 'a')}));
  std::ofstream(file) << "nonsense";
  EXPECT_THROW(read_anchor(file), Error);
}

}  // namespace
}  // namespace prax::jobs::test
