# Everything comes from Debian's packages (scripts/packages.txt lists them).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(SQLite3 3.40 REQUIRED)
find_package(CURL 7.88 REQUIRED)
pkg_check_modules(pqxx REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(ffmpeg REQUIRED IMPORTED_TARGET libavformat libavcodec libavutil libswscale libavfilter)

add_library(prax_warnings INTERFACE)
target_compile_options(prax_warnings INTERFACE -Wall -Wextra -Wpedantic -Wnon-virtual-dtor
                       # GCC 12 sees ghosts in std::string (bugs 105651, 105329).
                       -Wno-restrict -Wno-stringop-overflow)
# In a group of sources (from_scratch.cmake) one file's names would be held against another's.
set(in_a_group $<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>)
target_compile_options(prax_warnings INTERFACE $<IF:${in_a_group},-Wno-subobject-linkage,-Wshadow>)
if(PRAX_SANITIZE)
  add_compile_options(-fsanitize=${PRAX_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${PRAX_SANITIZE})
endif()
