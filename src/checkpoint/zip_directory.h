#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace prax::checkpoint {

//! The stored (uncompressed) files of a zip archive in memory: names to their bytes. Everything is checked before it is
//! used: the central directory and the local headers in bounds and of one mind, names unique, no compression, no
//! encryption, no overlap. Reads ZIP64. Error(checkpoint) that begins with the archive's name `origin`.
//! Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
std::map<std::string, std::string_view> read_zip_directory(std::string_view archive, const std::string& origin);

}  // namespace prax::checkpoint
