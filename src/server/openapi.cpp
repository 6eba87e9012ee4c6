#include "server/openapi.h"

#include "base/version.h"
#include "server/openapi_parts.h"

namespace prax::server {
namespace {

using nlohmann::json;

void add_video_paths(json& paths) {
  const json video_id = path_parameter("video_id", "A video's id.");
  paths["/v1/videos"]["post"] = Operation("createVideo", "Make a video from a prompt")
                                    .body("CreateVideo", true, true)
                                    .ok("Video", "The video waits in the queue.")
                                    .errors({404, 409, 507});
  paths["/v1/videos"]["get"] =
      Operation("listVideos", "The caller's videos")
          .parameter(query_parameter("after", "The last id of the page before.", {{"type", "string"}}))
          .parameter(number_parameter("limit", "Videos on a page.", 0, 100, 20))
          .parameter(query_parameter("order", "By time of creation.",
                                     {{"type", "string"}, {"enum", {"asc", "desc"}}, {"default", "desc"}}))
          .ok("VideoList", "A page.");
  paths["/v1/videos/edits"]["post"] = Operation("editVideo", "Change a video or clip")
                                          .body("EditVideo", true, true)
                                          .ok("Video")
                                          .errors({404, 409, 507});
  paths["/v1/videos/extensions"]["post"] = Operation("extendVideo", "Go on with a video or clip")
                                               .body("ExtendVideo", true, true)
                                               .ok("Video")
                                               .errors({404, 409, 507});
  paths["/v1/videos/characters"]["post"] = Operation("createCharacter", "Keep a clip under a name")
                                               .body("CreateCharacter", false, true)
                                               .ok("Character")
                                               .errors({507});
  paths["/v1/videos/characters/{character_id}"]["get"] =
      Operation("getCharacter", "A character")
          .parameter(path_parameter("character_id", "A character's id."))
          .ok("Character")
          .errors({404});
  paths["/v1/videos/{video_id}"]["get"] =
      Operation("getVideo", "A video and where it stands").parameter(video_id).ok("Video").errors({404});
  paths["/v1/videos/{video_id}"]["delete"] = Operation("deleteVideo", "Delete a video, cancelled first if it runs")
                                                 .parameter(video_id)
                                                 .ok("VideoDeleted")
                                                 .errors({404, 413});
  paths["/v1/videos/{video_id}/remix"]["post"] = Operation("remixVideo", "Change a finished video by a prompt")
                                                     .parameter(video_id)
                                                     .body("RemixVideo", true, true)
                                                     .ok("Video")
                                                     .errors({404, 409, 507});
  Operation content("downloadVideo", "The file of a finished video");
  content.parameter(video_id)
      .parameter(
          query_parameter("variant", "Which file.",
                          {{"type", "string"}, {"enum", {"video", "thumbnail", "spritesheet"}}, {"default", "video"}}))
      .errors({404, 410, 412, 416})
      .plain(304, "The client has it.");
  for (const int status : {200, 206})
    for (const char* type : {"video/mp4", "image/webp", "image/jpeg"})
      content.answer(status, type, {}, status == 200 ? "The file." : "The part that Range asks for.");
  paths["/v1/videos/{video_id}/content"]["get"] = content;
}

void add_models(json& paths) {
  paths["/v1/models"]["get"] = Operation("listModels", "Models and their other names").ok("ModelList");
  paths["/v1/models/{model}"]["get"] = Operation("getModel", "A model, by any of its names")
                                           .parameter(path_parameter("model", "A name."))
                                           .ok("Model")
                                           .errors({404});
}

void add_webhooks(json& paths) {
  const json id = path_parameter("webhook_endpoint_id", "An endpoint's id.");
  paths["/v1/webhook_endpoints"]["post"] =
      Operation("createWebhookEndpoint", "Be told when videos end")
          .body("CreateWebhookEndpoint", true, false)
          .ok("WebhookEndpointWithSecret", "With the secret, which is not shown again.")
          .errors({422, 507});
  paths["/v1/webhook_endpoints"]["get"] =
      Operation("listWebhookEndpoints", "The key's endpoints")
          .parameter(query_parameter("after", "The last id of the page before.", {{"type", "string"}}))
          .parameter(number_parameter("limit", "Endpoints on a page.", 1, 100, 20))
          .ok("WebhookEndpointList");
  const std::string one = "/v1/webhook_endpoints/{webhook_endpoint_id}";
  paths[one]["get"] = Operation("getWebhookEndpoint", "An endpoint").parameter(id).ok("WebhookEndpoint").errors({404});
  paths[one]["post"] = Operation("updateWebhookEndpoint", "Change an endpoint")
                           .parameter(id)
                           .body("UpdateWebhookEndpoint", true, false)
                           .ok("WebhookEndpoint")
                           .errors({404, 507});
  paths[one]["delete"] = Operation("deleteWebhookEndpoint", "Delete an endpoint")
                             .parameter(id)
                             .ok("WebhookEndpointDeleted")
                             .errors({404, 413});
  paths[one + "/rotate_secret"]["post"] = Operation("rotateWebhookSecret", "A new secret")
                                              .parameter(id)
                                              .body("RotateWebhookSecret", true, false, false)
                                              .ok("WebhookEndpointWithSecret")
                                              .errors({404, 507});
  paths[one + "/test"]["post"] = Operation("testWebhookEndpoint", "Send a sample event now")
                                     .parameter(id)
                                     .body("TestWebhookEndpoint", true, false)
                                     .ok("WebhookEndpointTest")
                                     .errors({404, 422});
  paths["/v1/webhook_event_types"]["get"] =
      Operation("listWebhookEventTypes", "Events that there are").ok("WebhookEventTypes");
}

void add_own(json& paths) {
  const json video_id = path_parameter("video_id", "A video's id.");
  const std::string video = "/prax/v1/videos/{video_id}";
  const json last_event{{"name", "last-event-id"},
                        {"in", "header"},
                        {"required", false},
                        {"description", "The last event seen."},
                        {"schema", {{"type", "string"}, {"pattern", "^[0-9]{1,15}$"}}}};
  paths["/prax/v1/events"]["get"] = Operation("listenToAll", "Server-sent events of all of the caller's videos")
                                        .parameter(last_event)
                                        .answer(200, "text/event-stream", {}, "Events, until the client hangs up.");
  paths[video + "/events"]["get"] = Operation("listenToVideo", "Server-sent events of a video, until its end")
                                        .parameter(video_id)
                                        .parameter(last_event)
                                        .answer(200, "text/event-stream", {}, "Events.")
                                        .errors({404});
  paths[video + "/preview"]["get"] =
      Operation("getPreview", "The newest preview of a running video")
          .parameter(video_id)
          .parameter(query_parameter("number", "Of the preview, for caches.", {{"type", "integer"}, {"minimum", 0}}))
          .answer(200, "image/jpeg", {}, "A picture.")
          .errors({404});
  paths[video + "/provenance"]["get"] = Operation("getProvenance", "All that is known of how a video was made")
                                            .parameter(video_id)
                                            .ok("Provenance")
                                            .errors({404});
  paths[video + "/queue"]["get"] = Operation("getQueuePlace", "How many videos are before this one")
                                       .parameter(video_id)
                                       .ok("QueuePlace")
                                       .errors({404});
  paths[video + "/cancel"]["post"] = Operation("cancelVideo", "Stop a video that waits or runs")
                                         .parameter(video_id)
                                         .ok("Video", "It ends as failed, with the error code cancelled.")
                                         .errors({404, 409, 413});
  paths["/prax/v1/characters"]["get"] = Operation("listCharacters", "The caller's characters").ok("CharacterList");
  paths["/prax/v1/characters/{character_id}"]["delete"] =
      Operation("deleteCharacter", "Delete a character; videos that show it stay")
          .parameter(path_parameter("character_id", "A character's id."))
          .ok("CharacterDeleted")
          .errors({404, 413});
  const json key_id = path_parameter("key_id", "A key's id.");
  paths["/prax/v1/keys"]["post"] = Operation("createKey", "A new key")
                                       .body("CreateKey", true, false)
                                       .ok("KeyWithSecret", "With the secret, which is not shown again.")
                                       .errors({507});
  paths["/prax/v1/keys"]["get"] = Operation("listKeys", "All keys").ok("KeyList");
  paths["/prax/v1/key"]["get"] = Operation("getOwnKey", "The key of this request").ok("OwnKey");
  paths["/prax/v1/keys/{key_id}"]["get"] = Operation("getKey", "A key").parameter(key_id).ok("Key").errors({404});
  const json yes_or_no{{"type", "string"}, {"enum", {"true", "false"}}};
  paths["/prax/v1/keys/revoke_all"]["post"] =
      Operation("revokeAllKeys", "Revoke every key, that of this request too, everywhere within a second")
          .parameter(query_parameter("cancel_jobs", "Videos of revoked keys that wait or run, too.", yes_or_no))
          .parameter(query_parameter("keep_own", "All but the key of this request.", yes_or_no))
          .ok("KeysRevoked")
          .errors({413});
  paths["/prax/v1/keys/{key_id}"]["delete"] =
      Operation("revokeKey", "Revoke a key, everywhere within a second")
          .parameter(key_id)
          .parameter(query_parameter("cancel_jobs", "Its videos that wait or run, too.", yes_or_no))
          .ok("KeyRevoked")
          .errors({404, 413});
  paths["/prax/v1/keys/{key_id}/rotate"]["post"] = Operation("rotateKey", "A new secret for a key")
                                                       .parameter(key_id)
                                                       .ok("KeyWithSecret")
                                                       .errors({404, 409, 413, 507});
  paths["/prax/v1/queue"]["get"] = Operation("getQueue", "What waits and runs").ok("Queue");
  paths["/prax/v1/storage"]["get"] = Operation("getStorage", "Where results lie and how much they take").ok("Storage");
  paths["/prax/v1/audit"]["get"] =
      Operation("getAudit", "The audit log")
          .parameter(number_parameter("after", "The last sequence number seen.", 0, INT64_MAX, 0))
          .parameter(number_parameter("limit", "Entries on a page.", 1, 1000, 100))
          .ok("AuditList");
}

void add_operations(json& paths) {
  paths["/healthz"]["get"] = Operation("getHealth", "The process answers").open().ok("Status");
  Operation ready("getReadiness", "Requests can be served");
  ready.open().ok("Readiness").answer(503, "application/json", schema_ref("Readiness"), "They cannot.");
  paths["/readyz"]["get"] = ready;
  paths["/metrics"]["get"] = Operation("getMetrics", "Prometheus metrics, for programs of this machine or admin keys")
                                 .answer(200, "text/plain", {{"type", "string"}}, "Text format 0.0.4.");
  paths["/openapi.json"]["get"] = Operation("getOpenapi", "This document")
                                      .open()
                                      .answer(200, "application/json", {{"type", "object"}}, "OpenAPI 3.1.");
}

}  // namespace

json openapi_document(const Settings& settings, const jobs::ModelCatalog& catalog) {
  json paths = json::object();
  add_video_paths(paths);
  add_models(paths);
  add_webhooks(paths);
  add_own(paths);
  add_operations(paths);
  add_studio_paths(paths);
  return {{"openapi", "3.1.0"},
          {"info",
           {{"title", "Praxinoscope"},
            {"version", version()},
            {"summary", "The Videos API on your own machine"},
            {"license", {{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
          {"security", {{{"key", json::array()}}, {{"session", json::array()}}}},
          {"paths", paths},
          {"components",
           {{"securitySchemes",
             {{"key", {{"type", "http"}, {"scheme", "bearer"}}},
              {"session",
               {{"type", "apiKey"},
                {"in", "cookie"},
                {"name", "prax_session_" + std::to_string(settings.port)},
                {"description", "Of a browser that is signed in; the name has the server's port."}}}}},
            {"schemas", openapi_schemas(settings, catalog)}}}};
}

}  // namespace prax::server
