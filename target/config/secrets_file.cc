#include "target/config/secrets_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "cow-store/store/store.h"
#include "target/config/toml_text.h"

namespace cowtgt::config {

namespace {

constexpr std::string_view what_a_line_is =
    "write name = [\"USER\", \"SECRET\"], or with mutual CHAP "
    "name = [\"USER\", \"SECRET\", \"OUR-USER\", \"OUR-SECRET\"]";
constexpr std::string_view head_of_a_new_file =
    "# CHAP: name = [\"USER\", \"SECRET\"], and two more strings for mutual CHAP.\n"
    "# _discovery is for discovery sessions. Keep the mode of this file at 0600.\n";

bool is_printable(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

Error usage(std::string sentence) {
    return {ErrorCode::usage, std::move(sentence)};
}

Result<void> check_user(std::string_view user) {
    if (user.empty()) return usage("a CHAP user name cannot be empty");
    if (user.size() > chap_user_length_max) return usage("a CHAP user name has at most 255 bytes");
    if (!is_printable(user)) return usage("a CHAP user name is printable ASCII");
    return {};
}

Result<void> check_secret(std::string_view secret) {
    if (secret.size() < secret_length_min) {
        return usage("a CHAP secret has at least 12 bytes (RFC 7143 section 9.2.1)");
    }
    if (secret.size() > secret_length_max) return usage("a CHAP secret has at most 255 bytes");
    if (!is_printable(secret)) return usage("a CHAP secret is printable ASCII");
    return {};
}

Result<ChapSecrets> read_entry(const TomlEntry& entry, std::string_view file) {
    if (entry.key != discovery_entry) {
        if (auto name = store::check_name(entry.key); !name) {
            return error_at(file, entry.key_place, name.error().message);
        }
    }
    const auto* values = std::get_if<std::vector<TomlString>>(&entry.value);
    if (values == nullptr || (values->size() != 2 && values->size() != 4)) {
        return error_at(file, entry.value_place, what_a_line_is);
    }
    if (!entry.on_one_line) {
        return error_at(file, entry.key_place,
                        "an entry has one line, without escapes in its name");
    }
    ChapSecrets secrets{(*values)[0].text, (*values)[1].text, "", ""};
    if (values->size() == 4) {
        secrets.mutual_user = (*values)[2].text;
        secrets.mutual_secret = (*values)[3].text;
        if (secrets.mutual_user.empty() || secrets.mutual_secret.empty()) {
            return error_at(file, entry.value_place, "mutual CHAP needs a user and a secret");
        }
    }
    if (auto checked = check_secrets(secrets); !checked) {
        return error_at(file, entry.value_place, checked.error().message);
    }
    return secrets;
}

std::string line_of(std::string_view name, const ChapSecrets& secrets) {
    std::string line =
        std::string(name) + " = [" + toml_string(secrets.user) + ", " + toml_string(secrets.secret);
    if (!secrets.mutual_user.empty()) {
        line += ", " + toml_string(secrets.mutual_user) + ", " + toml_string(secrets.mutual_secret);
    }
    return line + "]\n";
}

/// Where the line of an entry begins and ends, its line break included.
struct LineSpan {
    std::size_t begin = 0, end = 0;
};
std::optional<LineSpan> find_line(std::string_view text, std::string_view name) {
    const auto entries = parse_toml(text, "");
    if (!entries) return std::nullopt;
    const auto entry = std::find_if(entries->begin(), entries->end(),
                                    [&](const TomlEntry& each) { return each.key == name; });
    if (entry == entries->end()) return std::nullopt;
    std::size_t begin = 0;
    for (std::uint32_t line = 1; line < entry->key_place.line; ++line) {
        begin = text.find('\n', begin) + 1;
    }
    const std::size_t line_break = text.find('\n', begin);
    return LineSpan{begin, line_break == std::string_view::npos ? text.size() : line_break + 1};
}

/// Whoever can read this file can be any machine, so it has to be its owner's alone.
Result<void> check_access(const std::filesystem::path& file) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0) {
        return system_error("looking at " + file.string(), errno);
    }
    if (!S_ISREG(found.st_mode)) {
        return Error{ErrorCode::refused, file.string() + " is no regular file"};
    }
    if ((found.st_mode & 0077U) != 0) {
        return Error{ErrorCode::refused,
                     file.string() + " may be read by others than its owner; run: chmod 600 " +
                         file.string()};
    }
    if (found.st_uid != 0 && found.st_uid != ::geteuid()) {
        return Error{ErrorCode::refused, file.string() + " belongs to somebody else"};
    }
    return {};
}

}  // namespace

