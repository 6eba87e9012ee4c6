#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace prax::checkpoint {

//! Text from a file as it may stand in a message: in single quotes, control characters escaped, cut when long.
std::string in_quotes(std::string_view text, size_t longest = 120);

//! Parses a JSON text. Error(checkpoint) says where (line and column) `origin` is broken. Nesting deeper than 64 is
//! refused. The NaN, Infinity and -Infinity that Python's json module writes become strings of that spelling, which
//! Config::get reads as numbers.
nlohmann::json parse_json(std::string_view text, const std::string& origin);

//! Reads and parses a JSON file of at most 64 MiB. Error(checkpoint) when it is missing, no regular file or broken;
//! Error(io) when it cannot be read.
nlohmann::json read_json(const std::filesystem::path& file);

}  // namespace prax::checkpoint
