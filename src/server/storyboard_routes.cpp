#include <algorithm>

#include "base/error.h"
#include "media/cut.h"
#include "server/errors.h"
#include "server/job_draft.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

//! The storyboard that a job joins, its cards as they are now.
Response storyboard_response(const Context& context, const jobs::Job& whole) {
  json cards = json::array();
  for (const jobs::StoryboardCard& card : whole.settings.cards) {
    const auto job = context.store.job(card.job_id);
    cards.push_back({{"video", job ? video_object(*job) : deleted_object(card.job_id)}, {"joined_by", card.joined_by}});
  }
  const std::string id = "storyboard_" + whole.id.substr(whole.id.find('_') + 1);
  return json_response({{"id", id}, {"object", "prax.storyboard"}, {"video", video_object(whole)}, {"cards", cards}});
}

//! A clip of the whole: there already, or made by a card's job.
struct Shot {
  std::string id;
  std::optional<jobs::Job> there;
  int64_t frames = 0;
  double fps = 0;
  std::optional<double> end;  //!< only so much of it
};

//! A storyboard on its way to the queue: each card is a job (or a video that is there), a card that continues the one
//! before is an extension of it, and one more job joins what is not joined by that.
class Board {
public:
  Board(const Context& context, Request& request)
      : context_(context), draft_(context, request, jobs::JobKind::storyboard) {
    draft_.read_common(false);
    draft_.read_title();
    draft_.read_model(context.catalog.default_name());
    draft_.read_shape();
  }

  Response make() {
    constexpr size_t most_cards = 32;
    for (const json* element : draft_.fields().list("cards", most_cards)) read_card(*element);
    if (cards_.empty()) throw missing_field("cards");
    draft_.fields().finish();
    return storyboard_response(context_, submit(join()));
  }

private:
  struct Card {
    std::optional<jobs::NewJob> made;
    std::optional<CheckedMedia> picture;
    std::optional<jobs::Job> job;
    std::string joined_by;
  };

  void read_card(const json& element) {
    constexpr size_t longest_id = 200, longest_url = 20'971'520;
    const size_t index = cards_.size();
    const std::string path = "cards[" + std::to_string(index) + "]";
    FieldReader reader(draft_.fields().form(), element, path);
    const std::string source = reader.one_of({"video", "image"});
    const auto prompt = reader.text("prompt", 0, most_prompt_characters);
    const auto seconds = reader.number("seconds", 0.01, context_.settings.max_seconds);
    const std::string join = reader.text("join", 1, 10).value_or("auto");
    if (join != "auto" && join != "cut") throw bad_field(path + ".join", "'join' must be auto or cut");
    Card card;
    if (source == "video") {
      card.job = draft_.finished_job(reader.require_text("video", 1, longest_id), path + ".video");
      card.joined_by = "cut";
      reader.finish();
      add_clip(*card.job, seconds);
      cards_.push_back(std::move(card));
      return;
    }
    if (source == "image") {
      http::Spool picture = read_url(context_, reader.require_text("image", 1, longest_url), path + ".image");
      if (!draft_.model().limits.takes_picture)
        throw bad_field(path + ".image", "The model '" + draft_.model().name + "' makes videos from text alone",
                        "unsupported_parameter");
      card.picture = check_media(context_, picture, Wanted::picture, path + ".image");
    }
    reader.finish();
    if (!seconds) throw missing_field(path + ".seconds");
    if (!card.picture && (!prompt || prompt->empty())) throw missing_field(path + ".prompt");
    const bool goes_on =
        !card.picture && join == "auto" && !shots_.empty() && !shots_.back().end && draft_.model().limits.extends_clips;
    card.made = goes_on ? extension(*seconds) : beginning(*seconds);
    card.made->prompt = prompt.value_or("");
    constexpr uint64_t seeds = uint64_t{1} << 32;
    card.made->settings.seed = (draft_.job().settings.seed + index) % seeds;
    if (card.picture) card.made->settings.image = "input_reference";
    card.joined_by = goes_on ? "extension" : "cut";
    card.made->settings.joined_by = card.joined_by;
    if (goes_on) shots_.pop_back();  // its clip is the beginning of this one's
    shots_.push_back({card.made->id, {}, frames_of(*card.made), card.made->settings.fps, {}});
    cards_.push_back(std::move(card));
  }

  static int64_t frames_of(const jobs::NewJob& job) { return std::llround(job.seconds * job.settings.fps) + 1; }

  void add_clip(const jobs::Job& clip, std::optional<double> seconds) {
    Shot shot{clip.id, clip, server::frames_of(clip), clip.settings.fps, {}};
    if (seconds && *seconds < clip.seconds) shot.end = seconds;
    shots_.push_back(std::move(shot));
  }

