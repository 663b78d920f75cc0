#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "boot-helper/core/request.h"

namespace cowtgt::boot {

/// What an answer's header is made of.
struct ResponseHeader {
    Selection selection;
    std::uint64_t size_bytes = 0;  ///< of the whole representation
    std::string_view content_type;
    std::string_view etag;           ///< with quotes; empty: none
    std::string_view cache_control;  ///< empty: none
    std::int64_t now_ms = 0;         ///< since 1970, for Date
    bool keep_alive = false;
};

/// The bytes of an HTTP/1.1 response header, its empty line included. Every answer says its
/// Content-Length, since firmware knows no other end.
std::string response_header(const ResponseHeader& header);

/// "Mon, 23 Nov 2026 12:00:00 GMT" (RFC 9110 section 5.6.7).
std::string http_date(std::int64_t time_ms);

}  // namespace cowtgt::boot
