#pragma once

#include <nlohmann/json.hpp>

#include "jobs/model_catalog.h"
#include "server/settings.h"

namespace prax::server {

//! The OpenAPI 3.1 document of all routes, with this server's models and limits.
nlohmann::json openapi_document(const Settings& settings, const jobs::ModelCatalog& catalog);

//! Its parts: `components.schemas`, and the schemas of requests.
nlohmann::json openapi_schemas(const Settings& settings, const jobs::ModelCatalog& catalog);

}  // namespace prax::server
