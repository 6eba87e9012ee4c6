#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "http/message.h"

namespace prax::server {

//! The pages of the studio, read into memory once: names that clients ask for are looked up and are never paths.
class StudioFiles {
public:
  //! The built studio; an empty folder's name stands for one that was never built. Error(io).
  explicit StudioFiles(const std::filesystem::path& folder);

  bool built() const { return files_.contains("index.html"); }
  //! `page` has no leading slash. Files by their names; everything else that looks like a page is index.html, whose
  //! script knows what to show. HttpError(404).
  http::Response answer(const http::Request& request, const std::string& page) const;

private:
  struct Encoded {
    std::string bytes, etag;
  };
  struct File {
    std::string type;
    bool hashed = false;                       //!< its name changes with its bytes
    std::map<std::string, Encoded> encodings;  //!< "" for the file as it is, "br", "gzip"
  };
  void add(const std::filesystem::path& path, const std::string& name);
  http::Response send(const http::Request& request, const File& file) const;

  std::map<std::string, File> files_;
};

}  // namespace prax::server
