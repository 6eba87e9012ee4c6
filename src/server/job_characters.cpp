#include <algorithm>

#include "server/characters.h"
#include "server/errors.h"
#include "server/job_draft.h"

// Characters of a new video. They open it, or come into it, as the first pictures of their clips.
namespace prax::server {

using nlohmann::json;

namespace {
constexpr size_t most_characters = 4, longest_id = 200;
constexpr double full_strength = 1.0;
}  // namespace

//! Those that `characters` lists by their ids (or `character`, for one).
std::vector<jobs::Character> JobDraft::wanted_characters(const std::string& field) {
  std::vector<jobs::Character> wanted;
  const auto add = [&](const std::string& id) {
    const auto character = context_.store.character(id);
    if (!character || !caller_.sees(character->key_id)) throw not_found("character", id);
    if (std::any_of(wanted.begin(), wanted.end(), [&](const auto& other) { return other.id == id; }))
      throw bad_field(field, "The character '" + id + "' is in 'characters' twice");
    wanted.push_back(*character);
  };
  if (field == "character") {
    add(fields_.require_text(field, 1, longest_id));
    return wanted;
  }
  size_t index = 0;
  for (const json* element : fields_.list(field, most_characters)) {
    if (const auto* id = element->get_ptr<const std::string*>()) {
      add(*id);
    } else {
      FieldReader reader(form_, *element, field + "[" + std::to_string(index) + "]");
      add(reader.require_text("id", 1, longest_id));
      reader.finish();
    }
    ++index;
  }
  return wanted;
}

void JobDraft::read_characters() {
  const pipelines::Limits& limits = model().limits;
  const jobs::Settings& settings = job_.settings;
  if (const std::string field = fields_.one_of({"characters", "character"}); !field.empty())
    return show_characters(wanted_characters(field), field);
  // A name in the prompt is a wish as long as nothing else says what the video shows, and the model can fulfil it.
  const bool free = settings.image.empty() && settings.conditions.empty() && settings.shots.empty() && !settings.loop;
  if (!free || !(limits.takes_conditions || limits.takes_picture)) return;
  auto named = named_characters(job_.prompt, context_.store.characters_within(caller_.key_id, job_.prompt));
  named.resize(std::min(named.size(), limits.takes_conditions ? most_characters : 1));
  show_characters(named, "prompt");
}

//! Evenly spread: the first one opens the video, the last of several ends it. A picture that the request brings along
//! stands before them.
void JobDraft::show_characters(const std::vector<jobs::Character>& characters, const std::string& param) {
  if (characters.empty()) return;
  const pipelines::Limits& limits = model().limits;
  jobs::Settings& settings = job_.settings;
  const bool opened = !settings.image.empty();
  if (!limits.takes_conditions && (!limits.takes_picture || opened || characters.size() > 1))
    throw bad_field(param,
                    "The model '" + job_.model + "' " +
                        (limits.takes_picture ? "can only begin with one character, or with another picture"
                                              : "makes videos from text alone, without characters"),
                    "unsupported_parameter");
  if (!settings.shots.empty()) throw bad_field(param, "'shots' and '" + param + "' do not go together");
  const auto places = static_cast<int64_t>(characters.size()) - (opened ? 0 : 1);
  const int64_t groups = (settings.frames - 1) / std::max<int64_t>(1, limits.frame_group);
  int64_t place = opened ? 1 : 0;
  for (const jobs::Character& character : characters) {
    const std::string input = "character-" + std::to_string(settings.characters.size() + 1);
    take_upload(input, first_picture(context_, character.clip, param));
    settings.characters.push_back({character.id, character.name});
    if (character.source_id) job_.more_sources.push_back({*character.source_id, "character"});
    if (!limits.takes_conditions) {
      settings.image = input;
    } else {
      const int64_t group = places == 0 ? 0 : groups * place / places;
      settings.conditions.push_back({input, group * limits.frame_group, full_strength});
    }
    ++place;
  }
}

}  // namespace prax::server
