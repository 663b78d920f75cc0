#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

namespace cowtgt::config {

/// "40G", "512M", "1.5T", "4096": bytes, or with K, M, G, T, P as powers of 1024; also written
/// "40GiB" and "40GB", which mean the same here. Fractions are allowed if whole bytes come out.
Result<std::uint64_t> parse_size(std::string_view text);

/// Exact when a whole number of a unit comes out ("40G", "1536M"), otherwise in bytes ("4097"):
/// parse_size gives the same number back.
std::string exact_size(std::uint64_t bytes);

/// For people, at most one decimal: "1.4G", "312K", "0".
std::string short_size(std::uint64_t bytes);

}  // namespace cowtgt::config
