// Counterparts of the tests that libiscsi's newest iscsi-test-cu has beyond Debian's 1.19, by their
// names there, against the running daemon. Those about CHAP are in tests/unit/iscsi/chap_test.cc;
// README.md has the whole table.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cow-store/base/endian.h"
#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::uint8_t good = 0, check_condition = 2;
constexpr std::uint64_t disk_bytes = 256U << 20;
constexpr std::uint32_t allocation_max = 4096;

/// `width` bytes, most significant first.
void put(Octets& out, std::uint64_t value, std::size_t width) {
    for (std::size_t i = width; i > 0; --i)
        out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
}

std::uint64_t number_at(const std::vector<std::byte>& data, std::size_t at, std::size_t width) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i)
        value = value << 8 | std::to_integer<std::uint64_t>(data.at(at + i));
    return value;
}

/// One daemon for all, a session for each.
class NewestSuite : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        daemon = std::make_unique<Daemon>();
        daemon->make_template("blank", disk_bytes);
        daemon->command({"clone", "blank", "web01"});
        daemon->command({"clone", "blank", "web02"});
        daemon->start();
    }
    static void TearDownTestSuite() {
        daemon->stop();
        daemon.reset();
    }
    void SetUp() override {
        initiator = log_in();
        initiator->run({.cdb = Octets(6)});  // takes the unit attention of a new nexus
    }
    void TearDown() override { EXPECT_TRUE(initiator->protocol().violations().empty()); }

    static std::unique_ptr<SocketInitiator> log_in() {
        test::InitiatorSettings settings;
        settings.target_name = daemon->target("web01");
        auto fresh = std::make_unique<SocketInitiator>(daemon->portal(), settings);
        EXPECT_EQ(fresh->log_in(), 0);
        return fresh;
    }
    std::vector<std::byte> data_of(const Octets& cdb, std::uint32_t length = allocation_max) {
        auto completion = initiator->run({.cdb = cdb, .read_length = length});
        EXPECT_EQ(completion.status, good);
        return std::move(completion.data_in);
    }
    std::vector<std::byte> read(std::uint64_t lba, std::uint32_t blocks) {
        Octets cdb = {0x88, 0};
        put(cdb, lba, 8);
        put(cdb, blocks, 4);
        put(cdb, 0, 2);
        return data_of(cdb, blocks * block_size);
    }
    void write(std::uint64_t lba, const std::vector<std::byte>& data) {
        Octets cdb = {0x8a, 0};
        put(cdb, lba, 8);
        put(cdb, data.size() / block_size, 4);
        put(cdb, 0, 2);
        EXPECT_EQ(initiator->run({.cdb = cdb, .data_out = data}).status, good);
    }
    /// REPORT TARGET PORT GROUPS.
    std::vector<std::byte> port_groups(std::uint32_t allocation) {
        Octets cdb = {0xa3, 0x0a, 0, 0, 0, 0};
        put(cdb, allocation, 4);
        put(cdb, 0, 2);
        return data_of(cdb, allocation);
    }
    std::string text_answer(const std::string& text) {
        initiator->protocol().send_text(text + '\0');
        const auto rejected = [&] {
            const auto& inbox = initiator->protocol().inbox();
            return !inbox.empty() && inbox.back().header.opcode() == iscsi::opcode::reject;
        };
        EXPECT_TRUE(initiator->run_until(
            [&] { return rejected() || initiator->protocol().text_answer().has_value(); }));
        return rejected() ? "Reject" : *initiator->protocol().text_answer();
    }

    static std::unique_ptr<Daemon> daemon;
    std::unique_ptr<SocketInitiator> initiator;
};
std::unique_ptr<Daemon> NewestSuite::daemon;

