# What makes a build from scratch quick, which is how most people meet this program.

# Sources are compiled in groups, so that what they instantiate of JSON, CLI11 and the standard library is compiled once
# a group: less than half the time. Hence names in anonymous namespaces are unique in a room. Who changes a file and
# builds again waits for its group; builds with ccache are for that, and go without.
if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
  set(prax_group_by_default OFF)
else()
  set(prax_group_by_default ON)
endif()
option(PRAX_GROUP_SOURCES "Compile sources in groups" ${prax_group_by_default})

function(prax_group_sources target)
  if(PRAX_GROUP_SOURCES)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
  endif()
endfunction()

# Headers that are compiled once. A build from scratch spent most of its time on reading the standard library, JSON,
# GoogleTest and CLI11 again for every source; each set below is read once and mapped into memory by the sources that
# share its flags. A source includes what it uses all the same: it must compile without them (the lint preset does).
#
# ccache stores nothing that saw a precompiled header unless it is told to be sloppy, so builds with it go without.
if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache" AND NOT DEFINED CMAKE_DISABLE_PRECOMPILE_HEADERS)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()

# prax_precompiled(NAME LINKS libraries... OPTIONS flags... HEADERS <a> <b>...): a set of headers.
function(prax_precompiled name)
  cmake_parse_arguments(SET "" "" "LINKS;OPTIONS;HEADERS" ${ARGN})
  set(source ${PROJECT_BINARY_DIR}/precompiled/${name}.cpp)
  if(NOT EXISTS ${source})
    file(WRITE ${source} "")
  endif()
  add_library(prax_precompiled_${name} OBJECT EXCLUDE_FROM_ALL ${source})
  target_link_libraries(prax_precompiled_${name} PRIVATE prax_warnings ${SET_LINKS})
  target_compile_options(prax_precompiled_${name} PRIVATE ${SET_OPTIONS})
  target_precompile_headers(prax_precompiled_${name} PRIVATE ${SET_HEADERS})
endfunction()

# prax_use_precompiled(TARGET NAME): the sources of the target start with that set.
function(prax_use_precompiled target name)
  target_precompile_headers(${target} REUSE_FROM prax_precompiled_${name})
endfunction()

set(prax_standard_headers <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstring> <filesystem> <fstream>
    <functional> <limits> <map> <memory> <mutex> <numeric> <optional> <set> <span> <sstream> <string> <string_view>
    <utility> <vector>)
