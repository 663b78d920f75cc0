#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "target/config/text_file.h"

/// secrets.toml: who has to authenticate with CHAP, and by what. A file of its own, because
/// machines.toml may be read by everybody.
namespace cowtgt::config {

inline constexpr std::size_t secret_length_min = 12;  ///< bytes; RFC 7143 section 9.2.1
inline constexpr std::size_t secret_length_max = 255;
inline constexpr std::size_t chap_user_length_max = 255;
/// The key of discovery sessions. No instance can have this name.
inline constexpr std::string_view discovery_entry = "_discovery";

/// One line: `web01 = ["user", "secret"]` or `["user", "secret", "our user", "our secret"]`.
struct ChapSecrets {
    std::string user, secret;                ///< what the initiator proves
    std::string mutual_user, mutual_secret;  ///< what we prove; both empty: one direction only
    friend bool operator==(const ChapSecrets&, const ChapSecrets&) = default;
};
/// Lengths, printable ASCII, two different secrets; usage with a sentence about what to do.
Result<void> check_secrets(const ChapSecrets& secrets);

using Secrets = std::map<std::string, ChapSecrets, std::less<>>;  ///< by instance

/// Errors are "FILE:LINE:COLUMN: sentence" and never contain a secret.
Result<Secrets> parse_secrets(std::string_view text, std::string_view file);

/// Edits by the line: comments and everything else stay. The text is one that parse_secrets
/// accepts.
std::string with_secret_line(std::string_view text, std::string_view name,
                             const ChapSecrets& secrets);  ///< add or replace
std::string without_secret_line(std::string_view text, std::string_view name);

/// secrets.toml on disk. A file that does not exist has no secrets; one that others than its owner
/// may read is refused.
///
/// Threads: one at a time.
class SecretsFile {
public:
    /// Has no secrets before reload().
    explicit SecretsFile(std::filesystem::path file) : path_(std::move(file)) {}
    static Result<SecretsFile> load(std::filesystem::path file);

    const Secrets& secrets() const { return secrets_; }
    /// Null: no authentication.
    const ChapSecrets* find(std::string_view name) const;

    /// Takes in what was changed by hand. On an error everything stays as it was.
    Result<void> reload();
    Result<void> put(std::string_view name, const ChapSecrets& secrets);
    Result<void> remove(std::string_view name);

private:
    Result<void> replace(std::string text);

    std::filesystem::path path_;
    FileStamp stamp_;
    std::string text_;
    Secrets secrets_;
};

}  // namespace cowtgt::config
