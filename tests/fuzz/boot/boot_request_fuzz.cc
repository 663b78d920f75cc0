#include <cstddef>
#include <cstdint>

#include "boot-helper/core/documents.h"
#include "cow-store/base/check.h"
#include "tests/unit/boot-helper/sample_fleet.h"

// Lines: the request target, Range, If-None-Match, If-Range, as a client sends them.

namespace {

using namespace cowtgt;
using namespace cowtgt::boot;

std::string_view take_line(std::string_view& text) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    return line;
}

void check_target(std::string_view text) {
    const auto parsed = parse_target(text);
    const auto* target = std::get_if<Target>(&parsed);
    if (target == nullptr) return;
    CHECK(target->segments.size() <= segments_max);
    for (const std::string& segment : target->segments) {
        CHECK(!segment.empty() && segment != "." && segment != "..");
        CHECK(segment.find_first_of("/\\") == std::string::npos);
        CHECK(segment.find('\0') == std::string::npos);
    }
}

/// Whatever is asked for, a script has only the lines that are ours.
void check_script(const std::string& body) {
    if (!body.starts_with("#!ipxe\n")) return;
    CHECK(body.find('\r') == std::string::npos);
    CHECK(body.find("\nshell") == std::string::npos);
}

void check_selection(std::string_view range, std::string_view none_match,
                     std::string_view if_range) {
    for (const std::uint64_t size :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1'000'000}}) {
        const Selection selected = select_bytes({none_match, if_range, range}, "\"a\"", size);
        CHECK(selected.first <= size && selected.count <= size - selected.first);
        CHECK(selected.status != 206 || selected.count > 0);
        CHECK(!content_range(selected, size).empty() || selected.status == 304);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Fleet fleet = sample_fleet();
    std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::string_view target = take_line(text);
    check_target(target);
    const Outcome outcome = answer_request(target, fleet, reached_by_ipv4(), 1'795'435'200'000);
    if (const auto* document = std::get_if<Document>(&outcome.answer)) {
        CHECK(document->status >= 200 && document->status < 500);
        check_script(document->body);
    }
    const std::string_view range = take_line(text);
    const std::string_view none_match = take_line(text);
    check_selection(range, none_match, take_line(text));
    return 0;
}