Result<void> check_secrets(const ChapSecrets& secrets) {
    if (auto user = check_user(secrets.user); !user) return user;
    if (auto secret = check_secret(secrets.secret); !secret) return secret;
    if (secrets.mutual_user.empty() && secrets.mutual_secret.empty()) return {};
    if (auto user = check_user(secrets.mutual_user); !user) return user;
    if (auto secret = check_secret(secrets.mutual_secret); !secret) return secret;
    if (secrets.secret == secrets.mutual_secret) {
        return usage("the secrets of the two directions of CHAP must differ");
    }
    return {};
}

Result<Secrets> parse_secrets(std::string_view text, std::string_view file) {
    auto entries = parse_toml(text, file);
    if (!entries) return entries.error();
    Secrets secrets;
    for (const TomlEntry& entry : *entries) {
        auto read = read_entry(entry, file);
        if (!read) return read.error();
        secrets.emplace(entry.key, std::move(*read));
    }
    return secrets;
}

std::string with_secret_line(std::string_view text, std::string_view name,
                             const ChapSecrets& secrets) {
    std::string result(text);
    const std::string line = line_of(name, secrets);
    if (const auto found = find_line(text, name)) {
        return result.replace(found->begin, found->end - found->begin, line);
    }
    if (!result.empty() && result.back() != '\n') result += '\n';
    return result + line;
}

std::string without_secret_line(std::string_view text, std::string_view name) {
    std::string result(text);
    if (const auto found = find_line(text, name)) {
        result.erase(found->begin, found->end - found->begin);
    }
    return result;
}

Result<SecretsFile> SecretsFile::load(std::filesystem::path file) {
    SecretsFile secrets(std::move(file));
    if (auto loaded = secrets.reload(); !loaded) return loaded.error();
    return secrets;
}

const ChapSecrets* SecretsFile::find(std::string_view name) const {
    const auto found = secrets_.find(name);
    return found == secrets_.end() ? nullptr : &found->second;
}

Result<void> SecretsFile::reload() {
    const FileStamp stamp = stamp_of(path_);
    std::string text;
    if (stamp != FileStamp{}) {
        // Also when the content is known: the mode may have changed since.
        if (auto access = check_access(path_); !access) return access;
        if (stamp == stamp_) return {};
        auto read = read_text_file(path_);
        if (!read) return read.error();
        text = std::move(*read);
    }
    auto secrets = parse_secrets(text, path_.string());
    if (!secrets) return secrets.error();
    stamp_ = stamp;
    text_ = std::move(text);
    secrets_ = std::move(*secrets);
    return {};
}

Result<void> SecretsFile::put(std::string_view name, const ChapSecrets& secrets) {
    if (auto checked = check_secrets(secrets); !checked) return checked;
    if (auto current = reload(); !current) return current;
    const std::string text = text_.empty() ? std::string(head_of_a_new_file) : text_;
    if (auto replaced = replace(with_secret_line(text, name, secrets)); !replaced) return replaced;
    secrets_.insert_or_assign(std::string(name), secrets);
    return {};
}

Result<void> SecretsFile::remove(std::string_view name) {
    if (auto current = reload(); !current) return current;
    const auto found = secrets_.find(name);
    if (found == secrets_.end()) return {};
    if (auto replaced = replace(without_secret_line(text_, name)); !replaced) return replaced;
    secrets_.erase(found);
    return {};
}

Result<void> SecretsFile::replace(std::string text) {
    if (auto replaced = replace_text_file(path_, text, NewFileMode::owner_only); !replaced) {
        return replaced;
    }
    text_ = std::move(text);
    stamp_ = stamp_of(path_);
    return {};
}

}  // namespace cowtgt::config
