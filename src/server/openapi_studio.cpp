#include "server/openapi_parts.h"

namespace prax::server {

using nlohmann::json;
using namespace schema;

namespace {

const json text_value = {{"type", "string"}};

void add_library_paths(json& paths) {
  const json video_id = path_parameter("video_id", "A video's id.");
  const json switch_value = {{"type", "string"}, {"enum", {"true", "false"}}};
  paths["/prax/v1/library"]["get"] =
      Operation("searchLibrary", "The caller's videos, searched and sorted")
          .parameter(query_parameter("q", "Words that prompt, title, id or settings hold.", text(0, 500)))
          .parameter(query_parameter("folder", "A folder's name; empty for what is in none.", text_value))
          .parameter(query_parameter("favourite", "Favourites alone, or the others.", switch_value))
          .parameter(query_parameter("model", "A model's own name.", text_value))
          .parameter(query_parameter("status", "A status.", words({"queued", "in_progress", "completed", "failed"})))
          .parameter(
              query_parameter("kind", "A kind.",
                              words({"create", "remix", "edit", "extension", "cut", "blend", "upscale", "storyboard"})))
          .parameter(query_parameter("order", "By time of creation.", words({"newest", "oldest"})))
          .parameter(query_parameter("after", "The last id of the page before.", text_value))
          .parameter(number_parameter("limit", "Videos on a page.", 1, 200, 50))
          .ok("Library", "A page.");
  const std::string video = "/prax/v1/videos/{video_id}";
  paths[video]["patch"] = Operation("noteVideo", "Name a video, favour it, put it into a folder")
                              .parameter(video_id)
                              .body("NoteVideo", true, false)
                              .ok("Video")
                              .errors({404, 507});
  paths[video + "/family"]["get"] = Operation("getFamily", "What a video came from, and what came from it")
                                        .parameter(video_id)
                                        .ok("Family")
                                        .errors({404});
  Operation download("downloadAs", "A video as a file to keep, with its settings inside");
  download.parameter(video_id)
      .parameter(query_parameter("format", "png is a ZIP file of frames.", words({"mp4", "webm", "gif", "png"})))
      .errors({404, 410, 412, 416, 507})
      .answer(202, "application/json", schema_ref("Conversion"), "It is being made: ask again after Retry-After.")
      .plain(304, "The client has it.");
  for (const int status : {200, 206})
    for (const char* type : {"video/mp4", "video/webm", "image/gif", "application/zip"})
      download.answer(status, type, {}, status == 200 ? "The file." : "The part that Range asks for.");
  paths[video + "/download"]["get"] = download;
  paths[video + "/conversions"]["post"] =
      Operation("convertVideo", "Make a video in another format, or ask where that stands")
          .parameter(video_id)
          .body("ConvertVideo", true, false)
          .ok("Conversion")
          .errors({404, 410, 507});
  const json preset_id = path_parameter("preset_id", "A preset's id.");
  paths["/prax/v1/presets"]["get"] = Operation("listPresets", "The caller's presets").ok("PresetList");
  paths["/prax/v1/presets"]["post"] = Operation("createPreset", "Keep settings under a name")
                                          .body("CreatePreset", true, false)
                                          .ok("Preset")
                                          .errors({409, 507});
  paths["/prax/v1/presets/{preset_id}"]["patch"] = Operation("changePreset", "Change a preset")
                                                       .parameter(preset_id)
                                                       .body("ChangePreset", true, false)
                                                       .ok("Preset")
                                                       .errors({404, 507});
  paths["/prax/v1/presets/{preset_id}"]["delete"] =
      Operation("deletePreset", "Delete a preset").parameter(preset_id).ok("PresetDeleted").errors({404, 413});
}

void add_making_paths(json& paths) {
  paths["/prax/v1/models"]["get"] = Operation("describeModels", "What each model does and takes").ok("ModelDetails");
  paths["/prax/v1/estimate"]["post"] =
      Operation("estimateVideo", "Time and memory that a video would take; nothing is made")
          .body("EstimateVideo", true, false)
          .ok("Estimate")
          .errors({404, 507});
  const auto making = [&](const char* path, const char* id, const char* summary, const char* request,
                          const char* answer) {
    paths[path]["post"] = Operation(id, summary).body(request, true, false).ok(answer).errors({404, 409, 507});
  };
  making("/prax/v1/videos/cut", "cutVideos", "Trim, re-cut and join videos", "CutVideos", "Video");
  making("/prax/v1/videos/blend", "blendVideos", "Lead from one video to another", "BlendVideos", "Video");
  making("/prax/v1/videos/upscale", "upscaleVideo", "Enlarge a video", "UpscaleVideo", "Video");
  making("/prax/v1/storyboards", "createStoryboard", "Make shots and join them", "CreateStoryboard", "Storyboard");
}

void add_library_schemas(json& schemas) {
  json library = list_answer("LiveVideo");
  library["properties"]["total"] = whole();
  library["properties"]["folders"] = list_of(answer({{"name", text()}, {"count", whole()}}));
  library["required"].push_back("total");
  library["required"].push_back("folders");
  schemas["Library"] = library;
  json live = schemas["Video"];
  const json more = answer({{"stage", text()},
                            {"step", whole()},
                            {"steps_of_stage", whole()},
                            {"seconds_left", nullable(number())},
                            {"preview", nullable(text())}});
  live["properties"].update(more["properties"]);
  for (const json& name : more["required"]) live["required"].push_back(name);
  schemas["LiveVideo"] = live;
  schemas["NoteVideo"] =
      request({{"title", text(0, 200)}, {"folder", text(0, 100)}, {"favourite", flag()}}, json::array());
  schemas["Family"] =
      answer({{"object", constant("prax.family")},
              {"root", text()},
              {"videos", list_of({{"anyOf", {schema_ref("Video"), answer({{"id", text()}, {"deleted", flag()}})}}})},
              {"edges", list_of(answer({{"from", text()}, {"to", text()}, {"kind", text()}}))}});
  schemas["ConvertVideo"] = request({{"format", words({"webm", "gif", "png"})}}, {"format"});
  schemas["Conversion"] = answer({{"object", constant("prax.conversion")},
                                  {"video_id", text()},
                                  {"format", words({"webm", "gif", "png"})},
                                  {"status", words({"making", "ready", "failed"})},
                                  {"progress", whole()},
                                  {"bytes", nullable(whole())},
                                  {"error", nullable(answer({{"code", text()}, {"message", text()}}))}});
  schemas["Preset"] = answer({{"id", text()},
                              {"object", constant("prax.preset")},
                              {"name", text()},
                              {"settings", any_object()},
                              {"created_at", whole()}});
  schemas["PresetList"] = answer({{"object", constant("list")}, {"data", list_of(schema_ref("Preset"))}});
  schemas["PresetDeleted"] = answer({{"id", text()}, {"object", constant("prax.preset.deleted")}, {"deleted", flag()}});
  const json preset{{"name", text(1, 100)}, {"settings", any_object()}};
  schemas["CreatePreset"] = request(preset, {"name", "settings"});
  schemas["ChangePreset"] = request({{"name", text(1, 100)}, {"settings", any_object()}}, json::array());
}

void add_making_schemas(json& schemas, const Settings& settings, const jobs::ModelCatalog& catalog) {
  const double most = settings.max_seconds;
  constexpr double longest_crossfade = 10;
  const json id = text(1, 200), title = text(0, 200);
  json parts = list_of(request({{"video", id},
                                {"start", number(0, most)},
                                {"end", number(0, most)},
                                {"crossfade", number(0, longest_crossfade)}},
                               {"video"}));
  parts["minItems"] = 1;
  parts["maxItems"] = 64;
  schemas["CutVideos"] = request({{"parts", parts}, {"title", title}}, {"parts"});
  // The fields that blends and storyboards share with other ways of making a video.
  json common = json::object();
  for (const char* name : {"model", "negative_prompt", "seed", "steps", "guidance_scale", "strength", "dtype", "loras",
                           "extra_params", "priority", "webhook_url", "metadata"})
    common[name] = schemas["CreateVideo"]["properties"][name];
  common["title"] = title;
  common["prompt"] = text(0, 32000);
  json blend = common;
  blend["first"] = blend["second"] = id;
  blend["seconds"] = number(0.01, longest_crossfade);
  schemas["BlendVideos"] = request(blend, {"first", "second", "seconds"});
  schemas["UpscaleVideo"] = request({{"video", id}, {"factor", whole(2, 4)}, {"title", title}}, {"video"});
  json board = common;
  board["size"] = schemas["CreateVideo"]["properties"]["size"];
  board["fps"] = number(1, 120);
  json cards = list_of(request({{"prompt", text(0, 32000)},
                                {"image", text(1, 20971520)},
                                {"video", id},
                                {"seconds", number(0.01, most)},
                                {"join", words({"auto", "cut"})}},
                               json::array()));
  cards["minItems"] = 1;
  cards["maxItems"] = 32;
  board["cards"] = cards;
  schemas["CreateStoryboard"] = request(board, {"cards"});
  const json video{{"anyOf", {schema_ref("Video"), schema_ref("VideoDeleted")}}};
  schemas["Storyboard"] = answer({{"id", text()},
                                  {"object", constant("prax.storyboard")},
                                  {"video", schema_ref("Video")},
                                  {"cards", list_of(answer({{"video", video}, {"joined_by", nullable(text())}}))}});
  json estimate = schemas["CreateVideo"];
  estimate["required"] = json::array();
  estimate["properties"]["prompt"] = nullable(text(0, 32000));
  schemas["EstimateVideo"] = estimate;
  schemas["Estimate"] = answer({{"object", constant("prax.estimate")},
                                {"model", text()},
                                {"size", text()},
                                {"frames", whole()},
                                {"fps", number()},
                                {"seconds", number()},
                                {"steps", nullable(whole())},
                                {"expected_seconds", nullable(number())},
                                {"expected_seconds_from", nullable(text())},
                                {"peak_bytes", nullable(whole())},
                                {"memory_bytes", whole()},
                                {"fits", flag()}});
  const json model = answer({{"id", words(model_names(catalog))},
                             {"family", text()},
                             {"aliases", list_of(text())},
                             {"dtype", text()},
                             {"size_multiple", whole()},
                             {"default_size", text()},
                             {"shapes", list_of(answer({{"name", text()}, {"size", text()}}))},
                             {"frame_group", whole()},
                             {"frame_offset", whole()},
                             {"default_frames", whole()},
                             {"most_frames", whole()},
                             {"most_new_frames", whole()},
                             {"fps", number()},
                             {"most_pixels", whole()},
                             {"default_steps", nullable(whole())},
                             {"default_guidance", nullable(number())},
                             {"can", any_object()},
                             {"weights_bytes", whole()}});
  schemas["ModelDetails"] = answer({{"object", constant("list")}, {"data", list_of(model)}, {"memory_bytes", whole()}});
}

}  // namespace

void add_studio_paths(json& paths) {
  Operation sign_in("signIn", "Sign a browser in, with a key or the token of the address that the server printed");
  sign_in.open().body("SignIn", true, false).ok("Session", "With the cookie.").errors({401, 403, 429, 507});
  paths["/prax/v1/session"]["post"] = sign_in;
  paths["/prax/v1/session"]["get"] = Operation("getSession", "Who this browser is signed in as").ok("Session");
  paths["/prax/v1/session"]["delete"] =
      Operation("signOut", "End the browser's session").plain(204, "The cookie is gone.").errors({413});
  add_library_paths(paths);
  add_making_paths(paths);
}

void add_studio_schemas(json& schemas, const Settings& settings, const jobs::ModelCatalog& catalog) {
  add_library_schemas(schemas);
  add_making_schemas(schemas, settings, catalog);
  schemas["SignIn"] = {
      {"oneOf", {request({{"token", text(1, 200)}}, {"token"}), request({{"key", text(1, 200)}}, {"key"})}}};
  schemas["Session"] = answer({{"object", constant("session")},
                               {"name", text()},
                               {"key_id", text()},
                               {"scopes", list_of(words({"create", "read", "delete", "admin"}))},
                               {"expires_at", nullable(whole())},
                               {"server", answer({{"version", text()}, {"keys_required", flag()}, {"tls", flag()}})}});
}

}  // namespace prax::server
