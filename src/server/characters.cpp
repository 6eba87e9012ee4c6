#include "server/characters.h"

#include <algorithm>
#include <string>

#include "text/normalization.h"

namespace prax::server {
namespace {

//! Of scripts that have spaces between words. Names in others stand where they stand.
bool is_of_word(char32_t c) {
  constexpr char32_t first_without_spaces = 0x2E80;  // CJK Radicals, and what follows
  return c < first_without_spaces && (text::is_letter(c) || text::is_number(c) || c == U'_');
}

bool stands_at(std::u32string_view prompt, size_t at, std::u32string_view name) {
  if (name.empty() || prompt.substr(at, name.size()) != name) return false;
  const size_t end = at + name.size();
  const bool joined_before = at > 0 && is_of_word(prompt[at - 1]) && is_of_word(name.front());
  const bool joined_after = end < prompt.size() && is_of_word(prompt[end]) && is_of_word(name.back());
  return !joined_before && !joined_after;
}

}  // namespace

std::vector<jobs::Character> named_characters(std::string_view prompt, const std::vector<jobs::Character>& known) {
  const std::u32string text = text::compose(text::code_points(prompt));
  struct Name {
    std::u32string text;
    const jobs::Character* who;
  };
  std::vector<Name> names;
  for (const jobs::Character& character : known)
    for (const std::string& name : {character.name, character.id})
      names.push_back({text::compose(text::code_points(name)), &character});
  std::stable_sort(names.begin(), names.end(),
                   [](const Name& a, const Name& b) { return a.text.size() > b.text.size(); });
  std::vector<jobs::Character> found;
  for (size_t at = 0; at < text.size();) {
    const auto name =
        std::find_if(names.begin(), names.end(), [&](const Name& n) { return stands_at(text, at, n.text); });
    if (name == names.end()) {
      ++at;
      continue;
    }
    at += name->text.size();
    if (std::none_of(found.begin(), found.end(), [&](const auto& c) { return c.id == name->who->id; }))
      found.push_back(*name->who);
  }
  return found;
}

}  // namespace prax::server
