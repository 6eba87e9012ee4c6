#pragma once

#include "jobs/model_catalog.h"
#include "server/settings.h"

namespace prax::server {

//! The embedded model and the models, aliases and LoRAs of the settings. Error(checkpoint) for a folder that is no
//! model, Error(usage) for names that cannot be.
jobs::ModelCatalog make_catalog(const Settings& settings);

}  // namespace prax::server
