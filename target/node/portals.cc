#include "target/node/portals.h"

namespace cowtgt::node {

namespace {

bool is_loopback(std::string_view portal) {
    return portal.starts_with("127.") || portal.starts_with("[::1]:");
}

bool is_wildcard(std::string_view portal) {
    return portal.starts_with("0.0.0.0:") || portal.starts_with("[::]:");
}

}  // namespace

std::vector<std::string> target_addresses(std::string_view came_by,
                                          const std::vector<std::string>& configured) {
    const std::string tag = "," + std::to_string(portal_group_tag);
    std::vector<std::string> addresses{std::string(came_by) + tag};
    for (const std::string& portal : configured) {
        const bool is_of_use =
            !is_wildcard(portal) && (!is_loopback(portal) || is_loopback(came_by));
        if (is_of_use && portal != came_by) addresses.push_back(portal + tag);
    }
    return addresses;
}

}  // namespace cowtgt::node
