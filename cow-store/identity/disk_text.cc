#include "cow-store/identity/disk_text.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "cow-store/base/check.h"

namespace cowtgt::identity {

namespace {

constexpr bool is_printable(std::uint32_t code) {
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    return !control && !surrogate && code <= 0x10ffff;
}

void append_utf8(std::string& text, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    }
}

/// Length of the well-formed, printable UTF-8 sequence at the front; 0 when there is none.
std::size_t sequence_length(Bytes bytes) {
    const auto lead = std::to_integer<std::uint32_t>(bytes[0]);
    if (lead < 0x80) return is_printable(lead) ? 1 : 0;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || bytes.size() < length) return 0;
    std::uint32_t code = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        const auto next = std::to_integer<std::uint32_t>(bytes[i]);
        if ((next & 0xc0) != 0x80) return 0;
        code = code << 6 | (next & 0x3f);
    }
    constexpr std::uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
    return code >= shortest[length] && is_printable(code) ? length : 0;
}

}  // namespace

std::string text_from_disk(Bytes field) {
    const auto end = std::find(field.begin(), field.end(), std::byte{0});
    Bytes rest = field.first(static_cast<std::size_t>(end - field.begin()));
    std::string text;
    while (!rest.empty()) {
        const std::size_t length = sequence_length(rest);
        if (length == 0) {
            text.push_back('?');
        } else {
            text.append(text_of(rest.first(length)));
        }
        rest = rest.subspan(std::max<std::size_t>(length, 1));
    }
    return text;
}

std::string text_from_utf16(Bytes field) {
    const auto unit = [&](std::size_t at) {
        return std::to_integer<std::uint32_t>(field[at]) |
               std::to_integer<std::uint32_t>(field[at + 1]) << 8;
    };
    std::string text;
    for (std::size_t at = 0; at + 1 < field.size() && unit(at) != 0; at += 2) {
        std::uint32_t code = unit(at);
        if (code >= 0xd800 && code < 0xdc00 && at + 3 < field.size()) {
            const std::uint32_t low = unit(at + 2);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
                at += 2;
            }
        }
        append_utf8(text, is_printable(code) ? code : std::uint32_t{'?'});
    }
    return text;
}

Uuid uuid_from_disk(Bytes field) {
    CHECK(field.size() == sizeof(Uuid::bytes));
    Uuid uuid;
    std::memcpy(uuid.bytes.data(), field.data(), field.size());
    return uuid;
}

}  // namespace cowtgt::identity
