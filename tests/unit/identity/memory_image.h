#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// A disk in memory. Sparse: a terabyte costs what was written to it.
class MemoryImage : public BlockSource {
public:
    explicit MemoryImage(std::uint64_t bytes) : size_(bytes) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override;
    std::uint64_t size() const override { return size_; }

    void resize(std::uint64_t bytes) { size_ = bytes; }
    void write(std::uint64_t offset, Bytes bytes);
    void write_le(std::uint64_t offset, unsigned width, std::uint64_t value);
    void flip_bit(std::uint64_t offset, unsigned bit);
    void apply(const std::vector<Patch>& patches);
    /// Reads that touch this byte fail from now on.
    void fail_at(std::uint64_t offset) { bad_byte_ = offset; }

    std::vector<std::byte> bytes(std::uint64_t offset, std::uint64_t length) const;
    std::uint64_t le(std::uint64_t offset, unsigned width) const;
    std::string uuid(std::uint64_t offset) const;  ///< in the order of RFC 4122
    std::string guid(std::uint64_t offset) const;  ///< mixed endian

    mutable std::uint64_t bytes_read = 0;

private:
    using Block = std::array<std::byte, 4096>;
    std::map<std::uint64_t, Block> blocks_;
    std::uint64_t size_;
    std::optional<std::uint64_t> bad_byte_;
};

}  // namespace cowtgt::identity
