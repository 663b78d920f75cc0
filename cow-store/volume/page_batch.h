#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/volume/engine.h"

namespace cowtgt {

/// Pages of one step of a checkpoint on their way to the file.
struct Volume::Engine::PageBatch {
    static constexpr std::uint32_t pages_max = 16;

    alignas(4096) std::array<std::byte, std::size_t{pages_max} * unit_size> bytes;
    std::array<UnitNumber, pages_max> units{};
    std::array<FileOperation, pages_max> io;
    std::uint32_t count = 0;    ///< pages
    std::uint32_t pending = 0;  ///< file operations under way
    int os_errno = 0;           ///< of the last one that failed
};

}  // namespace cowtgt
