#pragma once

#include "http/router.h"
#include "server/context.h"
#include "server/studio_files.h"

namespace prax::server {

// Each adds the routes of one part of the API. The context outlives the router.
void add_video_routes(http::Router& router, const Context& context);
void add_content_routes(http::Router& router, const Context& context);
void add_character_routes(http::Router& router, const Context& context);
void add_model_routes(http::Router& router, const Context& context);
void add_webhook_routes(http::Router& router, const Context& context);
void add_live_routes(http::Router& router, const Context& context);  //!< cancel, events, previews
void add_key_routes(http::Router& router, const Context& context);
void add_library_routes(http::Router& router, const Context& context);  //!< library, families, presets
void add_cut_routes(http::Router& router, const Context& context);      //!< cut, blend, upscale
void add_storyboard_routes(http::Router& router, const Context& context);
void add_planning_routes(http::Router& router, const Context& context);  //!< models in detail, estimates
void add_session_routes(http::Router& router, const Context& context);
//! Pages: every path that no other route has.
void add_studio_routes(http::Router& router, const StudioFiles& files);
void add_operation_routes(http::Router& router, const Context& context);  //!< health, metrics, queue, storage

//! Bodies that most routes take.
inline constexpr http::BodyPolicy json_body{.json = true};
inline constexpr http::BodyPolicy json_or_multipart{.json = true, .multipart = true};

//! A whole number of the query in a range; HttpError(400) with the name in `param`.
int64_t query_number(const http::Request& request, const char* name, int64_t usual, int64_t least, int64_t most);
//! HttpError(400) for a parameter of the query that is not in the list.
void check_query(const http::Request& request, std::initializer_list<const char*> known);

//! HttpError(400) for a video that is longer than the settings allow.
void require_length(const Context& context, double seconds, const std::string& param);

//! 404 for an address that nothing is at.
http::HttpError unknown_url(const http::Request& request);

//! A Video, with the polling hint while it is not finished.
http::Response video_response(const Context& context, const jobs::Job& job);

}  // namespace prax::server
