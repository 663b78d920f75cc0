#include "cow-store/identity/lvm2_text.h"

#include <algorithm>
#include <array>
#include <optional>

#include "cow-store/base/check.h"

namespace cowtgt::identity::lvm2 {

namespace {

constexpr std::array<std::size_t, 7> id_groups = {6, 4, 4, 4, 4, 4, 6};
constexpr std::size_t depth_max = 16;

bool is_id(std::string_view text) {
    if (text.size() != id_text_length) return false;
    std::size_t at = 0;
    for (const std::size_t length : id_groups) {
        if (at != 0 && text[at++] != '-') return false;
        for (std::size_t i = 0; i < length; ++i) {
            const char c = text[at++];
            const bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                                  (c >= 'A' && c <= 'Z') || c == '!' || c == '#';
            if (!is_digit) return false;
        }
    }
    return true;
}

struct Token {
    enum class Kind { word, string, mark, end } kind;
    std::string_view text;  ///< of a string without its quotes
    std::size_t offset;     ///< of `text`
};

/// Cuts the text into words, strings and the marks { } = [ ] and commas.
class Tokens {
public:
    explicit Tokens(std::string_view text) : text_(text) {}

    Result<Token> next() {
        skip_blanks();
        if (at_ == text_.size()) return Token{Token::Kind::end, {}, at_};
        if (text_[at_] == '"') return string();
        if (marks.find(text_[at_]) != std::string_view::npos) {
            return Token{Token::Kind::mark, text_.substr(at_++, 1), at_};
        }
        const std::size_t begin = at_;
        while (at_ < text_.size() && !is_blank(text_[at_]) && text_[at_] != '"' &&
               text_[at_] != '#' && marks.find(text_[at_]) == std::string_view::npos) {
            ++at_;
        }
        return Token{Token::Kind::word, text_.substr(begin, at_ - begin), begin};
    }

private:
    static constexpr std::string_view marks = "{}=[],";

    static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

    void skip_blanks() {
        while (at_ < text_.size() && (is_blank(text_[at_]) || text_[at_] == '#')) {
            if (text_[at_] == '#') at_ = std::min(text_.find('\n', at_), text_.size() - 1);
            ++at_;
        }
    }

    Result<Token> string() {
        const std::size_t begin = ++at_;
        while (at_ < text_.size() && text_[at_] != '"')
            at_ += text_[at_] == '\\' ? 2 : 1;
        if (at_ >= text_.size()) {
            return Error{ErrorCode::corrupt, "its metadata ends in the middle of a string"};
        }
        return Token{Token::Kind::string, text_.substr(begin, at_++ - begin), begin};
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

Error not_understood() {
    return {ErrorCode::corrupt, "its metadata cannot be understood: run vgck on it"};
}

/// Walks the sections and looks at every `id` and `type`.
class IdFinder {
public:
    Result<std::vector<IdField>> find(Tokens tokens) {
        std::optional<Token> name;  // the word that a section or a value is called
        for (;;) {
            const Result<Token> token = tokens.next();
            if (!token) return token.error();
            if (token->kind == Token::Kind::end) break;
            Result<void> done;
            if (token->text == "{" && token->kind == Token::Kind::mark) {
                done = enter(name);
            } else if (token->text == "}" && token->kind == Token::Kind::mark) {
                done = leave();
            } else if (token->kind == Token::Kind::string) {
                done = value(name, *token);
            } else if (token->kind == Token::Kind::word) {
                // A number after "=" becomes a name of nothing: the next word replaces it.
                name = *token;
            }
            if (!done) return done.error();
        }
        if (!sections_.empty() || ids_.empty()) return not_understood();
        if (physical_volumes_ != 1) {
            return Error{ErrorCode::refused,
                         "its group has several physical volumes, which must all change together: "
                         "use one disk for each group, or run vgimportclone in the clone"};
        }
        return std::move(ids_);
    }

private:
    Result<void> enter(const std::optional<Token>& name) {
        if (!name || sections_.size() == depth_max) return not_understood();
        sections_.push_back(name->text);
        if (sections_.size() == 3 && sections_[1] == "physical_volumes") ++physical_volumes_;
        return {};
    }

    Result<void> leave() {
        if (sections_.empty()) return not_understood();
        sections_.pop_back();
        return {};
    }

    Result<void> value(const std::optional<Token>& name, const Token& string) {
        if (!name) return not_understood();
        if (name->text == "type" && sections_.size() == 4 && string.text != "striped") {
            return Error{ErrorCode::refused,
                         "its group has a logical volume of type " + std::string(string.text) +
                             ", whose metadata may hold ids too: only linear and striped ones are "
                             "changed; convert it with lvconvert, or run vgimportclone in the "
                             "clone"};
        }
        if (name->text != "id") return {};
        const std::string where = described();
        if (where.empty() || !is_id(string.text)) return not_understood();
        ids_.push_back({where, string.offset, std::string(string.text)});
        return {};
    }

    /// Whose id the current section has; "" where none is expected.
    std::string described() const {
        if (sections_.size() == 1) return "group " + std::string(sections_[0]);
        if (sections_.size() != 3) return "";
        if (sections_[1] == "physical_volumes") return "physical volume";
        if (sections_[1] == "logical_volumes") return "logical volume " + std::string(sections_[2]);
        return "";
    }

    std::vector<std::string_view> sections_;
    std::vector<IdField> ids_;
    std::size_t physical_volumes_ = 0;
};

}  // namespace

std::string id_with_dashes(std::string_view digits) {
    CHECK(digits.size() == id_digits);
    std::string text;
    for (const std::size_t length : id_groups) {
        if (!text.empty()) text += '-';
        text += digits.substr(0, length);
        digits.remove_prefix(length);
    }
    return text;
}

Result<std::vector<IdField>> find_ids(std::string_view text) {
    return IdFinder().find(Tokens(text));
}

}  // namespace cowtgt::identity::lvm2
