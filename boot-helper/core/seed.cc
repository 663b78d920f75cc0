#include "boot-helper/core/seed.h"

#include "cow-store/base/check.h"

namespace cowtgt::boot {

std::optional<std::string> seed_document(const Machine& machine, std::string_view document) {
    CHECK(machine.seed.has_value());
    const Seed& seed = *machine.seed;
    if (document == "meta-data") {
        // A clone that is made again is a new instance to cloud-init; names need no YAML quotes.
        return "instance-id: " + (machine.uuid.empty() ? machine.name : machine.uuid) +
               "\nlocal-hostname: " + machine.name + "\n";
    }
    // cloud-init insists on a user-data document and takes this one for "nothing to do".
    if (document == "user-data") {
        return seed.user_data.empty() ? "#cloud-config\n{}\n" : seed.user_data;
    }
    if (document == "vendor-data") return seed.vendor_data;
    if (document == "network-config" && !seed.network_config.empty()) return seed.network_config;
    return {};
}

}  // namespace cowtgt::boot
