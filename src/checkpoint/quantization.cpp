#include "checkpoint/quantization.h"

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

namespace {

constexpr const char* scale_suffix = "_scale";
constexpr const char* format_key = "prax.quantization";
constexpr const char* version_key = "prax.quantization.version";
constexpr const char* format = "int8-rows";
constexpr const char* version = "1";

}  // namespace

std::string scale_name(const std::string& weight) { return weight + scale_suffix; }

std::string scaled_name(const std::string& scale) {
  return scale.substr(0, scale.size() - std::string_view(scale_suffix).size());
}

std::map<std::string, std::string> quantization_metadata() {
  return {{"format", "pt"}, {format_key, format}, {version_key, version}};
}

void require_known_quantization(const std::map<std::string, std::string>& metadata, const std::string& origin) {
  const auto found = metadata.find(format_key);
  if (found == metadata.end()) return;
  const auto at = metadata.find(version_key);
  const std::string has = at == metadata.end() ? "" : at->second;
  if (found->second == format && has == version) return;
  throw Error(ErrorKind::checkpoint,
              in_quotes(origin, 400) + " is quantized as " + in_quotes(found->second, 40) + " version " +
                  in_quotes(has, 40) + ", which this version of prax does not know",
              "use a newer prax, or quantize the original again with this one");
}

}  // namespace prax::checkpoint
