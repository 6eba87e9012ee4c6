#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prax {

using Digest = std::array<uint8_t, 32>;

Digest sha256(std::string_view bytes);
Digest hmac_sha256(std::string_view key, std::string_view bytes);

//! SHA-256 of bytes that come in pieces.
class Sha256 {
public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(std::span<const uint8_t> bytes);
  Sha256& add(std::string_view bytes);
  Digest finish();

private:
  struct State;
  std::unique_ptr<State> state_;
};

//! Of a file's bytes. Error(io).
Digest sha256_of_file(const std::filesystem::path& file);

//! CRC-32 of ISO 3309, as in PNG and ZIP: polynomial 0xedb88320, reflected.
uint32_t crc32(std::string_view bytes);

std::string hex(std::span<const uint8_t> bytes);  //!< lower case
std::string base64(std::string_view bytes);       //!< with padding
//! Bytes of a padded base64 text; "" for what is none.
std::string from_base64(std::string_view text);

//! From the system's generator. Error(internal) when it fails.
std::vector<uint8_t> random_bytes(size_t count);
std::string random_hex(size_t bytes);

//! Compares in a time that does not depend on where the texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace prax
