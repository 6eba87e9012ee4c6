# Everything comes from Debian's packages (scripts/packages.txt lists them).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
pkg_check_modules(ffmpeg REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale libavfilter)

add_library(prax_warnings INTERFACE)
target_compile_options(prax_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                       -Wno-restrict)  # GCC 12 sees ghosts in std::string's operator+ (bug 105651)
if(PRAX_SANITIZE)
  add_compile_options(-fsanitize=${PRAX_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PRAX_SANITIZE})
endif()
