#pragma once

#include <cstdint>
#include <string_view>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"

namespace cowtgt::scsi {

/// Builds parameter data at the front of a command's buffer. What does not fit is counted and
/// dropped, so that length fields are those of the whole (SPC-4 section 4.2.5.6).
class DataIn {
public:
    explicit DataIn(MutableBytes buffer) : buffer_(buffer) {}

    void put(Bytes bytes);
    void put8(std::uint8_t value) { put_struct(value); }
    void put16(std::uint16_t value) { put_struct(be16(value)); }
    void put32(std::uint32_t value) { put_struct(be32(value)); }
    void put64(std::uint64_t value) { put_struct(be64(value)); }
    /// A type made of byte-order integers.
    template <typename T>
    void put_struct(const T& value) {
        put(bytes_of_struct(value));
    }
    void put_zeros(std::size_t count);
    /// Left-aligned ASCII, cut or filled with spaces to `width`.
    void put_text(std::string_view text, std::size_t width);
    /// Overwrites a length field once the length is known.
    void set8(std::size_t at, std::size_t value) { set(at, be_low(value), 1); }
    void set16(std::size_t at, std::size_t value) { set(at, be_low(value), 2); }
    void set32(std::size_t at, std::size_t value) { set(at, be_low(value), 4); }

    std::size_t size() const { return size_; }  ///< bytes, with those that did not fit

private:
    static be64 be_low(std::size_t value) { return be64(value); }
    void set(std::size_t at, const be64& value, std::size_t width);

    MutableBytes buffer_;
    std::size_t size_ = 0;
};

}  // namespace cowtgt::scsi
