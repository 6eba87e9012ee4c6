#include "server/openapi.h"
#include "server/openapi_parts.h"

namespace prax::server {
namespace {

using nlohmann::json;
using namespace schema;

json seconds_field(const Settings& settings) {
  return {{"anyOf",
           {{{"type", "number"}, {"exclusiveMinimum", 0}, {"maximum", settings.max_seconds}},
            words({"4", "8", "12", "16", "20"})}}};
}

//! Fields that every way of making a video takes.
json common_fields(const jobs::ModelCatalog& catalog) {
  json metadata{{"type", "object"}, {"maxProperties", 16}, {"additionalProperties", text(0, 512)}};
  metadata["propertyNames"] = {{"maxLength", 64}};
  return {{"prompt", text(1, 32000)},
          {"model", words(model_names(catalog))},
          {"negative_prompt", text(0, 32000)},
          {"seed", whole(0, 4294967295)},
          {"steps", whole(1, 1000)},
          {"guidance_scale", number(0, 100)},
          {"strength", number(0, 1)},
          {"dtype", words({"bf16", "int8", "f32"})},
          {"metadata", metadata}};
}

json condition() {
  json properties{{"image_url", text(1, 20971520)}, {"frame", whole()}, {"strength", number(0, 1)}};
  return request(properties, {"image_url"});
}

void add_requests(json& schemas, const Settings& settings, const jobs::ModelCatalog& catalog) {
  const json common = common_fields(catalog);
  json json_only = common;  // lists and objects, which forms write with brackets
  json_only["loras"] = list_of(request({{"id", text(1, 200)}, {"weight", number(-10, 10)}}, {"id"}));
  json_only["extra_params"] = any_object();
  json_only["priority"] = whole(0, 100);
  json_only["webhook_url"] = text(1, 2048);
  json form_only = common;
  form_only.erase("metadata");

  const auto create = [&](json fields) {
    fields["size"] = {{"type", "string"}, {"pattern", "^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$"}};
    fields["seconds"] = seconds_field(settings);
    fields["num_frames"] = whole(1, 100000);
    fields["fps"] = number(1, 120);
    fields["loop"] = flag();
    fields["character"] = text(1, 200);
    fields["title"] = text(0, 200);
    fields["again_of"] = text(1, 200);
    return fields;
  };
  json create_json = create(json_only), create_form = create(form_only);
  create_json["input_reference"] = request({{"image_url", text(1, 20971520)}}, {"image_url"});
  create_json["conditions"] = list_of(condition());
  create_json["shots"] = list_of(
      request({{"prompt", text(1, 32000)}, {"seconds", number(0.01, settings.max_seconds)}}, {"prompt", "seconds"}));
  create_json["characters"] = list_of({{"anyOf", {text(1, 200), request({{"id", text(1, 200)}}, {"id"})}}});
  create_json["characters"]["maxItems"] = 4;
  create_form["input_reference"] = file();
  schemas["CreateVideo"] = request(create_json, {"prompt"});
  schemas["CreateVideoForm"] = form_request(create_form, {"prompt"});
  schemas["RemixVideo"] = request(json_only, {"prompt"});
  schemas["RemixVideoForm"] = form_request(form_only, {"prompt"});

  json edit_json = json_only, edit_form = form_only;
  edit_json["video"] = request({{"id", text(1, 200)}}, {"id"});
  edit_form["video"] = file();
  schemas["EditVideo"] = request(edit_json, {"prompt", "video"});
  schemas["EditVideoForm"] = form_request(edit_form, {"prompt", "video"});
  edit_json["seconds"] = edit_form["seconds"] = seconds_field(settings);
  edit_json["direction"] = edit_form["direction"] = words({"after", "before"});
  schemas["ExtendVideo"] = request(edit_json, {"prompt", "video", "seconds"});
  schemas["ExtendVideoForm"] = form_request(edit_form, {"prompt", "video", "seconds"});
  schemas["CreateCharacter"] = form_request({{"name", text(1, 80)}, {"video", file()}}, {"name", "video"});

  json events = list_of(words({"video.completed", "video.failed"}));
  events["minItems"] = 1;
  events["maxItems"] = 16;
  const json endpoint{{"name", text(1, 100)}, {"url", text(1, 2048)}, {"event_types", events}};
  schemas["CreateWebhookEndpoint"] = request(endpoint, {"name", "url", "event_types"});
  schemas["UpdateWebhookEndpoint"] = request(endpoint, json::array());
  schemas["RotateWebhookSecret"] = request({{"keep_old_secret_active_for_24_hours", flag()}}, json::array());
  schemas["TestWebhookEndpoint"] =
      request({{"event_type", words({"video.completed", "video.failed"})}}, {"event_type"});
  schemas["CreateKey"] = request(
      {{"name", text(1, 100)},
       {"note", text(0, 1000)},
       {"scopes", {{"type", "string"}, {"pattern", "^(create|read|delete|admin)(,(create|read|delete|admin)){0,3}$"}}},
       {"models", list_of(text())},
       {"expires_in_seconds", number(1, 3153600000)},
       {"requests_per_minute", whole(0, 1000000)},
       {"max_running", whole(0, 1000000)},
       {"max_queued", whole(0, 1000000)},
       {"daily_seconds", number(0, 1e9)},
       {"max_priority", whole(0, 1000000)}},
      {"name"});
}

void add_video_schemas(json& schemas) {
  const json error = answer({{"code", text()}, {"message", text()}});
  json video{{"id", text()},
             {"object", constant("video")},
             {"model", text()},
             {"status", words({"queued", "in_progress", "completed", "failed"})},
             {"progress", whole(0, 100)},
             {"created_at", whole()},
             {"completed_at", nullable(whole())},
             {"expires_at", nullable(whole())},
             {"prompt", nullable(text())},
             {"size", text()},
             {"seconds", text()},
             {"remixed_from_video_id", nullable(text())},
             {"error", {{"anyOf", {error, {{"type", "null"}}}}}},
             {"kind", words({"create", "remix", "edit", "extension", "cut", "blend", "upscale", "storyboard"})},
             {"source_video_id", nullable(text())},
             {"requested_model", text()},
             {"metadata", any_object()},
             {"priority", whole()},
             {"seed", whole()},
             {"fps", number()},
             {"num_frames", whole()},
             {"negative_prompt", text()},
             {"steps", nullable(whole())},
             {"guidance_scale", nullable(number())},
             {"strength", nullable(number())},
             {"loop", flag()},
             {"loras", list_of(any_object())},
             {"characters", list_of(answer({{"id", text()}, {"name", text()}}))},
             {"title", text()},
             {"favourite", flag()},
             {"folder", text()},
             {"waits_for", list_of(text())},
             {"joined_by", nullable(text())},
             {"upscaled_by", nullable(text())},
             {"cards", nullable(list_of(answer({{"video", text()}, {"joined_by", nullable(text())}})))},
             {"size_bytes", whole()},
             {"expired", flag()},
             {"inference_time_s", nullable(number())},
             {"peak_memory_mb", nullable(number())}};
  schemas["Video"] = answer(video);
  schemas["VideoList"] = list_answer("Video");
  schemas["VideoDeleted"] = answer({{"id", text()}, {"object", constant("video.deleted")}, {"deleted", flag()}});
  schemas["Character"] = answer({{"id", text()}, {"name", text()}, {"created_at", whole()}});
  schemas["CharacterList"] = answer({{"object", constant("list")}, {"data", list_of(schema_ref("Character"))}});
  schemas["CharacterDeleted"] =
      answer({{"id", text()}, {"object", constant("prax.character.deleted")}, {"deleted", flag()}});
  schemas["Provenance"] = answer({{"id", text()},
                                  {"object", constant("prax.provenance")},
                                  {"status", text()},
                                  {"model", text()},
                                  {"prompt", text()},
                                  {"settings", any_object()},
                                  {"inputs", list_of(any_object())},
                                  {"results", list_of(any_object())},
                                  {"software", text()},
                                  {"key_id", text()},
                                  {"created_at", whole()}});
  schemas["QueuePlace"] =
      answer({{"id", text()}, {"object", constant("prax.queue.place")}, {"status", text()}, {"jobs_ahead", whole()}});
}

void add_other_schemas(json& schemas) {
  schemas["Error"] = answer(
      {{"error",
        answer({{"message", text()}, {"type", text()}, {"param", nullable(text())}, {"code", nullable(text())}})}});
  schemas["Model"] = answer({{"id", text()},
                             {"object", constant("model")},
                             {"created", whole()},
                             {"owned_by", text()},
                             {"resolves_to", text()},
                             {"defaults", any_object()},
                             {"limits", any_object()},
                             {"capabilities", any_object()}});
  schemas["ModelList"] = answer({{"object", constant("list")}, {"data", list_of(schema_ref("Model"))}});
  json endpoint{{"id", text()},          {"object", constant("webhook_endpoint")}, {"name", text()},
                {"url", text()},         {"event_types", list_of(text())},         {"created_at", whole()},
                {"updated_at", whole()}, {"signing_secret_hint", text()}};
  schemas["WebhookEndpoint"] = answer(endpoint);
  endpoint["signing_secret"] = text();
  schemas["WebhookEndpointWithSecret"] = answer(endpoint);
  schemas["WebhookEndpointList"] = list_answer("WebhookEndpoint");
  schemas["WebhookEndpointDeleted"] =
      answer({{"id", text()}, {"object", constant("webhook_endpoint.deleted")}, {"deleted", flag()}});
  schemas["WebhookEndpointTest"] = answer({{"object", constant("webhook_endpoint.test")},
                                           {"webhook_endpoint_id", text()},
                                           {"event_type", text()},
                                           {"status_code", whole()},
                                           {"success", flag()}});
  schemas["WebhookEventTypes"] = answer({{"object", constant("list")}, {"data", list_of(text())}});
  const json limit = nullable(whole());
  json key{{"id", text()},
           {"object", constant("prax.key")},
           {"name", text()},
           {"note", text()},
           {"hint", text()},
           {"scopes", text()},
           {"models", list_of(text())},
           {"limits", answer({{"requests_per_minute", limit},
                              {"max_running", limit},
                              {"max_queued", limit},
                              {"daily_seconds", nullable(number())},
                              {"max_priority", whole()}})},
           {"created_at", whole()},
           {"expires_at", nullable(whole())},
           {"revoked_at", nullable(whole())},
           {"last_used_at", nullable(whole())}};
  json with_usage = key, with_secret = key;
  with_usage["usage"] =
      answer({{"seconds_today", number()}, {"videos", whole()}, {"seconds", number()}, {"bytes", whole()}});
  schemas["Key"] = answer(with_usage);
  with_secret["key"] = text();
  schemas["KeyWithSecret"] = answer(with_secret);
  schemas["KeyList"] = answer({{"object", constant("list")}, {"data", list_of(schema_ref("Key"))}});
  schemas["OwnKey"] =
      answer({{"id", text()}, {"object", constant("prax.key")}, {"scopes", text()}, {"seconds_used_today", number()}});
  schemas["KeyRevoked"] = answer(
      {{"id", text()}, {"object", constant("prax.key.revoked")}, {"revoked", flag()}, {"cancelled_jobs", whole()}});
  schemas["KeysRevoked"] =
      answer({{"object", constant("prax.keys.revoked")}, {"revoked", whole()}, {"cancelled_jobs", whole()}});
  schemas["Queue"] = answer({{"object", constant("prax.queue")},
                             {"queued", whole()},
                             {"in_progress", whole()},
                             {"completed", whole()},
                             {"failed", whole()},
                             {"cancelled", whole()},
                             {"oldest_queued_at", nullable(whole())},
                             {"queued_by_model", any_object()}});
  schemas["Storage"] = answer({{"object", constant("prax.storage")},
                               {"place", text()},
                               {"stored_bytes", whole()},
                               {"quota_bytes", nullable(whole())},
                               {"retention_seconds", nullable(whole())},
                               {"database", text()}});
  schemas["AuditList"] = answer({{"object", constant("list")}, {"data", list_of(any_object())}});
  schemas["Status"] = answer({{"status", text()}});
  schemas["Readiness"] = answer({{"status", text()}, {"checks", any_object()}});
}

}  // namespace

json openapi_schemas(const Settings& settings, const jobs::ModelCatalog& catalog) {
  json schemas = json::object();
  add_requests(schemas, settings, catalog);
  add_video_schemas(schemas);
  add_other_schemas(schemas);
  add_studio_schemas(schemas, settings, catalog);
  return schemas;
}

}  // namespace prax::server
