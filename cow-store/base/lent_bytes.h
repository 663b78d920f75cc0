#pragma once

#include <cstdint>
#include <memory>

namespace cowtgt {

/// Bytes of a file that never change, where the kernel has them in memory: whoever sends them from
/// there needs no copy of them. `length` 0: nothing is lent.
///
/// Ownership: the file stays open as long as there is a copy of this.
struct LentBytes {
    std::shared_ptr<const void> keeps_open;
    int file = -1;             ///< descriptor; for whoever sends
    std::uint64_t offset = 0;  ///< bytes into the file
    std::uint64_t length = 0;  ///< bytes

    bool empty() const { return length == 0; }
};

}  // namespace cowtgt
