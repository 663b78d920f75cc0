#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

void put(Octets& out, std::uint64_t value, std::size_t width) {
    for (std::size_t i = width; i > 0; --i) {
        out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
    }
}

void append(Octets& out, const Octets& more) {
    out.insert(out.end(), more.begin(), more.end());
}

/// A target descriptor that names a unit by its NAA designator.
Octets naa_target(const std::array<std::uint8_t, 16>& naa) {
    Octets descriptor = hex("e4 00 0000 01 03 00 10");
    append(descriptor, {naa.begin(), naa.end()});
    append(descriptor, hex("00000000 00 000200"));
    return descriptor;
}
Octets this_unit() {
    return naa_target(test_config().naa);
}

struct Segment {
    std::uint16_t blocks;
    std::uint64_t from, to;
    std::uint16_t source = 0, destination = 0;
};
Octets segment_bytes(const Segment& segment) {
    Octets bytes = hex("02 00 0018");
    put(bytes, segment.source, 2);
    put(bytes, segment.destination, 2);
    put(bytes, 0, 2);
    put(bytes, segment.blocks, 2);
    put(bytes, segment.from, 8);
    put(bytes, segment.to, 8);
    return bytes;
}

/// A segment by bytes: type 0Ah.
struct ByteSegment {
    std::uint32_t bytes;
    std::uint64_t from, to;
    std::uint16_t from_offset = 0, to_offset = 0;
};
Octets segment_bytes(const ByteSegment& segment) {
    Octets bytes = hex("0a 00 001c 0000 0000");
    put(bytes, segment.bytes, 4);
    put(bytes, segment.from, 8);
    put(bytes, segment.to, 8);
    put(bytes, segment.from_offset, 2);
    put(bytes, segment.to_offset, 2);
    return bytes;
}

Octets copy_list(std::uint8_t identifier, const std::vector<Octets>& targets,
                 const std::vector<Octets>& segments) {
    Octets descriptors;
    std::size_t target_bytes = 0;
    for (const Octets& target : targets) {
        append(descriptors, target);
        target_bytes += target.size();
    }
    std::size_t segment_bytes = 0;
    for (const Octets& segment : segments) {
        append(descriptors, segment);
        segment_bytes += segment.size();
    }
    Octets list{identifier, 0};
    put(list, target_bytes, 2);
    put(list, 0, 4);
    put(list, segment_bytes, 4);
    put(list, 0, 4);
    append(list, descriptors);
    return list;
}

Answer copy(Driver& driver, const Octets& list) {
    Octets cdb = hex("83 00");
    put(cdb, 0, 8);
    put(cdb, list.size(), 4);
    put(cdb, 0, 2);
    return driver.send(cdb, list);
}
Answer copy_segment(Driver& driver, const Segment& segment) {
    return copy(driver, copy_list(1, {this_unit()}, {segment_bytes(segment)}));
}

std::string sense(const std::string& key, const std::string& code) {
    return "70 00 " + key + " 00 00 00 00 0a 00 00 00 00 " + code + " 00 00 00 00";
}

/// Each block filled with its own number.
void number_blocks(Driver& driver, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        driver.device.fill(first + i, 1, static_cast<std::uint8_t>(1 + (first + i) % 251));
    }
}

TEST(ExtendedCopy, CopiesBlocksInsideTheUnit) {
    Driver driver;
    number_blocks(driver, 0, 3000);
    const Octets source = driver.device.content(0, 3000);
    const Answer answer = copy(driver, copy_list(1, {this_unit()},
                                                 {segment_bytes(Segment{3000, 0, 4000}),
                                                  segment_bytes(Segment{1, 0, 8191})}));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(driver.device.content(4000, 3000), source);
    EXPECT_EQ(driver.device.content(8191, 1), repeat(1, 512));
    EXPECT_EQ(driver.device.content(7000, 1), repeat(0, 512));
}

