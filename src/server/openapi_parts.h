#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "jobs/model_catalog.h"
#include "server/settings.h"

// What the files that write the OpenAPI document share: words for schemas, and operations under construction.
namespace prax::server {

nlohmann::json schema_ref(const std::string& schema);
nlohmann::json path_parameter(const char* name, const char* help);
nlohmann::json query_parameter(const char* name, const char* help, const nlohmann::json& schema);
nlohmann::json number_parameter(const char* name, const char* help, int64_t least, int64_t most, int64_t usual);

//! An operation under construction.
class Operation {
public:
  Operation(const char* id, const char* summary);
  //! Needs no key.
  Operation& open();
  Operation& parameter(nlohmann::json parameter);
  Operation& body(const std::string& schema, bool as_json, bool as_multipart, bool required = true);
  Operation& ok(const std::string& schema, const char* description = "Done.");
  Operation& answer(int status, const std::string& type, const nlohmann::json& schema, const char* description);
  Operation& plain(int status, const char* description);
  Operation& errors(std::initializer_list<int> statuses);
  operator nlohmann::json() const { return json_; }

private:
  nlohmann::json json_;
};

// Words for schemas.
namespace schema {
nlohmann::json text();
nlohmann::json text(int64_t least, int64_t most);
nlohmann::json constant(const char* value);
nlohmann::json whole();
nlohmann::json whole(int64_t least, int64_t most);
nlohmann::json number();
nlohmann::json number(double least, double most);
nlohmann::json flag();
nlohmann::json words(const nlohmann::json& values);
nlohmann::json any_object();
nlohmann::json file();
nlohmann::json list_of(const nlohmann::json& element);
nlohmann::json nullable(nlohmann::json schema);
//! What the server answers: every property is there. More may come in later versions.
nlohmann::json answer(const nlohmann::json& properties);
//! What the server takes: nothing but these.
nlohmann::json form_request(const nlohmann::json& properties, const nlohmann::json& required);
//! The same in JSON, where a null is as good as nothing.
nlohmann::json request(nlohmann::json properties, const nlohmann::json& required);
nlohmann::json list_answer(const char* element);
//! Names of models and their aliases.
nlohmann::json model_names(const jobs::ModelCatalog& catalog);
}  // namespace schema

//! The studio's part of the document.
void add_studio_paths(nlohmann::json& paths);
void add_studio_schemas(nlohmann::json& schemas, const Settings& settings, const jobs::ModelCatalog& catalog);

}  // namespace prax::server