using CompareAndWrite = NewestSuite;
TEST_F(CompareAndWrite, MiscompareSense) {
    const std::vector<std::byte> stored(block_size, std::byte{'A'});
    write(0, stored);
    Octets cdb = {0x89, 0};
    put(cdb, 0, 8);
    put(cdb, 1, 4);
    put(cdb, 0, 2);
    for (std::size_t offset = 0; offset < block_size; ++offset) {
        std::vector<std::byte> data(2 * block_size, std::byte{'B'});
        std::copy(stored.begin(), stored.end(), data.begin());
        data[offset] = std::byte{'C'};
        const auto completion = initiator->run({.cdb = cdb, .data_out = data});
        ASSERT_EQ(completion.status, check_condition);
        ASSERT_EQ(completion.sense.at(2) & std::byte{0x0f}, std::byte{0x0e});
        ASSERT_EQ(completion.sense.at(12), std::byte{0x1d});
        ASSERT_NE(completion.sense.at(0) & std::byte{0x80}, std::byte{0}) << "VALID";
        ASSERT_EQ(number_at(completion.sense, 3, 4), offset);
    }
    EXPECT_EQ(read(0, 1), stored);
}

using ExtendedCopy = NewestSuite;
TEST_F(ExtendedCopy, Large) {
    constexpr std::uint8_t segment_with_offsets = 0x0a;
    Octets parameters_cdb = {0x84, 0x03, 0};
    put(parameters_cdb, 0, 7);
    put(parameters_cdb, allocation_max, 4);
    put(parameters_cdb, 0, 2);
    const auto parameters = data_of(parameters_cdb);
    const std::uint64_t copied_bytes = number_at(parameters, 16, 4);  // MAXIMUM SEGMENT LENGTH
    ASSERT_NE(std::find(parameters.begin() + 44, parameters.end(), std::byte{segment_with_offsets}),
              parameters.end());
    ASSERT_LE(copied_bytes, disk_bytes / 2);

    std::vector<std::byte> front(1U << 20, std::byte{'B'}), back(64U << 10, std::byte{'E'});
    const std::uint64_t to = (disk_bytes - copied_bytes) / block_size;
    write(0, front);
    write((copied_bytes - back.size()) / block_size, back);
    write(to + (8U << 20) / block_size, back);  // where the copy has nothing

    // The designator of this unit, as VPD page 83h has it first: NAA.
    const auto page = data_of({0x12, 1, 0x83, 0x10, 0, 0});
    ASSERT_EQ(number_at(page, 7, 1), 16U);
    Octets list = {1, 0x18, 0, 32, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0};
    list.insert(list.end(), {0xe4, 0, 0, 0});
    for (std::size_t i = 4; i < 24; ++i)
        list.push_back(std::to_integer<std::uint8_t>(page[i]));
    list.insert(list.end(), {0, 0, 0, 0, 0, 0, 2, 0});
    put(list, segment_with_offsets, 1);
    put(list, 0, 1);
    put(list, 28, 2);
    put(list, 0, 4);
    put(list, copied_bytes, 4);
    put(list, 0, 8);
    put(list, to, 8);
    put(list, 0, 4);
    Octets cdb = {0x83, 0};
    put(cdb, 0, 8);
    put(cdb, list.size(), 4);
    put(cdb, 0, 2);
    const auto bytes = std::as_bytes(std::span(list));
    ASSERT_EQ(initiator->run({.cdb = cdb, .data_out = {bytes.begin(), bytes.end()}}).status, good);
    EXPECT_EQ(read(to, (1U << 20) / block_size), front);
    EXPECT_EQ(read((disk_bytes - back.size()) / block_size, (64U << 10) / block_size), back);
    EXPECT_EQ(read(to + (8U << 20) / block_size, 128), std::vector<std::byte>(64U << 10));
}

using Inquiry = NewestSuite;
TEST_F(Inquiry, VPDPageCodesSorted) {
    const auto list = data_of({0x12, 1, 0x00, 0x10, 0, 0});
    const std::vector<std::byte> codes(list.begin() + 4, list.end());
    EXPECT_EQ(codes.size(), number_at(list, 2, 2));
    EXPECT_TRUE(std::adjacent_find(codes.begin(), codes.end(), std::greater_equal<>()) ==
                codes.end());
    for (const std::byte code : codes) {
        const auto page = data_of({0x12, 1, std::to_integer<std::uint8_t>(code), 0x10, 0, 0});
        ASSERT_GE(page.size(), 4U);
        EXPECT_EQ(page[1], code);
    }
}

