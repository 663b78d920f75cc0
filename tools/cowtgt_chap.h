#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "target/config/config.h"

namespace cowtgt::tools {

/// What `cowtgt set` was told about CHAP.
struct ChapWords {
    std::string name;                        ///< instance, or config::discovery_entry
    std::optional<std::string> user;         ///< chap=USER; "none" ends the authentication
    std::optional<std::string> mutual_user;  ///< mutual=USER
    std::string secret_file;                 ///< empty: standard input
    bool is_empty() const { return !user && !mutual_user; }
};

/// Takes chap= and mutual= out of the settings of one command.
ChapWords take_chap_words(std::string name, std::vector<std::string>& settings);

/// Reads the secrets, one line for each user, and puts them in force. They are never words of the
/// command, because every user of the host can read those. At a terminal they are asked for and
/// not shown.
Result<nlohmann::json> set_chap(const config::Config& config, const ChapWords& words);

}  // namespace cowtgt::tools
