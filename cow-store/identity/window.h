#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// The part of the disk that one structure lies in. A format sees nothing else, so a wrong offset
/// on the disk cannot lead it into a neighbour.
///
/// Errors: io when the image could not be read (whatever the source called it); corrupt when the
/// place lies outside, which is the disk's fault and no more than a reason to keep an identity.
/// Ownership: refers to the BlockSource, which outlives it.
class Window {
public:
    /// What of [begin, begin + length) lies inside the image.
    Window(const BlockSource& image, std::uint64_t begin, std::uint64_t length);

    std::uint64_t begin() const { return begin_; }    ///< bytes from the start of the disk
    std::uint64_t length() const { return length_; }  ///< bytes
    bool contains(std::uint64_t offset, std::uint64_t length) const {
        return offset <= length_ && length <= length_ - offset;
    }

    /// `offset` counts from the beginning of the window, in bytes.
    Result<void> read(std::uint64_t offset, MutableBytes into) const;
    Result<std::vector<std::byte>> read_bytes(std::uint64_t offset, std::uint64_t length) const;

    /// A type with exactly the layout of the disk (endian.h).
    template <typename T>
    Result<T> read_struct(std::uint64_t offset) const {
        static_assert(alignof(T) == 1 && std::is_trivially_copyable_v<T>);
        T value;
        Result<void> done = read(offset, std::as_writable_bytes(std::span<T, 1>(&value, 1)));
        if (!done) return std::move(done).error();
        return value;
    }

private:
    const BlockSource* image_;
    std::uint64_t begin_;
    std::uint64_t length_;
};

/// The disk is not what it must be, or holds what must not be changed: the identity is kept and
/// the message says why. Everything else (io, usage) is passed up to whoever called.
bool is_reason_to_keep(const Error& error);

}  // namespace cowtgt::identity
