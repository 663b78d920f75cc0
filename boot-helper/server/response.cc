#include "boot-helper/server/response.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace cowtgt::boot {

namespace {

struct ReasonRow {
    int status;
    std::string_view reason;
};
constexpr std::array reasons = {
    ReasonRow{200, "OK"},
    ReasonRow{206, "Partial Content"},
    ReasonRow{304, "Not Modified"},
    ReasonRow{400, "Bad Request"},
    ReasonRow{403, "Forbidden"},
    ReasonRow{404, "Not Found"},
    ReasonRow{405, "Method Not Allowed"},
    ReasonRow{409, "Conflict"},
    ReasonRow{414, "URI Too Long"},
    ReasonRow{416, "Range Not Satisfiable"},
    ReasonRow{431, "Request Header Fields Too Large"},
    ReasonRow{500, "Internal Server Error"},
};

std::string_view reason_of(int status) {
    for (const ReasonRow& row : reasons) {
        if (row.status == status) return row.reason;
    }
    return "Status";
}

void add_field(std::string& header, std::string_view name, std::string_view value) {
    if (value.empty()) return;
    header += name;
    header += ": ";
    header += value;
    header += "\r\n";
}

}  // namespace

std::string http_date(std::int64_t time_ms) {
    constexpr std::array days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto seconds = static_cast<std::time_t>(time_ms / 1'000);
    std::tm utc{};
    ::gmtime_r(&seconds, &utc);
    std::array<char, 64> text{};
    const int size = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                   days[static_cast<std::size_t>(utc.tm_wday)], utc.tm_mday,
                                   months[static_cast<std::size_t>(utc.tm_mon)], utc.tm_year + 1900,
                                   utc.tm_hour, utc.tm_min, utc.tm_sec);
    return {text.data(), static_cast<std::size_t>(size)};
}

std::string response_header(const ResponseHeader& header) {
    const int status = header.selection.status;
    std::string text =
        "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_of(status)) + "\r\n";
    add_field(text, "Server", "cowtgt");
    add_field(text, "Date", http_date(header.now_ms));
    add_field(text, "Connection", header.keep_alive ? "keep-alive" : "close");
    if (status == 405) add_field(text, "Allow", "GET, HEAD");
    add_field(text, "ETag", header.etag);
    add_field(text, "Cache-Control", header.cache_control);
    if (!header.etag.empty()) add_field(text, "Accept-Ranges", "bytes");
    if (status == 206 || status == 416) {
        add_field(text, "Content-Range", content_range(header.selection, header.size_bytes));
    }
    if (status != 304) {
        add_field(text, "Content-Type", header.content_type);
        add_field(text, "Content-Length", std::to_string(header.selection.count));
    }
    return text + "\r\n";
}

}  // namespace cowtgt::boot
