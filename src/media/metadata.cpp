#include "media/metadata.h"

extern "C" {
#include <libavutil/crc.h>
}

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace prax::media {

namespace {

using Json = nlohmann::json;
constexpr std::string_view settings_prefix = "prax:";
constexpr size_t longest_keyword = 79;

void append(std::vector<uint8_t>& bytes, std::string_view text) { bytes.insert(bytes.end(), text.begin(), text.end()); }

void append_u32(std::vector<uint8_t>& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t read_u32(std::span<const uint8_t> bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

void append_chunk(std::vector<uint8_t>& png, std::string_view type, std::span<const uint8_t> data) {
  append_u32(png, static_cast<uint32_t>(data.size()));
  const size_t begin = png.size();
  append(png, type);
  png.insert(png.end(), data.begin(), data.end());
  const uint32_t crc = av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), ~0u, png.data() + begin, png.size() - begin) ^ ~0u;
  append_u32(png, crc);
}

// A keyword is 1 to 79 printable Latin-1 characters without outer or double spaces; we keep to ASCII without spaces.
std::string keyword(std::string text) {
  for (char& c : text) {
    if (c <= ' ' || c > '~') c = '_';
  }
  return text.substr(0, longest_keyword);
}

void append_text_chunk(std::vector<uint8_t>& png, const std::string& key, const std::string& text) {
  std::vector<uint8_t> data;
  append(data, keyword(key));
  // End of keyword, not compressed, method 0, no language, no translated keyword.
  data.insert(data.end(), {0, 0, 0, 0, 0});
  append(data, clean_text(text));
  append_chunk(png, "iTXt", data);
}

std::string escape_xml(const std::string& text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        // XML 1.0 has no way to write the other control characters.
        if (static_cast<unsigned char>(c) >= ' ' || c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

std::string unescape_xml(std::string_view text) {
  static constexpr std::pair<std::string_view, char> entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}};
  std::string out;
  while (!text.empty()) {
    const auto* found = std::find_if(std::begin(entities), std::end(entities),
                                     [&](const auto& entity) { return text.starts_with(entity.first); });
    const bool escaped = found != std::end(entities);
    out += escaped ? found->second : text.front();
    text.remove_prefix(escaped ? found->first.size() : 1);
  }
  return out;
}

}  // namespace

std::string title_of(const Metadata& metadata) {
  for (const char* key : {"title", "prompt"}) {
    if (auto found = metadata.find(key); found != metadata.end() && !found->second.empty()) {
      return clean_text(found->second);
    }
  }
  return {};
}

std::string clean_text(const std::string& text) {
  std::string out = Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace)).get<std::string>();
  std::erase(out, '\0');
  return out;
}

std::string to_json(const Metadata& metadata) {
  return Json(metadata).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::optional<Metadata> from_json(std::string_view json) {
  const Json object = Json::parse(json, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Metadata metadata;
  for (const auto& [key, value] : object.items()) {
    metadata[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return metadata;
}

std::vector<uint8_t> png_with_text(std::span<const uint8_t> png, const Metadata& metadata) {
  constexpr size_t header_end = 8 + 12 + 13;  // signature, and IHDR with its length, type and checksum
  if (png.size() < header_end || std::memcmp(png.data(), png_signature.data(), png_signature.size()) != 0) {
    throw Error(ErrorKind::internal, "the PNG encoder made something that is no PNG");
  }
  std::vector<uint8_t> out(png.begin(), png.begin() + header_end);
  append_text_chunk(out, "Software", writing_program);
  if (const std::string title = title_of(metadata); !title.empty()) append_text_chunk(out, "Title", title);
  for (const auto& [key, text] : metadata) append_text_chunk(out, std::string(settings_prefix) + key, text);
  out.insert(out.end(), png.begin() + header_end, png.end());
  return out;
}

Metadata png_text(std::span<const uint8_t> png) {
  Metadata texts;
  if (png.size() < 8 || std::memcmp(png.data(), png_signature.data(), png_signature.size()) != 0) return texts;
  png = png.subspan(8);
  while (png.size() >= 12) {
    const size_t length = read_u32(png);
    if (length > png.size() - 12) break;
    const std::string_view type(reinterpret_cast<const char*>(png.data()) + 4, 4);
    std::string_view data(reinterpret_cast<const char*>(png.data()) + 8, length);
    const size_t end = data.find('\0');
    if ((type == "tEXt" || type == "iTXt") && end != std::string_view::npos) {
      const std::string key(data.substr(0, end));
      data.remove_prefix(end + 1);
      if (type == "tEXt") {
        texts[key] = data;
      } else if (data.size() >= 2 && data[0] == 0) {
        const size_t language_end = data.find('\0', 2);
        const size_t translated_end =
            language_end == std::string_view::npos ? language_end : data.find('\0', language_end + 1);
        if (translated_end != std::string_view::npos) texts[key] = data.substr(translated_end + 1);
      }
    }
    png = png.subspan(12 + length);
  }
  return texts;
}

std::vector<uint8_t> gif_comment(const std::string& text) {
  constexpr size_t block = 255;
  std::vector<uint8_t> bytes = {0x21, 0xfe};
  for (size_t i = 0; i < text.size(); i += block) {
    const std::string part = text.substr(i, block);
    bytes.push_back(static_cast<uint8_t>(part.size()));
    append(bytes, part);
  }
  bytes.push_back(0);
  return bytes;
}

std::string to_xmp(const Metadata& metadata) {
  std::string xmp =
      "<?xpacket begin=\"\xef\xbb\xbf\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>"
      "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
      "<rdf:Description rdf:about=\"\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\""
      " xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:prax=\"urn:praxinoscope:settings:1\">"
      "<xmp:CreatorTool>" +
      std::string(writing_program) + "</xmp:CreatorTool>";
  if (const std::string title = title_of(metadata); !title.empty()) {
    xmp += "<dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">" + escape_xml(title) + "</rdf:li></rdf:Alt></dc:title>";
  }
  xmp += "<prax:settings>" + escape_xml(to_json(metadata)) +
         "</prax:settings></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end=\"r\"?>";
  return xmp;
}

std::optional<Metadata> from_xmp(std::string_view xmp) {
  constexpr std::string_view open = "<prax:settings>";
  const size_t begin = xmp.find(open);
  const size_t end = xmp.find("</prax:settings>");
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return std::nullopt;
  return from_json(unescape_xml(xmp.substr(begin + open.size(), end - begin - open.size())));
}

}  // namespace prax::media
