#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "cow-store/store/store.h"

namespace cowtgt::store {

namespace {

constexpr std::size_t name_length_max = 63;  ///< a label of a hostname, RFC 1123 section 2.1
constexpr std::array<std::string_view, 3> reserved_names = {"init", "tpl", "snap"};
constexpr std::string_view reserved_prefix = "mac-";

bool is_lower_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

Error bad_name(std::string_view name, std::string_view rule) {
    return Error{ErrorCode::usage,
                 "'" + std::string(name) + "' cannot be a name: " + std::string(rule)};
}

/// The grammar of names, which tags share.
Result<void> check_grammar(std::string_view name) {
    if (name.empty()) return bad_name(name, "it is empty");
    if (name.size() > name_length_max) return bad_name(name, "it is longer than 63 characters");
    const auto allowed = [](char c) { return is_lower_or_digit(c) || c == '-'; };
    if (!std::all_of(name.begin(), name.end(), allowed)) {
        return bad_name(name, "only a-z, 0-9 and - may stand in it");
    }
    if (name.front() == '-' || name.back() == '-') {
        return bad_name(name, "it begins or ends with -");
    }
    return {};
}

}  // namespace

Result<void> check_name(std::string_view name) {
    if (Result<void> grammar = check_grammar(name); !grammar) return grammar;
    if (std::find(reserved_names.begin(), reserved_names.end(), name) != reserved_names.end()) {
        return bad_name(name, "it is reserved for names that cowtgt makes itself");
    }
    if (name.substr(0, reserved_prefix.size()) == reserved_prefix) {
        return bad_name(name, "names that begin with mac- are reserved for hardware addresses");
    }
    return {};
}

Result<void> check_snapshot_label(std::string_view label) {
    if (Result<void> grammar = check_grammar(label); !grammar) return grammar;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (std::all_of(label.begin(), label.end(), is_digit)) {
        return bad_name(label, "a label of digits alone would look like a version");
    }
    return {};
}

Result<void> check_tag(std::string_view tag) {
    return check_snapshot_label(tag);
}

Result<TemplateRef> parse_template_ref(std::string_view text) {
    TemplateRef ref;
    const std::size_t at = text.find('@');
    ref.name = text.substr(0, at);
    if (Result<void> name = check_name(ref.name); !name) return name.error();
    if (at == std::string_view::npos) return ref;

    const std::string_view after = text.substr(at + 1);
    const char* end = after.data() + after.size();
    const auto [stop, failure] = std::from_chars(after.data(), end, ref.version);
    if (stop == end && failure == std::errc{} && ref.version != 0) return ref;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (std::all_of(after.begin(), after.end(), is_digit) || !check_grammar(after)) {
        return Error{ErrorCode::usage,
                     "'" + std::string(text) +
                         "' does not name a template: after @ comes a "
                         "version such as 3, counted from 1, or a tag such as stable"};
    }
    ref.version = 0;
    ref.tag = after;
    return ref;
}

}  // namespace cowtgt::store
