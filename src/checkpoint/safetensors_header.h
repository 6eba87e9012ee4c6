#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "checkpoint/safetensors.h"

namespace prax::checkpoint {

//! The format's limit, MAX_HEADER_SIZE of https://github.com/huggingface/safetensors.
constexpr uint64_t largest_header = 100'000'000;

//! What the JSON header of a safetensors file says.
struct SafetensorsHeader {
  std::map<std::string, SafetensorsFile::Entry> entries;
  std::map<std::string, std::string> metadata;
};

//! Reads the header and holds it against the size of the data section that follows it. Throws Error(checkpoint) that
//! begins with the file's name `origin`. Streams: memory grows with what is kept, never with nesting or list lengths.
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_bytes, const std::string& origin);

}  // namespace prax::checkpoint
