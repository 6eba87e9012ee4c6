#include "support.h"

// What the owner sees and says of jobs; browsers' sessions.
namespace prax::jobs::test {
namespace {

class Library : public StoreTest {
protected:
  std::vector<std::string> found(const std::string& text) {
    LibraryQuery query;
    query.key_id = local_key_id;
    query.text = text;
    std::vector<std::string> ids;
    for (const Job& job : store_->library(query).jobs) ids.push_back(job.id);
    return ids;
  }
  Job with_prompt(const std::string& prompt) {
    NewJob job = job_for();
    job.prompt = prompt;
    return create(*store_, job);
  }
};

TEST_P(Library, SearchesInAnyScriptAndCase) {
  const Job french = with_prompt("Un CŒUR d'été"), greek = with_prompt("ΟΔΥΣΣΕΥΣ"), odd = with_prompt("100% \\wool_");
  EXPECT_EQ(found("cœur ÉTÉ"), std::vector{french.id});
  EXPECT_EQ(found("οδυσσευσ").size() + found("οδυσσευς").size(), 1u);
  EXPECT_EQ(found("100%"), std::vector{odd.id});
  EXPECT_EQ(found("wool_"), std::vector{odd.id});
  EXPECT_EQ(found("\\"), std::vector{odd.id});
  EXPECT_TRUE(found("1%").empty());
  EXPECT_EQ(found(greek.id), std::vector{greek.id});
  EXPECT_EQ(found("seed:7").size(), 3u);
  store_->note_job(odd.id, {.title = "Ärmel", .folder = {}, .favourite = {}});
  EXPECT_EQ(found("ärmel"), std::vector{odd.id});
}

TEST_P(Library, NotesStayWhatTheyWere) {
  const Job job = with_prompt("x");
  const int64_t before = store_->latest_version();
  auto noted = store_->note_job(job.id, {.title = "A", .folder = "Trip", .favourite = true});
  EXPECT_GT(noted->version, before) << "nobody would hear of it";
  noted = store_->note_job(job.id, {.title = {}, .folder = "", .favourite = {}});
  EXPECT_EQ(noted->title, "A");
  EXPECT_EQ(noted->folder, "");
  EXPECT_TRUE(noted->favourite);
  EXPECT_FALSE(store_->note_job("video_none", {}));
}

TEST_P(Library, AddedResultsCountAndGoWithTheJob) {
  const Job job = with_prompt("x");
  const auto claim = store_->claim(claim_as("w"));
  const ResultFile webm{"webm", "results/" + job.id + "/formats/video.webm", "video/webm", 30, "def"};
  EXPECT_FALSE(store_->add_result(job.id, webm)) << "it is not completed";
  store_->complete(claim->lease,
                   {.results = {{"video", "results/a", "video/mp4", 10, "abc"}}, .cost = {}, .expires_at = {}});
  EXPECT_TRUE(store_->add_result(job.id, webm));
  EXPECT_EQ(store_->stored_bytes(), 40u);
  EXPECT_TRUE(store_->add_result(job.id, {"webm", webm.storage_name, "video/webm", 20, "123"}));
  EXPECT_EQ(store_->stored_bytes(), 30u);
  EXPECT_EQ(store_->job(job.id)->results.size(), 2u);
  store_->delete_job(job.id, local_key_id);
  EXPECT_FALSE(store_->add_result(job.id, webm));
}

TEST_P(Library, PresetsBelongToAKey) {
  const std::string key = new_key(*store_);
  store_->put_preset({"preset_1", key, "Draft", {{"steps", 4}}, now()});
  store_->put_preset({"preset_1", key, "Sketch", {{"steps", 5}}, now()});
  ASSERT_EQ(store_->presets(key).size(), 1u);
  EXPECT_EQ(store_->presets(key)[0].name, "Sketch");
  EXPECT_EQ(store_->presets(key)[0].settings["steps"], 5);
  EXPECT_TRUE(store_->presets(local_key_id).empty());
  EXPECT_TRUE(store_->delete_preset("preset_1"));
  EXPECT_FALSE(store_->delete_preset("preset_1"));
}

TEST_P(Library, SessionsEndWithTheirKeyAndTheirTime) {
  const std::string key = new_key(*store_);
  const Time at = now();
  store_->open_session("one", {key, at, at + Milliseconds(60000)});
  store_->open_session("old", {key, at, at - Milliseconds(1)});
  EXPECT_EQ(store_->session("one")->key_id, key);
  EXPECT_FALSE(store_->session("old"));
  store_->revoke_key(key, "operator");
  EXPECT_FALSE(store_->session("one"));
}

TEST_P(Library, OneSessionTooManyEndsTheOldestOfItsKey) {
  const std::string key = new_key(*store_), other = new_key(*store_);
  const Time at = now(), end = at + Milliseconds(60000);
  store_->open_session("another's", {other, at - Milliseconds(1000), end});
  for (int i = 0; i < most_sessions_of_key; ++i)
    store_->open_session(std::to_string(i), {key, at + Milliseconds(i), end});
  EXPECT_TRUE(store_->session("0"));
  // Even one that comes in the same instant as others.
  store_->open_session("new", {key, at + Milliseconds(1), end});
  EXPECT_FALSE(store_->session("0"));
  EXPECT_TRUE(store_->session("1") && store_->session("new") && store_->session("another's"));
}

TEST_P(Library, ARotatedKeySignsItsBrowsersOut) {
  const std::string key = new_key(*store_);
  store_->open_session("thief", {key, now(), now() + Milliseconds(60000)});
  ASSERT_TRUE(store_->rotate_key(key, "operator"));
  EXPECT_FALSE(store_->session("thief"));
}

TEST_P(Library, TheStudiosKeyIsMadeOnceAndAnewAfterItWasRevoked) {
  const Key key = store_->studio_key("system");
  EXPECT_EQ(key.id, studio_key_id);
  EXPECT_EQ(store_->keys().size(), 1u);
  EXPECT_FALSE(store_->rotate_key(key.id, "operator")) << "it must have no secret";
  store_->open_session("one", {key.id, now(), now() + Milliseconds(60000)});
  EXPECT_EQ(store_->revoke_all_keys("operator"), 1);
  EXPECT_FALSE(store_->session("one"));
  EXPECT_TRUE(store_->key(key.id)->revoked_at);
  EXPECT_FALSE(store_->studio_key("system").revoked_at);
  EXPECT_FALSE(store_->session("one")) << "a session came back with its key";
  EXPECT_EQ(store_->keys().size(), 1u);
}

PRAX_FOR_EACH_STORE(Library);

}  // namespace
}  // namespace prax::jobs::test
