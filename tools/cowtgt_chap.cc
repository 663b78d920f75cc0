#include "tools/cowtgt_chap.h"

#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

constexpr std::size_t line_length_max = 4096;

/// Keeps what is typed off the terminal while it lives.
class HiddenInput {
public:
    explicit HiddenInput(int terminal) : terminal_(terminal) {
        if (::tcgetattr(terminal_, &before_) != 0) return;
        termios hidden = before_;
        hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        is_hidden_ = ::tcsetattr(terminal_, TCSAFLUSH, &hidden) == 0;
    }
    ~HiddenInput() {
        if (is_hidden_) ::tcsetattr(terminal_, TCSAFLUSH, &before_);
    }
    HiddenInput(const HiddenInput&) = delete;
    HiddenInput& operator=(const HiddenInput&) = delete;

private:
    int terminal_;
    termios before_{};
    bool is_hidden_ = false;
};

Result<std::string> read_line(std::FILE* input, const std::string& whose) {
    std::string line;
    for (int c = std::fgetc(input); c != EOF && c != '\n'; c = std::fgetc(input)) {
        if (line.size() == line_length_max) break;  // far beyond any secret
        line += static_cast<char>(c);
    }
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) {
        return Error{ErrorCode::usage, "the secret of '" + whose +
                                           "' is missing: one line for each user, on standard "
                                           "input or in --secret-file"};
    }
    return line;
}

Result<std::string> ask_for(std::FILE* input, const std::string& whose) {
    if (::isatty(::fileno(input)) == 0) return read_line(input, whose);
    std::fprintf(stderr, "secret of %s: ", whose.c_str());
    const HiddenInput hidden(::fileno(input));
    auto line = read_line(input, whose);
    std::fputc('\n', stderr);
    return line;
}

/// The arguments of the operation "authenticate", with the secrets.
Result<json> arguments_of(const ChapWords& words, std::FILE* input) {
    json arguments = {{"name", words.name}};
    if (words.user == "none") return arguments;
    auto secret = ask_for(input, *words.user);
    if (!secret) return secret.error();
    arguments["user"] = *words.user;
    arguments["secret"] = *secret;
    if (!words.mutual_user) return arguments;
    auto mutual_secret = ask_for(input, *words.mutual_user);
    if (!mutual_secret) return mutual_secret.error();
    arguments["mutual_user"] = *words.mutual_user;
    arguments["mutual_secret"] = *mutual_secret;
    return arguments;
}

}  // namespace

ChapWords take_chap_words(std::string name, std::vector<std::string>& settings) {
    constexpr std::string_view chap = "chap=", mutual = "mutual=";
    ChapWords words;
    words.name = std::move(name);
    const auto take = [&](std::string_view setting) -> std::optional<std::string> {
        const auto found =
            std::find_if(settings.begin(), settings.end(),
                         [&](const std::string& word) { return word.starts_with(setting); });
        if (found == settings.end()) return std::nullopt;
        std::string value = found->substr(setting.size());
        settings.erase(found);
        return value;
    };
    words.user = take(chap);
    words.mutual_user = take(mutual);
    return words;
}

Result<json> set_chap(const config::Config& config, const ChapWords& words) {
    if (!words.user || words.user->empty()) {
        return Error{ErrorCode::usage, "name the user that the initiator proves to be: chap=USER"};
    }
    if (words.user == "none" && words.mutual_user) {
        return Error{ErrorCode::usage, "chap=none ends both directions; leave mutual= out"};
    }
    if (words.mutual_user && words.mutual_user->empty()) {
        return Error{ErrorCode::usage, "name the user that the target proves to be: mutual=USER"};
    }
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(nullptr, &std::fclose);
    if (!words.secret_file.empty()) {
        file.reset(std::fopen(words.secret_file.c_str(), "re"));
        if (!file) return system_error("reading " + words.secret_file, errno);
    }
    auto arguments = arguments_of(words, file ? file.get() : stdin);
    if (!arguments) return arguments.error();
    auto site = open_site(config);
    if (!site) return site.error();
    return ask(*site, "authenticate", *arguments);
}

}  // namespace cowtgt::tools
