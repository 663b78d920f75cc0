#include "boot-helper/image/cpio_names.h"

#include <algorithm>
#include <charconv>

namespace cowtgt::boot {

namespace {

constexpr std::size_t magic_bytes = 6;
constexpr std::size_t field_bytes = 8;  ///< hex digits
constexpr std::size_t size_field = 6;   ///< counted behind the magic
constexpr std::size_t name_size_field = 11;
constexpr std::string_view trailer = "TRAILER!!!";

/// False when it is no hex number.
bool read_field(std::string_view header, std::size_t field, std::uint64_t& value) {
    const char* begin = header.data() + magic_bytes + field * field_bytes;
    const auto [end, problem] = std::from_chars(begin, begin + field_bytes, value, 16);
    return problem == std::errc{} && end == begin + field_bytes;
}

}  // namespace

void CpioNames::take(Bytes& in, std::size_t wanted) {
    const std::size_t count = std::min(in.size(), wanted - collected_.size());
    collected_ += text_of(in.first(count));
    in = in.subspan(count);
}

void CpioNames::end_header() {
    const std::string_view header = collected_;
    const bool known = header.starts_with("070701") || header.starts_with("070702");
    std::uint64_t size = 0;
    std::uint64_t name_size = 0;
    state_ = State::broken;
    if (!known || !read_field(header, size_field, size) ||
        !read_field(header, name_size_field, name_size)) {
        return;
    }
    if (name_size == 0 || name_size > name_bytes_max) return;
    name_bytes_ = round_up(header_bytes + name_size, 4) - header_bytes;
    data_bytes_ = round_up(size, 4);
    collected_.clear();
    state_ = State::name;
}

void CpioNames::end_name() {
    const std::string_view name = std::string_view(collected_).substr(0, collected_.find('\0'));
    if (name == trailer) {
        state_ = State::padding;
    } else {
        on_name_(name.starts_with("./") ? name.substr(2) : name);
        state_ = data_bytes_ == 0 ? State::header : State::data;
    }
    collected_.clear();
}

std::size_t CpioNames::feed(Bytes in) {
    const std::size_t before = in.size();
    while (!in.empty() && state_ != State::ended && state_ != State::broken) {
        if (state_ == State::header) {
            take(in, header_bytes);
            if (collected_.size() == header_bytes) end_header();
        } else if (state_ == State::name) {
            take(in, name_bytes_);
            if (collected_.size() == name_bytes_) end_name();
        } else if (state_ == State::data) {
            const std::size_t count = std::min<std::uint64_t>(in.size(), data_bytes_);
            in = in.subspan(count);
            data_bytes_ -= count;
            if (data_bytes_ == 0) state_ = State::header;
        } else {
            const auto end = std::find_if(in.begin(), in.end(),
                                          [](std::byte byte) { return byte != std::byte{}; });
            if (end != in.end()) state_ = State::ended;
            in = in.subspan(static_cast<std::size_t>(end - in.begin()));
        }
    }
    return before - in.size();
}

}  // namespace cowtgt::boot
