#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/store.h"

namespace cowtgt::control {

/// The command's side of the admin socket. Waits for its answers.
class ControlClient {
public:
    /// Nothing when no daemon listens there.
    static Result<std::optional<ControlClient>> connect(const std::filesystem::path& socket);
    explicit ControlClient(Descriptor connected) : socket_(std::move(connected)) {}

    /// Sends one request and waits for its end, however long the work takes. `descriptor` (or -1)
    /// goes along and stays the caller's. An Error is the daemon's, or says that it went away.
    Result<nlohmann::json> call(std::string_view command, const nlohmann::json& arguments,
                                int descriptor = -1, const store::Progress& progress = nullptr);

private:
    Result<std::string> read_line();

    Descriptor socket_;
    std::string received_;  ///< bytes behind the last line
};

}  // namespace cowtgt::control
