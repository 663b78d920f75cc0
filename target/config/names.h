#pragma once

#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "target/config/machine.h"

/// The iSCSI names that follow from the site's prefix P and an object's name (RFC 7143 section
/// 4.2.7). Nothing of this is stored: it is derived wherever it is needed.
namespace cowtgt::config {

/// `iqn.YYYY-MM.reversed.domain`, lower case, optionally with `:more`; short enough that every
/// derived name stays within the 223 bytes of RFC 7143 section 4.2.7.1.
Result<void> check_iqn_prefix(std::string_view prefix);

/// P:web01
std::string target_name(std::string_view prefix, std::string_view instance);
/// P:mac-52-54-00-12-34-01: the same target, for DHCP servers that only know the MAC.
std::string mac_alias(std::string_view prefix, const MacAddress& mac);
/// P:init:web01
std::string initiator_name(std::string_view prefix, std::string_view instance);

}  // namespace cowtgt::config
