#include <nlohmann/json.hpp>

#include "cow-store/store/streams.h"
#include "target/control/arguments.h"
#include "target/control/operations.h"

/// A stream that has arrived in the store becomes an instance, or the next snapshot of one.
namespace cowtgt::control {

using nlohmann::json;

Result<json> Operations::receive(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    if (store_.find_instance(*name)) {
        if (auto stopped = stop_for_change(*name); !stopped) return stopped.error();
    }
    const auto info = store::Streams(store_).finish(*name);
    if (!info) {
        // Why it did not work is the news; what was there is served as before.
        if (store_.find_instance(*name)) (void)serve(*name, "kept");
        return info.error();
    }
    if (auto served = serve(*name, "received"); !served) return served.error();
    return describe(*info);
}

}  // namespace cowtgt::control