using ReportTargetPortGroups = NewestSuite;
TEST_F(ReportTargetPortGroups, AGroupIsActive) {
    constexpr std::byte tpgs{0x30};
    ASSERT_NE(data_of({0x12, 0, 0, 0, 96, 0}, 96).at(5) & tpgs, std::byte{0});
    const auto groups = port_groups(allocation_max);
    ASSERT_GE(groups.size(), 16U);
    EXPECT_EQ(number_at(groups, 0, 4), groups.size() - 4);
    EXPECT_EQ(groups[4] & std::byte{0x0f}, std::byte{0}) << "active/optimized";
    EXPECT_EQ(number_at(groups, 11, 1), 1U) << "ports";
}

TEST_F(ReportTargetPortGroups, TruncationKeepsLengthAndOrder) {
    const auto whole = port_groups(allocation_max);
    for (std::uint32_t allocation = 4; allocation < whole.size(); ++allocation) {
        const auto cut = port_groups(allocation);
        ASSERT_EQ(cut.size(), allocation);
        EXPECT_TRUE(std::equal(cut.begin(), cut.end(), whole.begin()));
    }
}

using ReportLUNs = NewestSuite;
TEST_F(ReportLUNs, NoDuplicates) {
    for (std::uint8_t select = 0; select <= 2; ++select) {
        const auto list = data_of({0xa0, 0, select, 0, 0, 0, 0, 0, 0x10, 0, 0, 0});
        ASSERT_EQ(list.size(), 8 + number_at(list, 0, 4));
        std::set<std::uint64_t> seen;
        for (std::size_t at = 8; at < list.size(); at += 8)
            EXPECT_TRUE(seen.insert(number_at(list, at, 8)).second);
    }
}

using iSCSINop = NewestSuite;
TEST_F(iSCSINop, Simple) {
    for (const std::size_t size : {0U, 1U, 5U, 512U, 4096U}) {
        const std::vector<std::byte> data(size, std::byte{'n'});
        initiator->protocol().inbox().clear();
        initiator->protocol().send_ping(data);
        ASSERT_TRUE(initiator->run_until([&] { return !initiator->protocol().inbox().empty(); }));
        const test::ReceivedPdu& answer = initiator->protocol().inbox().front();
        EXPECT_EQ(answer.header.opcode(), iscsi::opcode::nop_in);
        EXPECT_EQ(answer.data, data);
    }
}

using iSCSISendTargets = NewestSuite;
TEST_F(iSCSISendTargets, Simple) {
    const std::string answer = text_answer("SendTargets=All");
    const std::string expected = "TargetName=" + daemon->target("web01") + '\0' +
                                 "TargetAddress=" + daemon->portal() + ",1" + '\0';
    EXPECT_EQ(answer, expected) << "its own target and no other";
}

TEST_F(iSCSISendTargets, Invalid) {
    for (const std::string text :
         {"SendTargetsPlease=All", "SendTargets=Alle", "SendTargets=A", "sENDtARGETS=aLL"}) {
        SCOPED_TRACE(text);
        EXPECT_EQ(text_answer(text).find("TargetName="), std::string::npos);
        initiator->protocol().inbox().clear();
    }
}

using iSCSITMF = NewestSuite;
TEST_F(iSCSITMF, LogoutDuringIO) {
    constexpr std::uint8_t close_session = 0;
    Octets cdb = {0x8a, 0};
    put(cdb, 0, 8);
    put(cdb, 256, 4);
    put(cdb, 0, 2);
    for (int i = 0; i < 32; ++i)
        initiator->protocol().submit(
            {.cdb = cdb, .data_out = std::vector<std::byte>(256 * block_size)});
    initiator->protocol().send_logout(close_session);
    EXPECT_TRUE(initiator->run_until([&] { return initiator->is_closed(); }));
    const auto& inbox = initiator->protocol().inbox();
    ASSERT_FALSE(inbox.empty());
    EXPECT_EQ(inbox.back().header.opcode(), iscsi::opcode::logout_response);
    EXPECT_EQ(inbox.back().as<iscsi::LogoutResponse>().response, iscsi::LogoutResponse::closed);
    initiator = log_in();
    EXPECT_EQ(initiator->run({.cdb = Octets(6)}).status, check_condition) << "a new nexus";
    EXPECT_EQ(initiator->run({.cdb = Octets(6)}).status, good);
}

}  // namespace
}  // namespace cowtgt::e2e
