#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cow-store/base/result.h"
#include "target/config/config.h"

namespace cowtgt::tools {

/// Writes a stream of a snapshot (cow-store/STREAM.md) to standard output, in this process, also
/// beside a running daemon. Without a label a snapshot is made first, and named on standard error.
Result<nlohmann::json> send_stream(const config::Config& config, const std::string& name,
                                   const std::string& label, const std::string& from,
                                   std::uint64_t first_offset);

/// Takes a stream in from standard input and makes an instance of it, or its next snapshot. The
/// result is an instance (operations.h).
Result<nlohmann::json> receive_stream(const config::Config& config, const std::string& name);
/// What has arrived of a stream that broke off: name, source, from, size_bytes, next_offset.
Result<nlohmann::json> show_received(const config::Config& config, const std::string& name);
Result<nlohmann::json> forget_received(const config::Config& config, const std::string& name);

}  // namespace cowtgt::tools
