#include "jobs/key.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/hash.h"

namespace prax::jobs {

namespace {

constexpr std::array<std::pair<Scope, std::string_view>, 4> scope_names{
    {{Scope::create, "create"}, {Scope::read, "read"}, {Scope::remove, "delete"}, {Scope::admin, "admin"}}};

constexpr std::string_view prefix = "prax-";
constexpr std::string_view digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr size_t secret_bytes = 32;
constexpr size_t secret_digits = 43;   // 62^43 > 2^256
constexpr size_t checksum_digits = 6;  // 62^6 > 2^32

//! A big-endian number in base 62, with leading zeros.
std::string base62(std::vector<uint8_t> number, size_t length) {
  std::string text(length, '0');
  for (size_t place = length; place-- > 0;) {
    unsigned remainder = 0;
    for (uint8_t& byte : number) {
      const unsigned value = remainder * 256 + byte;
      byte = static_cast<uint8_t>(value / digits.size());
      remainder = static_cast<unsigned>(value % digits.size());
    }
    text[place] = digits[remainder];
  }
  return text;
}

std::string checksum(std::string_view text) {
  const uint32_t crc = crc32(text);
  return base62({static_cast<uint8_t>(crc >> 24), static_cast<uint8_t>(crc >> 16), static_cast<uint8_t>(crc >> 8),
                 static_cast<uint8_t>(crc)},
                checksum_digits);
}

}  // namespace

std::string names_of(Scope scopes) {
  std::string names;
  for (const auto& [scope, name] : scope_names)
    if (has(scopes, scope)) names += (names.empty() ? "" : ",") + std::string(name);
  return names;
}

Scope scopes_named(std::string_view list) {
  Scope scopes = Scope::none;
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    const std::string_view wanted = list.substr(0, comma);
    const auto* const known =
        std::find_if(scope_names.begin(), scope_names.end(), [&](const auto& entry) { return entry.second == wanted; });
    if (known == scope_names.end())
      throw Error(ErrorKind::usage, "'" + std::string(wanted) + "' is no scope of a key",
                  "use create, read, delete and admin, with commas between");
    scopes = scopes | known->first;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return scopes;
}

bool Key::may_use(std::string_view model) const {
  return models.empty() || std::find(models.begin(), models.end(), model) != models.end();
}

std::string new_secret() {
  const std::string text = std::string(prefix) + base62(random_bytes(secret_bytes), secret_digits);
  return text + checksum(text);
}

bool is_well_formed_secret(std::string_view secret) {
  if (secret.size() != prefix.size() + secret_digits + checksum_digits || !secret.starts_with(prefix)) return false;
  if (secret.substr(prefix.size()).find_first_not_of(digits) != std::string_view::npos) return false;
  const size_t signed_part = secret.size() - checksum_digits;
  return secret.substr(signed_part) == checksum(secret.substr(0, signed_part));
}

// One round of SHA-256 without salt is right here and would be wrong for passwords: slow hashes and salts protect
// secrets that can be guessed, and nobody guesses 256 random bits. A fast hash lets every request be checked.
std::string hash_of_secret(std::string_view secret) { return hex(sha256(secret)); }

}  // namespace prax::jobs
