#include "jobs/settings.h"

#include "base/error.h"

namespace prax::jobs {

namespace {

using nlohmann::json;

//! Takes the entries of an object one after another; what is left over at the end is unknown.
class Reader {
public:
  Reader(const json& object, const char* what) : left_(object), what_(what) {
    if (!object.is_object()) throw Error(ErrorKind::input, std::string(what) + " must be an object");
  }

  template <typename T>
  void take(const char* name, T& value) {
    const auto it = left_.find(name);
    if (it == left_.end()) return;
    try {
      it->get_to(value);
    } catch (const json::exception&) {
      throw Error(ErrorKind::input,
                  std::string(name) + " of " + what_ + " is " + it->dump() + ", which has the wrong type",
                  "see the API's documentation");
    }
    left_.erase(it);
  }

  template <typename T>
  void take(const char* name, std::optional<T>& value) {
    if (!left_.contains(name)) return;
    T present{};
    take(name, present);
    value = present;
  }

  //! A list of objects, each read by `read(Reader&, item)`.
  template <typename T, typename Read>
  void take_list(const char* name, std::vector<T>& list, Read&& read) {
    json items = json::array();
    take(name, items);
    if (!items.is_array()) throw Error(ErrorKind::input, std::string(name) + " of " + what_ + " must be a list");
    for (const json& item : items) {
      Reader reader(item, name);
      read(reader, list.emplace_back());
      reader.finish();
    }
  }

  void finish() const {
    if (!left_.empty())
      throw Error(ErrorKind::input, "'" + left_.begin().key() + "' of " + what_ + " is unknown",
                  "leave it out; see the API's documentation");
  }

private:
  json left_;
  const char* what_;
};

}  // namespace

json to_json(const Settings& s) {
  json out = {{"width", s.width}, {"height", s.height}, {"frames", s.frames}, {"fps", s.fps}, {"seed", s.seed}};
  const auto text = [&](const char* name, const std::string& value) {
    if (!value.empty()) out[name] = value;
  };
  text("negative_prompt", s.negative_prompt);
  text("image", s.image);
  text("video", s.video);
  text("extend", s.extend);
  text("dtype", s.dtype);
  if (s.steps) out["steps"] = *s.steps;
  if (s.guidance) out["guidance"] = *s.guidance;
  if (s.strength) out["strength"] = *s.strength;
  if (s.loop) out["loop"] = true;
  for (const auto& c : s.conditions) {
    json& placed =
        out["conditions"].emplace_back(json{{"input", c.input}, {"frame", c.frame}, {"strength", c.strength}});
    if (c.from != 0) placed["from"] = c.from;
    if (c.count != 0) placed["count"] = c.count;
  }
  for (const auto& p : s.parts) {
    json& part = out["parts"].emplace_back(json{{"input", p.input}, {"start", p.start}, {"crossfade", p.crossfade}});
    if (p.end) part["end"] = *p.end;
  }
  for (const auto& c : s.cards) {
    json& card = out["cards"].emplace_back(json{{"job", c.job_id}});
    if (!c.joined_by.empty()) card["joined_by"] = c.joined_by;
  }
  if (s.before) out["before"] = true;
  text("joined_by", s.joined_by);
  text("upscaled_by", s.upscaled_by);
  for (const auto& who : s.characters) out["characters"].push_back({{"id", who.id}, {"name", who.name}});
  for (const auto& shot : s.shots) out["shots"].push_back({{"prompt", shot.prompt}, {"seconds", shot.seconds}});
  for (const auto& lora : s.loras) out["loras"].push_back({{"name", lora.name}, {"weight", lora.weight}});
  if (!s.arguments.empty()) out["arguments"] = s.arguments;
  return out;
}

Settings settings_from_json(const json& object) {
  Settings s;
  Reader reader(object, "settings");
  reader.take("width", s.width);
  reader.take("height", s.height);
  reader.take("frames", s.frames);
  reader.take("fps", s.fps);
  reader.take("seed", s.seed);
  reader.take("negative_prompt", s.negative_prompt);
  reader.take("image", s.image);
  reader.take("video", s.video);
  reader.take("extend", s.extend);
  reader.take("dtype", s.dtype);
  reader.take("steps", s.steps);
  reader.take("guidance", s.guidance);
  reader.take("strength", s.strength);
  reader.take("loop", s.loop);
  reader.take_list("conditions", s.conditions, [](Reader& r, PlacedInput& c) {
    r.take("input", c.input);
    r.take("frame", c.frame);
    r.take("strength", c.strength);
    r.take("from", c.from);
    r.take("count", c.count);
  });
  reader.take_list("parts", s.parts, [](Reader& r, JoinedPart& p) {
    r.take("input", p.input);
    r.take("start", p.start);
    r.take("end", p.end);
    r.take("crossfade", p.crossfade);
  });
  reader.take_list("cards", s.cards, [](Reader& r, StoryboardCard& card) {
    r.take("job", card.job_id);
    r.take("joined_by", card.joined_by);
  });
  reader.take("before", s.before);
  reader.take("joined_by", s.joined_by);
  reader.take("upscaled_by", s.upscaled_by);
  reader.take_list("characters", s.characters, [](Reader& r, ShownCharacter& who) {
    r.take("id", who.id);
    r.take("name", who.name);
  });
  reader.take_list("shots", s.shots, [](Reader& r, PromptShot& shot) {
    r.take("prompt", shot.prompt);
    r.take("seconds", shot.seconds);
  });
  reader.take_list("loras", s.loras, [](Reader& r, NamedLora& lora) {
    r.take("name", lora.name);
    r.take("weight", lora.weight);
  });
  reader.take("arguments", s.arguments);
  if (!s.arguments.is_object()) throw Error(ErrorKind::input, "arguments of settings must be an object");
  reader.finish();
  return s;
}

}  // namespace prax::jobs
