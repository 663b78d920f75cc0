#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/core/fleet.h"
#include "boot-helper/image/file_tree.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

/// What an initrd holds, as far as a boot from iSCSI depends on it.
struct InitrdReport {
    Dialect dialect = Dialect::unknown;
    bool has_login = false;           ///< iscsistart, or dracut's iscsi module
    std::set<std::string> modules;    ///< "iscsi_tcp", "virtio_net": without .ko, `-` as `_`
    std::vector<std::string> layers;  ///< of its archives: "none", "zstd"
    std::string unread_because;       ///< not empty: a part of it could not be read
};

/// Reads the names in all archives of an initrd: first those that are not compressed (CPU
/// microcode), then usually one that is.
InitrdReport read_initrd(Bytes initrd);

/// The same for a file in an image.
Result<InitrdReport> read_initrd(FileTree& tree, std::string_view path);

}  // namespace cowtgt::boot
