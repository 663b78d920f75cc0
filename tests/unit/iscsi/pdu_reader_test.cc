#include "target/iscsi/pdu_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cow-store/base/checksum.h"

namespace cowtgt::iscsi {
namespace {

std::vector<std::byte> bytes_of_hex(std::string_view hex) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes.push_back(
            static_cast<std::byte>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
    }
    return bytes;
}

/// All steps of an input given in pieces of `cut` bytes, one letter each, and the payload.
struct Trace {
    std::string steps;
    std::string payload;
    bool digest_is_right = true;
};

Trace trace(PduReader& reader, Bytes input, std::size_t cut) {
    Trace result;
    while (!input.empty()) {
        Bytes piece = input.first(std::min(cut, input.size()));
        input = input.subspan(piece.size());
        for (;;) {
            const PduReader::Step step = reader.feed(piece);
            if (step == PduReader::Step::need_more) break;
            if (step == PduReader::Step::payload) {
                result.payload += text_of(reader.payload());
                continue;
            }
            if (step == PduReader::Step::header) result.steps += 'h';
            if (step == PduReader::Step::end) {
                result.steps += 'e';
                result.digest_is_right = result.digest_is_right && reader.data_digest_is_right();
            }
            if (step == PduReader::Step::header_digest_error) return result.steps += 'd', result;
            if (step == PduReader::Step::too_long) return result.steps += 'l', result;
        }
    }
    return result;
}

std::vector<std::byte> nop_out_with(std::string_view data) {
    NopOut pdu{};
    pdu.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    const Bytes header = bytes_of_struct(pdu);
    std::vector<std::byte> bytes(header.begin(), header.end());
    const Bytes payload = bytes_of(data);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    bytes.resize(round_up(bytes.size(), 4));
    return bytes;
}

TEST(PduReader, CutsAStreamWhereverTheBytesArrive) {
    std::vector<std::byte> input = nop_out_with("hello");
    for (const std::string_view data : {"", "four"}) {
        const std::vector<std::byte> next = nop_out_with(data);
        input.insert(input.end(), next.begin(), next.end());
    }
    for (std::size_t cut = 1; cut <= input.size(); ++cut) {
        SCOPED_TRACE(cut);
        PduReader reader;
        const Trace result = trace(reader, input, cut);
        EXPECT_EQ(result.steps, "hehehe");
        EXPECT_EQ(result.payload, "hellofour");
        EXPECT_TRUE(reader.between_pdus());
    }
}

// RFC 3720 appendix B.4: 32 bytes of zeros have the CRC that travels as aa 36 91 8a.
TEST(PduReader, ChecksDigestsAsTheStandardShowsThem) {
    NopOut pdu{};
    pdu.data_segment_length.set(32);
    const Bytes header = bytes_of_struct(pdu);
    std::vector<std::byte> input(header.begin(), header.end());
    const std::uint32_t header_crc = crc32c(header);
    for (const unsigned shift : {0U, 8U, 16U, 24U}) {
        input.push_back(static_cast<std::byte>(header_crc >> shift & 0xff));
    }
    input.resize(input.size() + 32);
    const std::vector<std::byte> digest = bytes_of_hex("aa36918a");
    input.insert(input.end(), digest.begin(), digest.end());

    PduReader reader;
    reader.set_digests({.header = true, .data = true});
    const Trace good = trace(reader, input, 5);
    EXPECT_EQ(good.steps, "he");
    EXPECT_TRUE(good.digest_is_right);

    for (std::size_t i = 0; i < input.size(); ++i) {
        SCOPED_TRACE(i);
        std::vector<std::byte> damaged = input;
        damaged[i] ^= std::byte{0x10};
        PduReader fresh;
        fresh.set_digests({.header = true, .data = true});
        fresh.set_data_segment_length_max(0xffffff);
        const Trace result = trace(fresh, damaged, damaged.size());
        if (i == 4) continue;  // TotalAHSLength: the digest is looked for elsewhere
        if (i < 52) {
            EXPECT_EQ(result.steps, "d");
        } else {
            EXPECT_EQ(result.steps, "he");
            EXPECT_FALSE(result.digest_is_right);
        }
    }
}

TEST(PduReader, RefusesASegmentBeyondItsLimit) {
    PduReader reader;
    reader.set_data_segment_length_max(4);
    EXPECT_EQ(trace(reader, nop_out_with("four"), 100).steps, "he");
    EXPECT_EQ(trace(reader, nop_out_with("fives"), 100).steps, "l");
}

TEST(PduReader, GivesAdditionalHeaders) {
    ScsiCommand pdu{};
    pdu.opcode = opcode::scsi_command;
    pdu.total_ahs_length = 2;
    const Bytes header = bytes_of_struct(pdu);
    std::vector<std::byte> input(header.begin(), header.end());
    const std::vector<std::byte> additional = bytes_of_hex("0005020000001000");
    input.insert(input.end(), additional.begin(), additional.end());
    PduReader reader;
    EXPECT_EQ(trace(reader, input, 7).steps, "he");
    EXPECT_TRUE(std::ranges::equal(reader.additional_headers(), additional));
}

TEST(PduReader, CountsPayloadThatTheCallerReceivedItself) {
    std::vector<std::byte> input = nop_out_with("123456789");
    PduReader reader;
    Bytes rest = input;
    ASSERT_EQ(reader.feed(rest), PduReader::Step::header);
    ASSERT_EQ(reader.payload_left(), 9U);
    reader.take_payload(rest.first(4));
    rest = rest.subspan(4);
    ASSERT_EQ(reader.feed(rest), PduReader::Step::payload);
    EXPECT_EQ(text_of(reader.payload()), "56789");
    EXPECT_EQ(reader.feed(rest), PduReader::Step::end);
    EXPECT_TRUE(rest.empty());
}

}  // namespace
}  // namespace cowtgt::iscsi