TEST(ExtendedCopy, CopiesByBytesToo) {
    Driver driver;
    number_blocks(driver, 0, 3000);
    const Octets source = driver.device.content(0, 3000);
    // Mixed with the other kind: they are of different lengths.
    const Answer answer =
        copy(driver, copy_list(1, {this_unit()},
                               {segment_bytes(Segment{1, 5, 8191}),
                                segment_bytes(ByteSegment{2998 * 512, 1, 4000, 512, 1024}),
                                segment_bytes(Segment{1, 6, 8190})}));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(driver.device.content(4002, 2998), Octets(source.begin() + 1024, source.end()));
    EXPECT_EQ(driver.device.content(4000, 2), repeat(0, 1024));
    EXPECT_EQ(driver.device.content(8191, 1), repeat(6, 512));
    EXPECT_EQ(driver.device.content(8190, 1), repeat(7, 512));
}

TEST(ExtendedCopy, CopiesWholeBlocksOnlyAndNoMoreThanItReports) {
    Driver driver;
    const auto refusal = [&](const ByteSegment& segment) {
        return copy(driver, copy_list(1, {this_unit()}, {segment_bytes(segment)})).sense;
    };
    // The field pointer is the length of the segment: 16 bytes of header, 32 of target.
    const std::string invalid = "70 00 05 00 00 00 00 0a 00 00 00 00 26 00 00 80 00 38";
    EXPECT_EQ(refusal({100, 0, 9}), invalid);
    EXPECT_EQ(refusal({512, 0, 9, 1}), invalid);
    EXPECT_EQ(refusal({512, 0, 9, 0, 511}), invalid);
    EXPECT_EQ(refusal({(64U << 20) + 512, 0, 9}), invalid);
    EXPECT_EQ(refusal({512, ~0ULL, 9, 512}), sense("0a", "00 00"));
    EXPECT_EQ(refusal({512, 8191, 9, 512}), sense("0a", "00 00"));
    Octets cut = segment_bytes(ByteSegment{512, 0, 9});
    cut.resize(28);
    EXPECT_EQ(copy(driver, copy_list(1, {this_unit()}, {cut})).sense, parameter_list_length_error);
}

TEST(ExtendedCopy, WhatOverlapsArrivesUnharmed) {
    for (const Segment& segment : {Segment{5000, 0, 10}, Segment{5000, 10, 0}}) {
        Driver driver;
        number_blocks(driver, 0, 5010);
        const Octets source = driver.device.content(segment.from, segment.blocks);
        EXPECT_TRUE(copy_segment(driver, segment).good());
        EXPECT_EQ(driver.device.content(segment.to, segment.blocks), source);
    }
}

TEST(ExtendedCopy, WhatReadsAsZerosIsNotReadButUnmapped) {
    Driver driver;
    driver.device.fill(100, 10, 'a');
    driver.device.fill(1000, 300, 'b');
    const Answer answer = copy_segment(driver, {300, 0, 1000});
    EXPECT_TRUE(answer.good());
    ASSERT_EQ(answer.steps.size(), 4U);
    EXPECT_EQ(answer.steps[0].operation, BlockOperation::deallocate);
    EXPECT_EQ(answer.steps[1].operation, BlockOperation::read);
    EXPECT_EQ(answer.steps[1].block_count.value, 10U);
    EXPECT_EQ(answer.steps[3].operation, BlockOperation::deallocate);
    EXPECT_EQ(driver.device.content(1000, 100), repeat(0, 100 * 512));
    EXPECT_EQ(driver.device.content(1100, 10), repeat('a', 10 * 512));
    EXPECT_EQ(driver.device.content(1110, 190), repeat(0, 190 * 512));
}

TEST(ExtendedCopy, FindsTheUnitByItsVendorDesignatorToo) {
    Driver driver;
    number_blocks(driver, 0, 1);
    Octets target = hex("e4 00 0000 02 01 00 14");
    for (char c : std::string("COWTGT  0123456789ab")) {
        target.push_back(static_cast<std::uint8_t>(c));
    }
    append(target, hex("00 000200"));
    EXPECT_TRUE(copy(driver, copy_list(1, {target}, {segment_bytes(Segment{1, 0, 9})})).good());
    EXPECT_EQ(driver.device.content(9, 1), repeat(1, 512));
}

TEST(ExtendedCopy, AnEmptyListIsGoodAndABrokenOneIsNot) {
    Driver driver;
    EXPECT_TRUE(copy(driver, {}).good());
    const Octets whole = copy_list(1, {this_unit()}, {segment_bytes(Segment{1, 0, 9})});
    for (std::size_t bytes = 1; bytes < whole.size(); ++bytes) {
        SCOPED_TRACE(bytes);
        EXPECT_EQ(copy(driver, {whole.begin(), whole.begin() + static_cast<long>(bytes)}).sense,
                  parameter_list_length_error);
    }
    EXPECT_TRUE(copy(driver, whole).good());
    Octets with_inline_data = whole;
    with_inline_data[15] = 4;
    EXPECT_EQ(copy(driver, with_inline_data).sense, sense("05", "26 0b"));
}

