#!/usr/bin/env bash
# Tests check_rooms.sh itself: a small sound house passes, and each way of breaking a rule is found and named.
set -euo pipefail
check=$(cd "$(dirname "$0")" && pwd)/check_rooms.sh
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

# A sound house: base <- tensor <- kernels <- nn, tensor <- media, and an application on nn.
build_house() {
  rm -rf "$scratch/house"
  mkdir -p "$scratch/house"/{src/{base,tensor,kernels,nn,media},apps/prax}
  cd "$scratch/house"
  for room in src/*/; do echo "A room." >"${room}README.md"; done
  echo 'prax_room(base LINKS fmt::fmt)' >src/base/CMakeLists.txt
  printf 'prax_room(tensor # the middle\n  LINKS prax::base)\n' >src/tensor/CMakeLists.txt
  echo 'prax_room(kernels LINKS prax::tensor PRIVATE_LINKS DNNL::dnnl)' >src/kernels/CMakeLists.txt
  echo 'prax_room(nn PRIVATE_LINKS prax::kernels)' >src/nn/CMakeLists.txt
  echo 'prax_room(media LINKS prax::tensor)' >src/media/CMakeLists.txt
  printf 'add_executable(prax main.cpp)\ntarget_link_libraries(prax PRIVATE prax::nn)\n' >apps/prax/CMakeLists.txt
  echo '#include <string>' >src/base/error.h
  echo '#include "base/error.h"' >src/tensor/tensor.h
  printf '#include <immintrin.h>\n#include <dnnl.hpp>\n#include "tensor/tensor.h"\n' >src/kernels/gemm.cpp
  printf '#include "nn/layer.h"\n#include "kernels/gemm.h"\n#include "base/error.h"\n' >src/nn/linear.cpp
  printf 'extern "C" {\n#include <libavcodec/avcodec.h>\n}\n' >src/media/writer.cpp
  echo '#include "nn/linear.h"' >apps/prax/main.cpp
}

expect_sound() {
  if ! output=$("$check" "$scratch/house" 2>&1); then
    echo "FAILED: $1: should be in order, but:"
    echo "$output"
    failures=$((failures + 1))
  fi
}

expect_broken() {
  local name=$1 words=$2
  if output=$("$check" "$scratch/house" 2>&1); then
    echo "FAILED: $name: not noticed"
    failures=$((failures + 1))
  elif ! grep -qF "$words" <<<"$output"; then
    echo "FAILED: $name: expected \"$words\", but:"
    echo "$output"
    failures=$((failures + 1))
  fi
}

lines() { for ((i = 0; i < $1; ++i)); do echo "// line"; done; }

build_house
expect_sound "a sound house"
lines 800 >src/base/long.cpp
lines 300 >src/base/long.h
expect_sound "files at the limit"

build_house && echo '#include "media/writer.h"' >>src/nn/linear.cpp
expect_broken "a room that is not linked" 'src/nn/linear.cpp:4: media/writer.h: nn does not link prax::media'
build_house && echo '  #  include <nn/linear.h>' >>src/tensor/tensor.h
expect_broken "a room above" 'src/tensor/tensor.h:2: nn/linear.h: tensor does not link prax::nn'
build_house && echo '#include "kernels/gemm.h"' >>apps/prax/main.cpp
expect_broken "a room behind a private link" 'apps/prax/main.cpp:2: kernels/gemm.h: apps/prax does not link prax::kernels'
build_house && echo '# prax_room(nn LINKS prax::kernels)' >src/nn/CMakeLists.txt
expect_broken "a link in a comment only" 'src/nn/linear.cpp:2: kernels/gemm.h: nn does not link prax::kernels'
build_house && echo 'prax_room(base LINKS prax::nn)' >src/base/CMakeLists.txt &&
  echo 'prax_room(nn LINKS prax::kernels)' >src/nn/CMakeLists.txt
expect_broken "a circle of links" 'src/base: reaches itself'
build_house && echo '#include "../base/error.h"' >>src/nn/linear.cpp
expect_broken "a path out of the room" 'src/nn/linear.cpp:4: ../base/error.h: write the path from src/'
for header in immintrin.h x86intrin.h avx512fintrin.h cpuid.h arm_neon.h; do
  build_house && echo "#include <$header>" >>src/nn/linear.cpp
  expect_broken "intrinsics ($header)" "src/nn/linear.cpp:4: $header: intrinsics belongs in src/kernels only"
done
for header in dnnl.hpp dnnl.h oneapi/dnnl/dnnl.hpp; do
  build_house && echo "#include <$header>" >>src/tensor/tensor.h
  expect_broken "oneDNN ($header)" "src/tensor/tensor.h:2: $header: dnnl belongs in src/kernels only"
done
build_house && echo '#include <libswscale/swscale.h>' >>apps/prax/main.cpp
expect_broken "FFmpeg" 'apps/prax/main.cpp:2: libswscale/swscale.h: FFmpeg belongs in src/media only'
build_house && lines 801 >apps/prax/long.cpp
expect_broken "a long source" 'apps/prax/long.cpp: 801 lines, but 800'
build_house && lines 301 >src/base/long.h
expect_broken "a long header" 'src/base/long.h: 301 lines, but 300'
build_house && rm src/media/README.md
expect_broken "a room without a README" 'src/media/README.md: missing'
for word in "TO""DO" "FIX""ME" "XX""X"; do
  build_house && echo "// $word: later" >>src/nn/linear.cpp
  expect_broken "an unfinished note ($word)" 'src/nn/linear.cpp:4: finish it'
done

if ((failures > 0)); then
  echo "$failures of the checks failed"
  exit 1
fi
echo "every broken rule was found"
