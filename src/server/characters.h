#pragma once

#include <string_view>
#include <vector>

#include "jobs/job.h"

namespace prax::server {

//! Which of the characters a prompt names, in the order of their first mention: by name, written as it was given and
//! not as a part of another word ("Ann" is not in "Annex"), or by id, with or without an @ before it. Where several
//! names fit, the longest one is meant; of characters with one name the first of the list.
std::vector<jobs::Character> named_characters(std::string_view prompt, const std::vector<jobs::Character>& known);

}  // namespace prax::server
