#include "server/openapi_parts.h"

namespace prax::server {

using nlohmann::json;
using namespace schema;

void add_studio_paths(json& paths) {
  Operation sign_in("signIn", "Sign a browser in, with a key or the token of the address that the server printed");
  sign_in.open().body("SignIn", true, false).ok("Session", "With the cookie.").errors({401, 403, 507});
  paths["/prax/v1/session"]["post"] = sign_in;
  paths["/prax/v1/session"]["get"] = Operation("getSession", "Who this browser is signed in as").ok("Session");
  paths["/prax/v1/session"]["delete"] =
      Operation("signOut", "End the browser's session").plain(204, "The cookie is gone.").errors({413});
}

void add_studio_schemas(json& schemas, const Settings& /*settings*/, const jobs::ModelCatalog& /*catalog*/) {
  schemas["SignIn"] = {{"oneOf",
                        {request({{"token", text(1, 200)}}, {"token"}), request({{"key", text(1, 200)}}, {"key"})}}};
  schemas["Session"] = answer({{"object", constant("session")},
                               {"name", text()},
                               {"key_id", text()},
                               {"scopes", list_of(words({"create", "read", "delete", "admin"}))},
                               {"expires_at", nullable(whole())},
                               {"server", answer({{"version", text()}, {"keys_required", flag()}, {"tls", flag()}})}});
}

}  // namespace prax::server
