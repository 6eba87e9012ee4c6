#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace prax::media {

constexpr std::string_view png_signature("\x89PNG\r\n\x1a\n", 8);

//! Texts that travel with a file: key -> text.
using Metadata = std::map<std::string, std::string>;

//! What we call ourselves in the files that we write.
inline constexpr const char* writing_program = "Praxinoscope";

//! What a player shows as the title: the entry "title", else "prompt", else nothing.
std::string title_of(const Metadata& metadata);

//! Bytes that are no UTF-8 replaced, zero bytes dropped.
std::string clean_text(const std::string& text);

//! One JSON object of texts, in ASCII (everything else escaped), so that any container can hold it.
std::string to_json(const Metadata& metadata);
//! The reverse; nullopt when it is no JSON object. Values that are no texts come as their JSON.
std::optional<Metadata> from_json(std::string_view json);

//! A PNG with one iTXt chunk "prax:KEY" an entry, "Title" if there is one (title_of()), and "Software", put after its
//! header (PNG specification, 3rd edition, 11.3.3.4). Keys are cut to what a keyword may be.
std::vector<uint8_t> png_with_text(std::span<const uint8_t> png, const Metadata& metadata);
//! The iTXt (uncompressed) and tEXt entries by keyword.
Metadata png_text(std::span<const uint8_t> png);

//! GIF89a comment extension (section 24).
std::vector<uint8_t> gif_comment(const std::string& text);

//! An XMP packet with the settings as JSON and the title, for WebP's "XMP " chunk.
std::string to_xmp(const Metadata& metadata);
//! The settings of a packet made by to_xmp().
std::optional<Metadata> from_xmp(std::string_view xmp);

}  // namespace prax::media
