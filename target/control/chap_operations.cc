#include <nlohmann/json.hpp>

#include "target/control/arguments.h"
#include "target/control/operations.h"

/// Who has to authenticate: secrets.toml and those who serve.
namespace cowtgt::control {

using nlohmann::json;

Result<void> Operations::read_secrets() {
    if (auto read = secrets_.reload(); !read) return read;
    live_.set_secrets(secrets_.secrets());
    return {};
}

Result<json> Operations::authenticate(const json& arguments) {
    if (auto known =
            only_arguments(arguments, {"name", "user", "secret", "mutual_user", "mutual_secret"});
        !known) {
        return known.error();
    }
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    if (*name != config::discovery_entry) {
        if (auto found = store_.find_instance(*name); !found) return found.error();
    }
    auto user = optional_text_argument(arguments, "user");
    if (!user) return user.error();
    Result<void> edited;
    if (*user) {
        config::ChapSecrets secrets;
        secrets.user = **user;
        secrets.secret = arguments.value("secret", "");
        secrets.mutual_user = arguments.value("mutual_user", "");
        secrets.mutual_secret = arguments.value("mutual_secret", "");
        edited = secrets_.put(*name, secrets);
    } else {
        edited = secrets_.remove(*name);
    }
    if (!edited) return edited.error();
    live_.set_secrets(secrets_.secrets());
    return json{{"name", *name}, {"chap", chap_user_of(*name)}};
}

json Operations::chap_user_of(std::string_view name) const {
    const config::ChapSecrets* secrets = secrets_.find(name);
    return secrets == nullptr ? json() : json(secrets->user);
}

Result<void> Operations::copy_secret(std::string_view from, std::string_view to) {
    const config::ChapSecrets* found = secrets_.find(from);
    if (found == nullptr) return secrets_.remove(to);
    const config::ChapSecrets secrets = *found;
    if (auto put = secrets_.put(to, secrets); !put) return put;
    live_.set_secrets(secrets_.secrets());
    return {};
}

Result<void> Operations::forget_secret(std::string_view name) {
    if (auto removed = secrets_.remove(name); !removed) return removed;
    live_.set_secrets(secrets_.secrets());
    return {};
}

}  // namespace cowtgt::control
