#pragma once

#include <cstdint>
#include <string>

#include "media/frame_sink.h"

namespace prax::app {

//! Bytes that "8G", "6500M" (decimal units, with or without a B), "7.5GiB" or "50%" (of the memory that this machine,
//! or the container, has) mean. Error(usage) for anything else.
uint64_t parse_memory(const std::string& text);

//! The limit that --memory gives, else the environment's PRAX_MEMORY; 0 where there is none.
uint64_t memory_limit(const std::string& flag);

//! Memory that a writer of this kind of file takes beside the frames that it is given: encoders look ahead.
uint64_t writer_memory(const std::string& output, const media::VideoFormat& format);

}  // namespace prax::app
