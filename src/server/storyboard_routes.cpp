#include <algorithm>
#include <cmath>

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
    cards.push_back({{"video", job ? video_object(*job) : deleted_object(card.job_id)},
                     {"joined_by", card.joined_by.empty() ? json() : json(card.joined_by)}});
  }
  const std::string id = "storyboard_" + whole.id.substr(whole.id.find('_') + 1);
  return json_response({{"id", id}, {"object", "prax.storyboard"}, {"video", video_object(whole)}, {"cards", cards}});
}

//! What leads over to a picture or a clip takes about so long.
constexpr double transition_seconds = 0.7;

//! A clip of the whole: there already, or made by a card's job.
struct Shot {
  std::string id;
  std::optional<jobs::Job> there;
  int width = 0, height = 0;
  int64_t frames = 0;
  double fps = 0;
  std::optional<double> end = {};  //!< only so much of it

  //! Frames of what is kept.
  int64_t kept() const { return end ? media::count_cut_frames({{{}, 0, end, 0}}, {{frames, fps}}, fps) : frames; }
};

//! A storyboard on its way to the queue: each card is a job (or a video that is there), a card that continues the one
//! before is an extension of it or a transition from it, and one more job joins what is not joined by that.
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
    std::optional<jobs::Job> job;  //!< the clip that is there
    std::string joined_by;         //!< "" of the first one
  };

  //! One card's fields.
  struct Wish {
    std::string path;
    std::string prompt;
    std::optional<double> seconds;
    bool joins = false;  //!< to the card before, where the model can
  };

  void read_card(const json& element) {
    constexpr size_t longest_id = 200, longest_url = 20'971'520;
    Wish wish;
    wish.path = "cards[" + std::to_string(cards_.size()) + "]";
    FieldReader reader(draft_.fields().form(), element, wish.path);
    const std::string source = reader.one_of({"video", "image"});
    wish.prompt = reader.text("prompt", 0, most_prompt_characters).value_or("");
    wish.seconds = reader.number("seconds", 0.01, context_.settings.max_seconds);
    const std::string join = reader.text("join", 1, 10).value_or("auto");
    if (join != "auto" && join != "cut") throw bad_field(wish.path + ".join", "'join' must be auto or cut");
    wish.joins = join == "auto" && !shots_.empty() && draft_.model().limits.extends_clips;
    Card card;
    if (source == "video") {
      card.job = draft_.finished_job(reader.require_text("video", 1, longest_id), wish.path + ".video");
    } else if (source == "image") {
      http::Spool picture = read_url(context_, reader.require_text("image", 1, longest_url), wish.path + ".image");
      if (!draft_.model().limits.takes_picture)
        throw bad_field(wish.path + ".image", "The model '" + draft_.model().name + "' makes videos from text alone",
                        "unsupported_parameter");
      card.picture = check_media(context_, picture, Wanted::picture, wish.path + ".image");
    }
    reader.finish();
    if (source == "video")
      take_clip(wish, card);
    else
      take_words(wish, card);
    cards_.push_back(std::move(card));
  }

  //! A card of words, with or without a picture.
  void take_words(const Wish& wish, Card& card) {
    if (!wish.seconds) throw missing_field(wish.path + ".seconds");
    if (!card.picture && wish.prompt.empty()) throw missing_field(wish.path + ".prompt");
    // A picture inside of a clip is a condition, and so is the end of a clip that is not taken whole.
    const bool by_conditions = card.picture || (!shots_.empty() && shots_.back().end);
    const bool goes_on = wish.joins && (!by_conditions || draft_.model().limits.takes_conditions);
    card.made = goes_on ? extension(*wish.seconds, card.picture.has_value()) : beginning(*wish.seconds);
    if (card.picture && !goes_on) card.made->settings.image = picture_name;
    set_words(wish, *card.made);
    follow(card, !goes_on ? "cut" : card.picture ? "conditions" : "extension");
    if (goes_on) shots_.pop_back();  // its clip is the beginning of this one's
    add_made(*card.made);
  }

  //! A card that is a clip: the model leads over to it where it can.
  void take_clip(const Wish& wish, Card& card) {
    const jobs::Job& clip = *card.job;
    Shot shot{clip.id, clip, clip.settings.width, clip.settings.height, server::frames_of(clip), clip.settings.fps};
    if (wish.seconds && *wish.seconds < clip.seconds) shot.end = wish.seconds;
    if (wish.joins && draft_.model().limits.takes_conditions && shot.fps == shots_.back().fps) {
      card.made = transition(shot);
      set_words(wish, *card.made);
      if (wish.prompt.empty()) card.made->prompt = clip.prompt;
      follow(card, "conditions");
      shots_.pop_back();
      add_made(*card.made);
    } else {
      follow(card, "cut");
      shots_.push_back(std::move(shot));
    }
  }

  void set_words(const Wish& wish, jobs::NewJob& job) const {
    constexpr uint64_t seeds = uint64_t{1} << 32;
    job.prompt = wish.prompt;
    job.settings.seed = (draft_.job().settings.seed + cards_.size()) % seeds;
  }

  void follow(Card& card, const std::string& how) const {
    if (!cards_.empty()) card.joined_by = how;
    if (card.made) card.made->settings.joined_by = card.joined_by;
  }

  void add_made(const jobs::NewJob& job) {
    const jobs::Settings& s = job.settings;
    shots_.push_back({job.id, {}, s.width, s.height, std::llround(job.seconds * s.fps) + 1, s.fps});
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

  //! A job that goes on from the last shot, as an input called "video".
  jobs::NewJob continuation(jobs::JobKind kind) {
    const Shot& before = shots_.back();
    jobs::NewJob job = outline(kind);
    job.source_id = before.id;
    const auto shape = jobs::ModelCatalog::snapped(
        draft_.model(), {before.width, before.height, {}, draft_.model().limits.frames, before.fps});
    job.settings.width = shape.width;
    job.settings.height = shape.height;
    job.settings.fps = shape.fps;
    job.inputs = {input_of(before, "video")};
    if (!before.there) job.waits_for = {before.id};
    return job;
  }

  jobs::NewJob extension(double seconds, bool to_picture) {
    const Shot& before = shots_.back();
    const pipelines::Limits& limits = draft_.model().limits;
    jobs::NewJob job = continuation(jobs::JobKind::extension);
    jobs::Settings& s = job.settings;
    s.extend = "video";
    plan_extension(draft_.model(), before.kept(), seconds, job);
    const int64_t seen = pipelines::context_frames(limits, before.kept());
    if (before.end) {  // its last frames are not those of the file
      s.extend.clear();
      s.conditions = {{.input = "video", .frame = 0, .strength = 1.0, .from = before.kept() - seen, .count = seen}};
      s.parts = {{.input = "video", .end = before.end}, {.input = "", .crossfade = static_cast<double>(seen) / s.fps}};
    }
    if (to_picture) s.conditions.push_back({.input = picture_name, .frame = place_of_picture(seen, s)});
    require_length(context_, job.seconds, "cards");
    return job;
  }

  //! The frame where a picture stands in a shot that leads over to it: the first of a group, as the model counts them,
  //! or the last frame of all where there is but one group.
  int64_t place_of_picture(int64_t seen, const jobs::Settings& s) const {
    const int64_t group = draft_.model().limits.frame_group;
    const int64_t groups = (s.frames - seen) / group;
    if (groups < 2) return s.frames - 1;
    const int64_t wanted = std::llround(transition_seconds * s.fps / static_cast<double>(group));
    return seen + std::clamp<int64_t>(wanted, 1, groups - 1) * group;
  }

  jobs::NewJob transition(const Shot& to) {
    const Shot& before = shots_.back();
    jobs::NewJob job = continuation(jobs::JobKind::blend);
    job.inputs.push_back(input_of(to, "clip"));
    job.more_sources = {{to.id, std::string(name_of(jobs::JobKind::blend))}};
    plan_transition(draft_.model(), {"video", before.kept(), before.end}, {"clip", to.kept(), to.end},
                    transition_seconds, job);
    require_length(context_, job.seconds, "cards");
    return job;
  }

  static jobs::InputFile input_of(const Shot& shot, const std::string& name) {
    if (!shot.there) return {name, jobs::result_of(shot.id), "video/mp4", 0, ""};
    const auto* video = jobs::find_result(shot.there->results, "video");
    if (!video) throw not_found("file of the video", shot.id);
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
    uint64_t bytes = 0;
    for (const Card& card : cards_)
      if (card.made && card.picture) bytes += card.picture->bytes;
    draft_.reserve(bytes);
    const auto remove_stored = [&] {
      for (const std::string& id : stored) context_.storage.remove_folder("inputs/" + id);
    };
    try {
      for (Card& card : cards_) {
        if (!card.made) continue;
        if (card.picture) {
          stored.push_back(card.made->id);
          card.made->inputs.push_back(store_input(context_, card.made->id, picture_name, *card.picture));
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

  static constexpr const char* picture_name = "input_reference";
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
