#include <algorithm>
#include <cmath>

#include "server/errors.h"
#include "server/job_draft.h"

namespace prax::server {
namespace {

using nlohmann::json;

constexpr double opening_strength = 1.0;

}  // namespace

//! A picture (or clip) as an uploaded file, a URL, or an object with exactly one of `image_url` and `file_id`.
CheckedMedia JobDraft::read_picture(const json& value, const std::string& param, Wanted wanted) {
  if (http::Part* part = form_.file(value)) return check_media(context_, part->content, wanted, param);
  std::string url;
  if (value.is_string()) {
    url = value.get<std::string>();
  } else {
    FieldReader reader(form_, value, param);
    if (reader.has("image_url") == reader.has("file_id"))
      throw bad_field(param, "'" + param + "' is a file, or an object with either image_url or file_id");
    if (reader.text("file_id", 1, 200))
      throw bad_field(param + ".file_id",
                      "There are no stored files on this server; send the picture itself or its URL",
                      "unsupported_parameter");
    url = reader.require_text("image_url", 1, most_url_characters);
    reader.finish();
  }
  http::Spool fetched = read_url(context_, url, param);
  return check_media(context_, fetched, wanted, param);
}

void JobDraft::read_references() {
  jobs::Settings& settings = job_.settings;
  const pipelines::Limits& limits = model().limits;
  settings.loop = fields_.flag("loop").value_or(false);
  if (const json* reference = fields_.raw("input_reference")) {
    if (!limits.takes_picture)
      throw bad_field("input_reference", "The model '" + job_.model + "' makes videos from text alone",
                      "unsupported_parameter");
    take_upload("input_reference", read_picture(*reference, "input_reference", Wanted::picture));
    settings.image = "input_reference";
  }
  read_conditions();
  read_shots();
  read_characters();
  if (limits.needs_picture && settings.image.empty())
    throw bad_field("input_reference", "The model '" + job_.model + "' needs a picture to begin with",
                    "missing_required_parameter");
  if ((settings.loop || !settings.conditions.empty()) && !limits.takes_conditions)
    throw bad_field(settings.loop ? "loop" : "conditions",
                    "The model '" + job_.model + "' takes no pictures at other places than the beginning",
                    "unsupported_parameter");
  if (!settings.shots.empty() && (settings.loop || !settings.conditions.empty()))
    throw bad_field("shots", "'shots' go together with neither 'loop' nor 'conditions'");
}

void JobDraft::read_conditions() {
  constexpr size_t most = 16;
  size_t index = 0;
  for (const json* element : fields_.list("conditions", most)) {
    const std::string path = "conditions[" + std::to_string(index) + "]";
    FieldReader reader(form_, *element, path);
    const std::string source = reader.one_of({"image", "video", "image_url"});
    if (source.empty()) throw missing_field(path + ".image");
    const json& value = *reader.raw(source);
    const std::string name = "condition-" + std::to_string(++index);
    take_upload(name, read_picture(value, path + "." + source, source == "video" ? Wanted::clip : Wanted::either));
    jobs::PlacedInput placed;
    placed.input = name;
    // Counted from the end when negative, as the reference does.
    placed.frame = reader.whole("frame", -job_.settings.frames, job_.settings.frames - 1).value_or(0);
    placed.strength = reader.number("strength", 0, 1).value_or(opening_strength);
    reader.finish();
    job_.settings.conditions.push_back(std::move(placed));
  }
}

void JobDraft::read_shots() {
  constexpr size_t most = 32, most_characters = 32'000;
  size_t index = 0;
  double seconds = 0;
  jobs::Settings& settings = job_.settings;
  for (const json* element : fields_.list("shots", most)) {
    const std::string path = "shots[" + std::to_string(index++) + "]";
    FieldReader reader(form_, *element, path);
    jobs::PromptShot shot;
    shot.prompt = reader.require_text("prompt", 1, most_characters);
    const auto length = reader.number("seconds", 0.01, context_.settings.max_seconds);
    if (!length) throw missing_field(path + ".seconds");
    shot.seconds = *length;
    seconds += shot.seconds;
    reader.finish();
    settings.shots.push_back(std::move(shot));
  }
  if (settings.shots.empty()) return;
  if (fields_.has("seconds") || fields_.has("num_frames"))
    throw bad_field("seconds", "The shots say how long the video is; leave 'seconds' and 'num_frames' out");
  // As many whole groups of frames as come nearest, of any number: shots are joined from windows.
  const pipelines::Limits& limits = model().limits;
  const auto group = static_cast<double>(limits.frame_group);
  const int64_t groups = std::max<int64_t>(1, std::llround(seconds * settings.fps / group));
  settings.frames = groups * limits.frame_group + 1;
  job_.seconds = job_.charged_seconds = static_cast<double>(settings.frames - 1) / settings.fps;
  if (job_.seconds > context_.settings.max_seconds)
    throw bad_field("shots",
                    "A video may have at most " + jobs::seconds_text(context_.settings.max_seconds) + " seconds here");
}

JobDraft::Source JobDraft::read_video() {
  const json* video = fields_.raw("video");
  if (!video) throw missing_field("video");
  if (http::Part* part = form_.file(*video)) {
    Source source;
    source.clip = check_media(context_, part->content, Wanted::clip, "video");
    return source;
  }
  constexpr size_t longest = 200;
  FieldReader reader(form_, *video, "video");
  const std::string id = reader.require_text("id", 1, longest);
  reader.finish();
  Source source;
  source.job = finished_job(id, "video");
  return source;
}

}  // namespace prax::server
