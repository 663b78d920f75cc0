#include "cow-store/references/text_search.h"

#include <algorithm>
#include <cstring>

#include "cow-store/identity/reference_plan.h"

namespace cowtgt::references {

namespace {

using namespace std::string_view_literals;

constexpr auto plain_dash = "-"sv;
constexpr auto escaped_dash = "\\x2d"sv;  ///< of systemd, in the names of units
constexpr std::size_t key_digits = 4;

char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char small = to_lower(c);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool is_digit(char c) {
    return digit_value(c) >= 0;
}

/// Requires: four characters before `at`. -1: they are not all digits.
int key_before(std::string_view text, std::size_t at) {
    int key = 0;
    for (std::size_t i = at - key_digits; i < at; ++i) {
        const int value = digit_value(text[i]);
        if (value < 0) return -1;
        key = key * 16 + value;
    }
    return key;
}

bool is_zero(std::string_view text) {
    return text.find_first_not_of("0-") == std::string_view::npos;
}

constexpr std::size_t signature_digits = 8;  ///< of an MBR
constexpr std::size_t uuid_length = 36;

}  // namespace

std::vector<std::string> texts_of(const identity::Recipe& recipe) {
    std::vector<std::string> texts;
    for (const identity::Finding& finding : identity::findings_of(recipe)) {
        if (!identity::can_be_named(finding) || is_zero(finding.old_value)) continue;
        std::string text = finding.old_value;
        std::ranges::transform(text, text.begin(), to_lower);
        if (std::ranges::find(texts, text) == texts.end()) texts.push_back(std::move(text));
    }
    return texts;
}

TextSearch::TextSearch(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
        const bool is_signature = text.size() == signature_digits;
        wanted_.push_back({text, is_signature ? text.size() : text.find('-'), is_signature});
        const std::size_t dash = wanted_.back().dash;
        if (dash != std::string::npos && dash >= key_digits) {
            const int key = key_before(text, dash);
            if (key >= 0) keys_.set(static_cast<std::size_t>(key));
        }
    }
}

void TextSearch::feed(std::uint64_t offset, Bytes piece) {
    if (wanted_.empty()) return;
    if (offset != buffer_offset_ + buffer_.size()) {
        search(true);
        buffer_.clear();
        buffer_offset_ = offset;
        searched_ = 0;
    }
    buffer_.append(text_of(piece));
    search(false);
    if (searched_ <= reach) return;
    const std::size_t done = searched_ - reach;
    buffer_.erase(0, done);
    buffer_offset_ += done;
    searched_ = reach;
}

std::vector<Occurrence> TextSearch::finish() {
    search(true);
    buffer_.clear();
    std::ranges::sort(found_, {}, &Occurrence::offset);
    return std::move(found_);
}

std::vector<std::string> TextSearch::too_often() const {
    std::vector<std::string> texts;
    for (const Wanted& wanted : wanted_) {
        if (wanted.found > occurrences_max) texts.push_back(wanted.text);
    }
    return texts;
}

/// Looks at every dash that is far enough from the end for whole texts to lie around it.
void TextSearch::search(bool is_end) {
    const std::size_t end = is_end                   ? buffer_.size()
                            : buffer_.size() > reach ? buffer_.size() - reach
                                                     : 0;
    if (end <= searched_) return;
    for (const std::string_view dash : {plain_dash, escaped_dash})
        look_at_each(dash, end);
    for (Wanted& wanted : wanted_) {
        if (wanted.dash == std::string::npos) search_without_dash(wanted, searched_, end);
    }
    searched_ = end;
}

void TextSearch::look_at_each(std::string_view dash, std::size_t end) {
    for (std::size_t from = searched_; from < end; ++from) {
        const void* at = std::memchr(buffer_.data() + from, dash.front(), end - from);
        if (at == nullptr) return;
        from = static_cast<std::size_t>(static_cast<const char*>(at) - buffer_.data());
        look_at_dash(from, dash);
    }
}

/// `dash` is how the text would write them; one of them may begin here, and be its first.
void TextSearch::look_at_dash(std::size_t at, std::string_view dash) {
    const std::string_view all(buffer_);
    if (at < key_digits || !all.substr(at).starts_with(dash)) return;
    const int key = key_before(all, at);
    if (key < 0 || !keys_.test(static_cast<std::size_t>(key))) return;
    for (Wanted& wanted : wanted_) {
        if (wanted.dash == std::string::npos || at < wanted.dash) continue;
        const std::size_t begin = at - wanted.dash;
        const auto dashes = static_cast<std::size_t>(std::ranges::count(wanted.text, '-'));
        const std::size_t size = wanted.text.size() + dashes * (dash.size() - 1);
        if (all.size() - begin < size) continue;
        const std::string_view text = all.substr(begin, size);
        if (identity::value_named_by(text) != wanted.text) continue;
        if (!is_word(wanted, begin, begin + size, dash)) continue;
        if (++wanted.found > occurrences_max) continue;
        found_.push_back({std::string(text), buffer_offset_ + begin});
    }
}

bool TextSearch::is_word(const Wanted& wanted, std::size_t begin, std::size_t end,
                         std::string_view dash) const {
    const std::string_view before = std::string_view(buffer_).substr(0, begin);
    std::string_view behind = std::string_view(buffer_).substr(end);
    const auto is_digit_at = [&](std::size_t at) {
        return at < behind.size() && is_digit(behind[at]);
    };
    const bool is_behind_escape = before.ends_with(escaped_dash);
    if (!is_behind_escape && !before.empty() && is_digit(before.back())) return false;
    if (is_digit_at(0)) return false;
    // "luks-" may stand before a UUID. The short ones could be the middle of one, where the dash
    // before them is written as all others are; but none is as long as those of NTFS.
    if (wanted.text.size() == uuid_length || wanted.dash == std::string::npos) return true;
    if (before.ends_with(dash)) return false;
    if (!wanted.takes_number) return !behind.starts_with(dash);
    behind.remove_prefix(dash.size());
    return is_digit_at(0) && is_digit_at(1) && !is_digit_at(2) &&
           !behind.substr(2).starts_with(dash);
}

/// Serial numbers of NTFS: rare, so each is looked for by itself.
void TextSearch::search_without_dash(Wanted& wanted, std::size_t from, std::size_t end) {
    std::string capitals = wanted.text;
    for (char& c : capitals)
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    std::vector<std::string> forms = {wanted.text};
    if (capitals != wanted.text) forms.push_back(std::move(capitals));
    const std::string_view all(buffer_);
    for (const std::string& form : forms) {
        for (std::size_t at = all.find(form, from); at < end; at = all.find(form, at + 1)) {
            if (is_word(wanted, at, at + form.size(), plain_dash) &&
                ++wanted.found <= occurrences_max) {
                found_.push_back({form, buffer_offset_ + at});
            }
        }
    }
}

}  // namespace cowtgt::references