TEST(ExtendedCopy, HasTheLimitsThatItReports) {
    Driver driver;
    const std::vector<Octets> five_targets(5, this_unit());
    const std::vector<Octets> many_segments(17, segment_bytes(Segment{1, 0, 9}));
    EXPECT_EQ(copy(driver, copy_list(1, five_targets, {many_segments[0]})).sense,
              sense("05", "26 06"));
    EXPECT_EQ(copy(driver, copy_list(1, {this_unit()}, many_segments)).sense, sense("05", "26 08"));
    const std::vector<Octets> long_segments(17, segment_bytes(ByteSegment{512, 0, 9}));
    EXPECT_EQ(copy(driver, copy_list(1, five_targets, long_segments)).sense,
              parameter_list_length_error);
}

TEST(ExtendedCopy, RefusesDescriptorsThatItDoesNotKnow) {
    Driver driver;
    Octets target = this_unit();
    target[0] = 0xe5;
    EXPECT_EQ(copy(driver, copy_list(1, {target}, {segment_bytes(Segment{1, 0, 9})})).sense,
              sense("05", "26 07"));
    Octets segment = segment_bytes(Segment{1, 0, 9});
    segment[0] = 0x0b;
    EXPECT_EQ(copy(driver, copy_list(1, {this_unit()}, {segment})).sense, sense("05", "26 09"));
}

TEST(ExtendedCopy, AbortsWhatCannotBeReached) {
    Driver driver;
    EXPECT_EQ(copy_segment(driver, {1, 0, 9, 1, 0}).sense, sense("0a", "08 04"));
    EXPECT_EQ(copy_segment(driver, {1, 0, 9, 0, 1}).sense, sense("0a", "08 04"));
    EXPECT_EQ(copy_segment(driver, {2, 8191, 0}).sense, sense("0a", "00 00"));
    EXPECT_EQ(copy_segment(driver, {2, 0, ~0ULL}).sense, sense("0a", "00 00"));
    Octets other = this_unit();
    other[8] ^= 1;
    EXPECT_EQ(copy(driver, copy_list(1, {other}, {segment_bytes(Segment{1, 0, 9})})).sense,
              sense("0a", "0d 02"));
    Octets null_target = this_unit();
    null_target[1] = 0x20;
    EXPECT_EQ(copy(driver, copy_list(1, {null_target}, {segment_bytes(Segment{1, 0, 9})})).sense,
              sense("0a", "0d 02"));
}

TEST(ExtendedCopy, TellsWhatBecameOfACopy) {
    constexpr std::string_view status_of_1 = "84 00 01 00000000000000 000000ff 00 00";
    Driver driver;
    number_blocks(driver, 0, 8);
    EXPECT_EQ(driver.send_hex(status_of_1).sense, invalid_field(2));
    EXPECT_TRUE(copy_segment(driver, {8, 0, 100}).good());
    EXPECT_EQ(to_hex(driver.send_hex(status_of_1).data), "00 00 00 08 01 00 01 01 00 00 00 04");
    driver.device.fail_at = 3;  // the write of the next copy
    EXPECT_EQ(copy_segment(driver, {8, 0, 100}).sense, sense("0a", "0d 01"));
    EXPECT_EQ(to_hex(driver.send_hex(status_of_1).data), "00 00 00 08 02 00 00 01 00 00 00 00");
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    EXPECT_EQ(driver.send_from(other, hex(status_of_1)).sense, invalid_field(2));
}

TEST(ExtendedCopy, ReportsItsParameters) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("84 03 00 00000000000000 000000ff 00 00").data),
              "00 00 00 2b 01 00 00 00 00 04 00 10 00 00 02 80 04 00 00 00 00 00 00 00 00 00 00 00 "
              "00 00 00 00 00 00 00 20 20 09 00 00 00 00 00 03 02 0a e4");
}

}  // namespace
}  // namespace cowtgt::scsi::test
