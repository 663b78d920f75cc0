#include "target/control/intent.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "cow-store/descriptor.h"
#include "cow-store/file_posix.h"
#include "target/config/text_file.h"

namespace cowtgt::control {

namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 3> kind_names = {"clone", "rm", "rename"};

}  // namespace

Result<void> IntentFile::write(const Intent& intent) const {
    const json document = {{"command", kind_names[static_cast<std::size_t>(intent.kind)]},
                           {"name", intent.name},
                           {"to", intent.to},
                           {"line", intent.line}};
    const std::string text = document.dump(-1, ' ', false, json::error_handler_t::replace);
    auto opened = open_descriptor(file_, O_WRONLY | O_CREAT | O_TRUNC);
    if (!opened) return opened.error();
    return write_all_at(opened->get(), 0, bytes_of(text), file_.string());
}

std::optional<Intent> IntentFile::read() const {
    const auto text = config::read_text_file(file_);
    if (!text) return std::nullopt;
    const json document = json::parse(*text, nullptr, false);
    if (!document.is_object()) return std::nullopt;
    const auto text_of_key = [&document](const char* key) {
        const auto found = document.find(key);
        return found != document.end() && found->is_string() ? found->get<std::string>() : "";
    };
    const auto* kind = std::find(kind_names.begin(), kind_names.end(), text_of_key("command"));
    if (kind == kind_names.end()) return std::nullopt;
    Intent intent;
    intent.kind = static_cast<Intent::Kind>(kind - kind_names.begin());
    intent.name = text_of_key("name");
    intent.to = text_of_key("to");
    intent.line = text_of_key("line");
    return intent;
}

void IntentFile::clear() const {
    ::unlink(file_.c_str());
}

}  // namespace cowtgt::control
