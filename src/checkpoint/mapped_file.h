#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

namespace prax::checkpoint {

//! A file's bytes in memory, paged in as they are read, for as long as `memory` is held.
struct MappedFile {
  std::shared_ptr<const void> memory;
  std::string_view bytes;
};

//! `format` is what the file should be, for messages: "safetensors file". Error(io) when it cannot be opened,
//! Error(checkpoint) when it is empty or no regular file, Error(resource) when there is no room for it.
MappedFile map_file(const std::filesystem::path& path, std::string_view format);

}  // namespace prax::checkpoint
