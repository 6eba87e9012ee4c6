#include "server/catalog.h"

#include "base/paths.h"

namespace prax::server {

jobs::ModelCatalog make_catalog(const Settings& settings) {
  auto catalog = jobs::ModelCatalog::embedded();
  for (const auto& [name, folder] : settings.models) catalog.add(name, resolve_model(folder), settings.dtype);
  for (const auto& [alias, model] : settings.aliases) catalog.alias(alias, model);
  for (const auto& [name, file] : settings.loras) catalog.add_lora(name, resolve_model(file));
  if (!settings.upscaler.empty()) catalog.set_upscaler(settings.upscaler);
  return catalog;
}

}  // namespace prax::server
