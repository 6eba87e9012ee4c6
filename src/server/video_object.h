#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "http/message.h"
#include "jobs/job.h"
#include "jobs/model_catalog.h"

namespace prax::server {

//! What there is, else null.
template <typename Value>
nlohmann::json or_null(const std::optional<Value>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}
nlohmann::json time_or_null(const std::optional<jobs::Time>& time);  //!< Unix seconds

//! The Videos API's Video, with what this server knows beyond it.
nlohmann::json video_object(const jobs::Job& job);

//! The same with where it stands: stage, step, seconds left, preview. For events.
nlohmann::json live_object(const jobs::Job& job);
//! Of a video that is gone.
nlohmann::json deleted_object(const std::string& id);

//! All that is known of how a video was made.
nlohmann::json provenance_object(const jobs::Job& job);

//! `{"object":"list",...}` with the ids at both ends.
nlohmann::json list_object(const nlohmann::json& data, bool has_more);

//! 200 with a JSON value.
http::Response json_response(const nlohmann::json& value);

}  // namespace prax::server
