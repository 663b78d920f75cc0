#include "target/iscsi/pdu_reader.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt::iscsi {

namespace {

Bytes take_front(Bytes& in, std::size_t byte_count) {
    const Bytes front = in.first(byte_count);
    in = in.subspan(byte_count);
    return front;
}

/// A digest travels least significant byte first (RFC 7143 section 13.1: the CRC bits are sent in
/// the order that iSCSI gives to a 32-bit word after mirroring each byte).
std::uint32_t digest_value(const std::array<std::byte, digest_size>& digest) {
    return std::bit_cast<le32>(digest).get();
}

}  // namespace

void PduReader::set_digests(Digests digests) {
    CHECK(between_pdus());
    digests_ = digests;
}

bool PduReader::collect(Bytes& in, MutableBytes place) {
    const std::size_t wanted = place.size() - received_;
    const Bytes piece = take_front(in, std::min(wanted, in.size()));
    if (!piece.empty()) {
        std::memcpy(place.data() + received_, piece.data(), piece.size());
        received_ += static_cast<std::uint32_t>(piece.size());
    }
    if (received_ < place.size()) return false;
    received_ = 0;
    return true;
}

PduReader::Step PduReader::feed(Bytes& in) {
    switch (part_) {
        case Part::basic_header:
            if (!collect(in, std::as_writable_bytes(std::span(&header_, 1)))) {
                return Step::need_more;
            }
            additional_.resize(std::size_t{header_.total_ahs_length} * 4);
            part_ = Part::additional_headers;
            [[fallthrough]];
        case Part::additional_headers:
            if (!collect(in, std::as_writable_bytes(std::span(additional_)))) {
                return Step::need_more;
            }
            if (!digests_.header) return check_header();
            part_ = Part::header_digest;
            [[fallthrough]];
        case Part::header_digest:
            if (!collect(in, digest_)) return Step::need_more;
            return check_header();
        case Part::data: {
            if (in.empty()) return Step::need_more;
            payload_ = take_front(in, std::min<std::size_t>(left_, in.size()));
            take_payload(payload_);
            return Step::payload;
        }
        case Part::padding:
            return take_padding(in);
        case Part::data_digest:
            return take_data_digest(in);
        case Part::finished:
            part_ = Part::basic_header;
            return Step::end;
    }
    CHECK(false);
}

PduReader::Step PduReader::check_header() {
    if (digests_.header) {
        std::uint32_t crc = crc32c_update(crc32c_start, bytes_of_struct(header_));
        crc = crc32c_update(crc, additional_headers());
        if (crc32c_finish(crc) != digest_value(digest_)) return Step::header_digest_error;
    }
    if (header_.data_segment_length.get() > data_segment_length_max_) return Step::too_long;
    begin_data();
    return Step::header;
}

void PduReader::begin_data() {
    data_digest_is_right_ = true;
    left_ = header_.data_segment_length.get();
    if (left_ == 0) {
        part_ = Part::finished;  // without data there is neither padding nor digest
        return;
    }
    data_crc_ = crc32c_start;
    part_ = Part::data;
}

void PduReader::take_payload(Bytes bytes) {
    CHECK(bytes.size() <= payload_left());
    if (digests_.data) data_crc_ = crc32c_update(data_crc_, bytes);
    left_ -= static_cast<std::uint32_t>(bytes.size());
    if (left_ == 0) begin_padding();
}

void PduReader::begin_padding() {
    left_ = (4 - header_.data_segment_length.get() % 4) % 4;
    if (left_ > 0) {
        part_ = Part::padding;
    } else {
        part_ = digests_.data ? Part::data_digest : Part::finished;
    }
}

PduReader::Step PduReader::take_padding(Bytes& in) {
    const Bytes piece = take_front(in, std::min<std::size_t>(left_, in.size()));
    if (digests_.data) data_crc_ = crc32c_update(data_crc_, piece);
    left_ -= static_cast<std::uint32_t>(piece.size());
    if (left_ > 0) return Step::need_more;
    if (digests_.data) {
        part_ = Part::data_digest;
        return take_data_digest(in);
    }
    part_ = Part::basic_header;
    return Step::end;
}

PduReader::Step PduReader::take_data_digest(Bytes& in) {
    if (!collect(in, digest_)) return Step::need_more;
    data_digest_is_right_ = crc32c_finish(data_crc_) == digest_value(digest_);
    part_ = Part::basic_header;
    return Step::end;
}

}  // namespace cowtgt::iscsi