  //! What all cards have in common.
  jobs::NewJob outline(jobs::JobKind kind) const {
    jobs::NewJob job = draft_.job();
    job.id = jobs::new_job_id();
    job.kind = kind;
    job.title.clear();
    job.idempotency_key.clear();  // the whole has it
    return job;
  }

  jobs::NewJob beginning(double seconds) {
    jobs::NewJob job = outline(jobs::JobKind::create);
    jobs::Settings& s = job.settings;
    const auto shape = jobs::ModelCatalog::snapped(draft_.model(), {s.width, s.height, seconds, {}, s.fps});
    s.frames = shape.frames;
    s.fps = shape.fps;
    job.seconds = job.charged_seconds = shape.seconds();
    return job;
  }

  jobs::NewJob extension(double seconds) {
    const Shot& before = shots_.back();
    jobs::NewJob job = outline(jobs::JobKind::extension);
    job.settings.extend = "video";
    job.source_id = before.id;
    if (before.there) {
      const jobs::Settings& made = before.there->settings;
      const auto shape =
          jobs::ModelCatalog::snapped(draft_.model(), {made.width, made.height, {}, before.frames, made.fps});
      job.settings.width = shape.width;
      job.settings.height = shape.height;
      job.settings.fps = shape.fps;
    }
    job.inputs = {input_of(before, "video")};
    if (!before.there) job.waits_for = {before.id};
    plan_extension(draft_.model(), before.frames, seconds, job);
    require_length(context_, job.seconds, "cards");
    return job;
  }

  static jobs::InputFile input_of(const Shot& shot, const std::string& name) {
    if (!shot.there) return {name, jobs::result_of(shot.id), "video/mp4", 0, ""};
    const auto& results = shot.there->results;
    const auto video = std::find_if(results.begin(), results.end(), [](const auto& r) { return r.variant == "video"; });
    if (video == results.end()) throw not_found("file of the video", shot.id);
    return {name, video->storage_name, video->media_type, video->bytes, video->sha256};
  }

  //! The job that joins what the cards make.
  jobs::NewJob join() {
    jobs::NewJob job = draft_.job();
    jobs::Settings& s = job.settings;
    job.model.clear();
    std::vector<media::CutPart> parts;
    std::vector<media::CutSource> known;
    for (const Shot& shot : shots_) {
      const std::string name = "clip-" + std::to_string(job.inputs.size() + 1);
      job.inputs.push_back(input_of(shot, name));
      s.parts.push_back({.input = name, .end = shot.end});
      parts.push_back({{}, 0, shot.end, 0});
      known.push_back({shot.frames, shot.fps});
      if (!shot.there) job.waits_for.push_back(shot.id);
    }
    std::string prompts;
    for (const Card& card : cards_) {
      const std::string& id = card.made ? card.made->id : card.job->id;
      job.more_sources.push_back({id, "storyboard"});
      s.cards.push_back({id, card.joined_by});
      const std::string& prompt = card.made ? card.made->prompt : card.job->prompt;
      if (!prompt.empty()) prompts += (prompts.empty() ? "" : "\n") + prompt;
    }
    if (job.prompt.empty()) job.prompt = prompts.substr(0, cut_point(prompts));
    s.fps = known.front().fps;
    s.frames = media::count_cut_frames(parts, known, s.fps);
    job.seconds = static_cast<double>(s.frames - 1) / s.fps;
    job.charged_seconds = 0;
    require_length(context_, job.seconds, "cards");
    return job;
  }

  //! At most so many bytes, and no character cut in two.
  static size_t cut_point(const std::string& text) {
    size_t at = std::min(text.size(), most_prompt_characters);
    while (at < text.size() && at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) --at;
    return at;
  }

  //! The cards' jobs and the whole, all or none.
  jobs::Job submit(jobs::NewJob whole) {
    std::vector<jobs::NewJob> all;
    std::vector<std::string> stored;
    const auto remove_stored = [&] {
      for (const std::string& id : stored) context_.storage.remove_folder("inputs/" + id);
    };
    try {
      for (Card& card : cards_) {
        if (!card.made) continue;
        if (card.picture) {
          stored.push_back(card.made->id);
          card.made->inputs.push_back(store_input(context_, card.made->id, "input_reference", *card.picture));
        }
        all.push_back(std::move(*card.made));
      }
      all.push_back(std::move(whole));
      auto accepted = accept_jobs(context_, all);
      if (accepted.replayed) remove_stored();
      return std::move(*accepted.job);
    } catch (...) {
      try {
        remove_stored();
      } catch (const Error&) {  // the first error is what matters
      }
      throw;
    }
  }

  const Context& context_;
  mutable JobDraft draft_;
  std::vector<Card> cards_;
  std::vector<Shot> shots_;
};

}  // namespace

void add_storyboard_routes(http::Router& router, const Context& c) {
  router.add({"POST", "/prax/v1/storyboards", [&c](Request& r) { return Board(c, r).make(); }, json_body, scope::create,
              true});
}

}  // namespace prax::server
