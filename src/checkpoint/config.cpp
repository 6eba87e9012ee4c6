#include "checkpoint/config.h"

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

Config::Config(nlohmann::json values, std::string origin) : values_(std::move(values)), origin_(std::move(origin)) {
  if (!values_.is_object())
    throw Error(ErrorKind::checkpoint,
                (origin_.empty() ? std::string("the configuration") : in_quotes(origin_, 400)) +
                    " is not a JSON object but " + values_.type_name(),
                "a configuration looks like {\"num_layers\": 28, ...}; download the file again");
}

Config Config::read(const std::filesystem::path& file) { return Config(read_json(file), file.string()); }

bool Config::has(const std::string& key) const {
  const auto it = values_.find(key);
  return it != values_.end() && !it->is_null();
}

std::string Config::class_name() const {
  if (has("_class_name")) return get<std::string>("_class_name", "");
  const auto architectures = get<std::vector<std::string>>("architectures", {});
  return architectures.empty() ? "" : architectures.front();
}

void Config::refuse(const std::string& what, const std::string& hint) const {
  throw Error(ErrorKind::checkpoint, origin_ + ": " + what, hint);
}

void Config::wrong_type(const std::string& key, const std::string& expected) const {
  const std::string text = values_.at(key).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  throw Error(ErrorKind::checkpoint,
              in_quotes(key) + (origin_.empty() ? "" : " in " + in_quotes(origin_, 400)) + " is " +
                  (text.size() > 80 ? text.substr(0, 80) + "..." : text) + " where " + expected + " is needed",
              "compare the file with the published one, or download it again");
}

}  // namespace prax::checkpoint
