#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// Reading what an HTTP client sent: the request target and the header fields that choose a part
/// of a file (RFC 9110, RFC 9112). Bytes of strangers in, values out.
namespace cowtgt::boot {

inline constexpr std::size_t target_bytes_max = 2048;
inline constexpr std::size_t segments_max = 8;
inline constexpr std::size_t query_parameters_max = 16;

/// A request target, decoded. No segment is empty, ".", ".." or holds a slash, a backslash or a
/// control character; so whatever it is looked up in, it names one thing there or nothing.
struct Target {
    std::vector<std::string> segments;                      ///< "/v1/boot" is {"v1", "boot"}
    std::map<std::string, std::string, std::less<>> query;  ///< the first of each name

    /// Empty when absent.
    std::string_view query_value(std::string_view name) const;
};

/// Why a target is refused, as a sentence for the body of the answer.
struct BadTarget {
    int status = 400;
    std::string_view why;
};

/// Reads origin-form ("/v1/boot?mac=...") and absolute-form ("http://host/..."), RFC 9112 section
/// 3.2. Doubled slashes count as one, since firmware makes them and follows no redirects.
std::variant<Target, BadTarget> parse_target(std::string_view text);

/// "%41" is 'A'. Nothing for a percent sign without two hex digits.
std::optional<std::string> percent_decode(std::string_view text);
/// Everything but unreserved characters (RFC 3986 section 2.3) as %XX.
std::string percent_encode(std::string_view text);

/// Which bytes of a representation a GET or HEAD is answered with.
struct Selection {
    int status = 200;         ///< 200, 206, 304 or 416
    std::uint64_t first = 0;  ///< byte
    std::uint64_t count = 0;  ///< bytes of the body of a GET; 0 for 304 and 416
};

/// The header fields that matter for a selection; empty when absent.
struct Conditions {
    std::string_view if_none_match;
    std::string_view if_range;
    std::string_view range;
};

/// RFC 9110 sections 13.2.2 and 14.2. `etag` with its quotes, strong. A Range that is malformed,
/// or has several ranges, is ignored, as the standard allows.
Selection select_bytes(const Conditions& conditions, std::string_view etag,
                       std::uint64_t size_bytes);

/// "bytes 0-499/1234", or "bytes */1234" for 416. RFC 9110 section 14.4.
std::string content_range(const Selection& selection, std::uint64_t size_bytes);

}  // namespace cowtgt::boot
