#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cow-store/store/byte_stream.h"

namespace cowtgt::tools {

/// http://... or https://...
bool is_url(std::string_view text);

/// The same without a user and password, for messages and records.
std::string without_secrets(const std::string& url);

/// Downloads while it is read: follows at most 10 redirections, checks certificates, and gives up
/// after a minute without a byte. Nothing is sent before the first read.
/// Errors of reads: failed, naming the URL and what went wrong.
std::shared_ptr<store::ByteStream> open_url(const std::string& url);

}  // namespace cowtgt::tools
