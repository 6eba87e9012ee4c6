#include "server/errors.h"
#include "server/inputs.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

json character_object(const jobs::Character& character) {
  return {{"id", character.id}, {"name", character.name}, {"created_at", jobs::unix_seconds(character.created_at)}};
}

Response create_character(const Context& context, Request& request) {
  constexpr size_t longest_name = 80;
  const Form form(request);
  FieldReader fields(form, form.tree());
  jobs::Character character;
  character.name = fields.require_text("name", 1, longest_name);
  const json* video = fields.raw("video");
  if (!video) throw missing_field("video");
  http::Part* part = form.file(*video);
  if (!part) throw bad_field("video", "'video' must be a file", "invalid_type");
  fields.finish();
  context.reservations.reserve(request, part->content.size());
  const CheckedMedia clip = check_media(context, part->content, Wanted::clip, "video");
  character.id = jobs::new_character_id();
  character.key_id = caller_of(request).key_id;
  character.created_at = jobs::now();
  character.clip = store_input(context, character.id, "video", clip);
  character.source_id = context.store.job_with_result(character.key_id, character.clip.sha256);
  context.store.create_character(character);
  return json_response(character_object(character));
}

jobs::Character find_character(const Context& context, const Request& request) {
  const std::string& id = request.capture("character_id");
  auto character = context.store.character(id);
  if (!character || !caller_of(request).sees(character->key_id)) throw not_found("character", id);
  return std::move(*character);
}

Response list_characters(const Context& context, const Request& request) {
  json data = json::array();
  for (const jobs::Character& character : context.store.characters(caller_of(request).key_id))
    data.push_back(character_object(character));
  return json_response({{"object", "list"}, {"data", data}});
}

//! Videos that show it keep what they have of it.
Response remove_character(const Context& context, const Request& request) {
  const jobs::Character character = find_character(context, request);
  if (!context.store.delete_character(character.id, caller_of(request).key_id))
    throw not_found("character", character.id);
  context.storage.remove_folder("inputs/" + character.id);
  return json_response({{"id", character.id}, {"object", "prax.character.deleted"}, {"deleted", true}});
}

}  // namespace

void add_character_routes(http::Router& router, const Context& c) {
  constexpr http::BodyPolicy multipart{.multipart = true};
  router.add({"POST", "/v1/videos/characters", [&c](Request& r) { return create_character(c, r); }, multipart,
              scope::create, true});
  router.add({"GET",
              "/v1/videos/characters/{character_id}",
              [&c](Request& r) { return json_response(character_object(find_character(c, r))); },
              {},
              scope::read});
  router.add({"GET", "/prax/v1/characters", [&c](Request& r) { return list_characters(c, r); }, {}, scope::read});
  router.add({"DELETE",
              "/prax/v1/characters/{character_id}",
              [&c](Request& r) { return remove_character(c, r); },
              {},
              scope::remove});
}

}  // namespace prax::server
