#include "server/errors.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

json model_object(const std::string& id, const jobs::CatalogModel& model) {
  const pipelines::Limits& limits = model.limits;
  return {{"id", id},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "local"},
          {"resolves_to", model.name},
          {"family", limits.family},
          {"dtype", model.dtype},
          {"defaults",
           {{"size", std::to_string(limits.width) + "x" + std::to_string(limits.height)},
            {"num_frames", limits.frames},
            {"fps", limits.fps}}},
          {"limits",
           {{"size_multiple", limits.size_multiple},
            {"frame_group", limits.frame_group},
            {"frame_offset", limits.frame_offset},
            {"most_frames", limits.most_frames},
            {"most_pixels", limits.most_pixels}}},
          {"capabilities",
           {{"input_reference", limits.takes_picture},
            {"needs_input_reference", limits.needs_picture},
            {"remix", limits.changes_clips},
            {"extensions", limits.extends_clips},
            {"conditions", limits.takes_conditions}}}};
}

Response list_models(const Context& context, const Request& request) {
  const Caller& caller = caller_of(request);
  json data = json::array();
  for (const jobs::CatalogModel* model : context.catalog.models())
    if (caller.may_use(model->name)) data.push_back(model_object(model->name, *model));
  for (const auto& [alias, name] : context.catalog.aliases())
    if (const auto* model = context.catalog.find(name); model && caller.may_use(name))
      data.push_back(model_object(alias, *model));
  return json_response({{"object", "list"}, {"data", data}});
}

Response retrieve_model(const Context& context, const Request& request) {
  const std::string& id = request.capture("model");
  const auto resolved = context.catalog.resolve(id);
  if (!resolved || !caller_of(request).may_use(resolved->model->name)) throw not_found("model", id);
  return json_response(model_object(id, *resolved->model));
}

}  // namespace

void add_model_routes(http::Router& router, const Context& c) {
  router.add({"GET", "/v1/models", [&c](Request& r) { return list_models(c, r); }, {}, scope::any});
  router.add({"GET", "/v1/models/{model}", [&c](Request& r) { return retrieve_model(c, r); }, {}, scope::any});
}

}  // namespace prax::server
