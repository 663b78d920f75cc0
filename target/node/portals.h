#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cowtgt::node {

/// The portal group that all portals make; each target is one SCSI target port (RFC 7143 section
/// 4.4.1), the same through every portal.
inline constexpr std::uint16_t portal_group_tag = 1;

/// TargetAddress values for SendTargets: every portal by which this initiator can come (RFC 7143
/// appendix C), "host:port,tag". First the one by which it came, since that one works; then those
/// of the configuration that name an address ("10.0.0.1:3260", "[fd00::1]:3260"). A wildcard names
/// none, and a loopback address is of use only to those who came by one.
std::vector<std::string> target_addresses(std::string_view came_by,
                                          const std::vector<std::string>& configured);

}  // namespace cowtgt::node
