#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "cow-store/base/bytes.h"
#include "target/iscsi/pdu.h"

namespace cowtgt::iscsi {

/// Which digests a direction of a connection carries (RFC 7143 section 13.1).
struct Digests {
    bool header = false;
    bool data = false;
};

/// Cuts the byte stream of one connection into PDUs (RFC 7143 section 11).
///
/// No socket, clock or log: the caller moves the bytes, so tests, fuzzers and the ring all run
/// this same code. Nothing is allocated but the additional header segments, up to 1020 bytes.
/// Ownership: payload() points into the bytes given to feed() and dies with them.
/// Threads: none; one reader belongs to one connection.
class PduReader {
public:
    /// What one call of feed() has found.
    enum class Step : std::uint8_t {
        need_more,            ///< all bytes are taken and nothing is complete
        header,               ///< basic and additional header segments are complete
        payload,              ///< payload() is the next piece of the data segment
        end,                  ///< the PDU is complete; data_digest_is_right() says how
        header_digest_error,  ///< the stream cannot be followed any further
        too_long,             ///< DataSegmentLength is beyond what we declared
    };

    /// `data_segment_length_max`: bytes, what we declared or the default before that.
    void set_data_segment_length_max(std::uint32_t data_segment_length_max) {
        data_segment_length_max_ = data_segment_length_max;
    }
    /// Requires: between two PDUs.
    void set_digests(Digests digests);

    Digests digests() const { return digests_; }

    /// Takes bytes off the front of `in` and reports one step. Call again until it says need_more.
    /// After header_digest_error or too_long it must not be called again.
    Step feed(Bytes& in);

    const BasicHeader& header() const { return header_; }
    /// The header as the PDU that its opcode says.
    template <typename Pdu>
    Pdu header_as() const {
        static_assert(sizeof(Pdu) == basic_header_size);
        return std::bit_cast<Pdu>(header_);
    }
    Bytes additional_headers() const { return std::as_bytes(std::span(additional_)); }
    Bytes payload() const { return payload_; }
    bool data_digest_is_right() const { return data_digest_is_right_; }

    bool between_pdus() const { return part_ == Part::basic_header && received_ == 0; }
    /// Bytes of the data segment that are still to come; 0 outside of a data segment.
    std::uint32_t payload_left() const { return part_ == Part::data ? left_ : 0; }
    /// Counts bytes of the data segment that the caller has received by itself.
    /// Requires: bytes.size() <= payload_left().
    void take_payload(Bytes bytes);

private:
    enum class Part : std::uint8_t {
        basic_header,
        additional_headers,
        header_digest,
        data,
        padding,
        data_digest,
        finished
    };

    bool collect(Bytes& in, MutableBytes place);
    Step check_header();
    void begin_data();
    void begin_padding();
    Step take_padding(Bytes& in);
    Step take_data_digest(Bytes& in);

    BasicHeader header_{};
    std::vector<std::uint8_t> additional_;
    std::array<std::byte, digest_size> digest_{};
    Bytes payload_;
    Part part_ = Part::basic_header;
    Digests digests_;
    bool data_digest_is_right_ = true;
    std::uint32_t received_ = 0;  // bytes of the current part, where it is collected
    std::uint32_t left_ = 0;      // bytes of the data segment or of its padding still to come
    std::uint32_t data_crc_ = 0;
    std::uint32_t data_segment_length_max_ = 8192;
};

}  // namespace cowtgt::iscsi
