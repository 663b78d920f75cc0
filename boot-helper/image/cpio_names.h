#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "cow-store/base/bytes.h"

namespace cowtgt::boot {

/// Reads the names in a cpio archive of the "newc" form (the kernel's
/// Documentation/driver-api/early-userspace/buffer-format.rst), fed in pieces of any size.
///
/// Pure; sizes in the archive are believed only as numbers to skip.
class CpioNames {
public:
    static constexpr std::size_t header_bytes = 110;
    static constexpr std::size_t name_bytes_max = 4096;

    using OnName = std::function<void(std::string_view)>;
    enum class State : std::uint8_t { header, name, data, padding, ended, broken };

    explicit CpioNames(OnName on_name) : on_name_(std::move(on_name)) {}

    /// Takes bytes off the front of `in`, all of them unless the archive ended (behind the padding
    /// of zeros that follows its trailer) or is broken. Returns how many it took.
    std::size_t feed(Bytes in);
    /// ended after the trailer and at least one byte that is no zero; padding: after the trailer.
    State state() const { return state_; }
    /// The trailer was read.
    bool is_whole() const { return state_ == State::padding || state_ == State::ended; }

private:
    void take(Bytes& in, std::size_t wanted);
    void end_header();
    void end_name();

    OnName on_name_;
    State state_ = State::header;
    std::string collected_;         ///< of the header or the name
    std::uint64_t name_bytes_ = 0;  ///< with its zero and padding
    std::uint64_t data_bytes_ = 0;  ///< left to skip, with padding
};

}  // namespace cowtgt::boot
