#pragma once

#include <filesystem>
#include <string>
#include <vector>

//! How this room's errors speak of files and of names from them.
namespace prax::checkpoint {

constexpr const char* download_again = "download the file again";

//! The path in quotes.
std::string named(const std::filesystem::path& path);

//! 'a', 'b' and 3 more
std::string list_of(const std::vector<std::string>& names, size_t shown = 5);

//! Error(checkpoint): the file `what`.
[[noreturn]] void broken(const std::filesystem::path& path, const std::string& what,
                         const std::string& hint = download_again);

}  // namespace prax::checkpoint
