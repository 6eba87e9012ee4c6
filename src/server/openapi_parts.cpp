#include "server/openapi_parts.h"

#include <algorithm>

namespace prax::server {

using nlohmann::json;

namespace {

const char* describe(int status) {
  switch (status) {
    case 400:
      return "A field, parameter or body that cannot be; `error.param` names it.";
    case 401:
      return "No key, or one that is unknown, revoked or expired.";
    case 403:
      return "The key lacks the scope or the model.";
    case 404:
      return "There is no such thing, or it belongs to another key.";
    case 405:
      return "The address has no such method.";
    case 408:
      return "The body came too slowly.";
    case 409:
      return "The state does not allow it; trying again does not help.";
    case 410:
      return "The video has expired.";
    case 412:
      return "The file is another one than If-Match names.";
    case 413:
      return "The body is too large.";
    case 415:
      return "The body is neither JSON nor multipart.";
    case 416:
      return "The range lies outside of the file.";
    case 421:
      return "Without a key only the names of this machine are answered.";
    case 422:
      return "It can be understood, but not be done.";
    case 429:
      return "Too many requests or jobs for this key, or too many wrong ones; see retry-after.";
    case 431:
      return "The request's header is too large.";
    case 503:
      return "The server is full, stopping, or waits for its database; see retry-after.";
    case 507:
      return "There is no room to store it.";
    default:
      return "An error.";
  }
}

}  // namespace

json schema_ref(const std::string& schema) { return {{"$ref", "#/components/schemas/" + schema}}; }

json path_parameter(const char* name, const char* help) {
  return {{"name", name},
          {"in", "path"},
          {"required", true},
          {"description", help},
          {"schema", {{"type", "string"}, {"minLength", 1}}}};
}

json query_parameter(const char* name, const char* help, const json& schema) {
  return {{"name", name}, {"in", "query"}, {"required", false}, {"description", help}, {"schema", schema}};
}

json number_parameter(const char* name, const char* help, int64_t least, int64_t most, int64_t usual) {
  return query_parameter(name, help, {{"type", "integer"}, {"minimum", least}, {"maximum", most}, {"default", usual}});
}

Operation::Operation(const char* id, const char* summary) : json_{{"operationId", id}, {"summary", summary}} {
  errors({400, 401, 403, 421, 429, 431, 503});
}

Operation& Operation::open() {
  json_["security"] = json::array();
  for (const char* status : {"401", "403", "421", "429"}) json_["responses"].erase(status);
  return *this;
}

Operation& Operation::parameter(json parameter) {
  json_["parameters"].push_back(std::move(parameter));
  return *this;
}

Operation& Operation::body(const std::string& schema, bool as_json, bool as_multipart, bool required) {
  json& body = json_["requestBody"];
  body["required"] = required;
  if (as_json) body["content"]["application/json"]["schema"] = schema_ref(schema);
  if (as_multipart) body["content"]["multipart/form-data"]["schema"] = schema_ref(as_json ? schema + "Form" : schema);
  return errors({408, 413, 415});
}

Operation& Operation::ok(const std::string& schema, const char* description) {
  return answer(200, "application/json", schema_ref(schema), description);
}

Operation& Operation::answer(int status, const std::string& type, const json& schema, const char* description) {
  json& response = json_["responses"][std::to_string(status)];
  response["description"] = description;
  response["content"][type] = schema.is_null() ? json::object() : json{{"schema", schema}};
  return *this;
}

Operation& Operation::plain(int status, const char* description) {
  json_["responses"][std::to_string(status)] = {{"description", description}};
  return *this;
}

Operation& Operation::errors(std::initializer_list<int> statuses) {
  for (const int status : statuses) answer(status, "application/json", schema_ref("Error"), describe(status));
  return *this;
}

namespace schema {

json text() { return {{"type", "string"}}; }
json text(int64_t least, int64_t most) { return {{"type", "string"}, {"minLength", least}, {"maxLength", most}}; }
json constant(const char* value) { return {{"type", "string"}, {"const", value}}; }
json whole() { return {{"type", "integer"}}; }
json whole(int64_t least, int64_t most) { return {{"type", "integer"}, {"minimum", least}, {"maximum", most}}; }
json number() { return {{"type", "number"}}; }
json number(double least, double most) { return {{"type", "number"}, {"minimum", least}, {"maximum", most}}; }
json flag() { return {{"type", "boolean"}}; }
json words(const json& values) { return {{"type", "string"}, {"enum", values}}; }
json any_object() { return {{"type", "object"}}; }
json file() { return {{"type", "string"}, {"format", "binary"}}; }
json list_of(const json& element) { return {{"type", "array"}, {"items", element}}; }
json nullable(json schema) {
  if (schema["type"].is_array()) return schema;
  schema["type"] = json::array({schema["type"], "null"});
  return schema;
}

//! What the server answers: every property is there. More may come in later versions.
json answer(const json& properties) {
  json required = json::array();
  for (const auto& [name, schema] : properties.items()) required.push_back(name);
  return {{"type", "object"}, {"properties", properties}, {"required", required}};
}

//! What the server takes: nothing but these.
json form_request(const json& properties, const json& required) {
  return {{"type", "object"}, {"properties", properties}, {"required", required}, {"additionalProperties", false}};
}

//! The same in JSON, where a null is as good as nothing.
json request(json properties, const json& required) {
  for (auto& [name, schema] : properties.items()) {
    if (std::find(required.begin(), required.end(), name) != required.end()) continue;
    if (schema.contains("type") && schema["type"].is_array()) continue;  // taken from another request
    if (schema.contains("type")) schema = nullable(schema);
    if (schema.contains("enum")) schema["enum"].push_back(nullptr);
    if (schema.contains("anyOf")) schema["anyOf"].push_back({{"type", "null"}});
  }
  return form_request(properties, required);
}

json list_answer(const char* element) {
  return answer({{"object", constant("list")},
                 {"data", list_of(schema_ref(element))},
                 {"first_id", nullable(text())},
                 {"last_id", nullable(text())},
                 {"has_more", flag()}});
}

json model_names(const jobs::ModelCatalog& catalog) {
  json models = json::array();
  for (const auto* model : catalog.models()) models.push_back(model->name);
  for (const auto& [alias, name] : catalog.aliases()) models.push_back(alias);
  return models;
}

}  // namespace schema

}  // namespace prax::server
