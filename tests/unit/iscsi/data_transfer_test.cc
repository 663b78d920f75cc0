#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <tuple>

#include "tests/support/iscsi_initiator.h"
#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

using test::InitiatorCommand;
using test::InitiatorSettings;
using test::IscsiInitiator;

/// Moves bytes between both ends until neither has anything to say, in random pieces.
class Wire {
public:
    /// `file`: where lent bytes are.
    Wire(IscsiInitiator& initiator, Connection& connection, std::uint64_t seed, Bytes file = {})
        : initiator_(initiator), connection_(connection), random_(seed), file_(file) {}

    void run() {
        do {
            const std::vector<std::byte> sent = initiator_.take_output();
            to_target_.insert(to_target_.end(), sent.begin(), sent.end());
        } while (deliver_to_target() || deliver_to_initiator());
    }

private:
    std::size_t some(std::size_t end) { return 1 + random_() % std::min<std::size_t>(end, 9000); }

    bool deliver_to_target() {
        if (to_target_.empty() || !connection_.takes_input()) return false;
        const MutableBytes window = connection_.direct_receive_window();
        if (!window.empty() && random_() % 2 == 0) {
            const std::size_t size =
                std::min({some(to_target_.size()), window.size(), to_target_.size()});
            std::copy_n(to_target_.begin(), size, window.begin());
            drop(size);
            connection_.received_directly(size);
        } else {
            const std::size_t size = std::min(some(to_target_.size()), to_target_.size());
            drop(connection_.receive(Bytes(to_target_).first(size)));
        }
        return true;
    }

    bool deliver_to_initiator() {
        std::array<OutputPiece, 5> pieces;
        const std::size_t count = connection_.gather(pieces);
        if (count == 0) return false;
        std::vector<std::byte> bytes;
        for (std::size_t i = 0; i < count; ++i) {
            const Bytes piece = content_of(pieces[i]);
            bytes.insert(bytes.end(), piece.begin(), piece.end());
        }
        bytes.resize(std::min(some(bytes.size()), bytes.size()));
        initiator_.receive(bytes);
        connection_.sent(bytes.size());
        return true;
    }

    Bytes content_of(const OutputPiece& piece) const {
        if (piece.lent == nullptr) return piece.bytes;
        return file_.subspan(piece.lent->offset + piece.lent_offset, piece.lent_length);
    }

    void drop(std::size_t size) {
        to_target_.erase(to_target_.begin(),
                         to_target_.begin() + static_cast<std::ptrdiff_t>(size));
    }

    IscsiInitiator& initiator_;
    Connection& connection_;
    std::mt19937_64 random_;
    Bytes file_;
    std::vector<std::byte> to_target_;
};

InitiatorCommand write_command(std::uint32_t offset, std::vector<std::byte> data) {
    const auto cdb = cdb_of(write_operation, static_cast<std::uint32_t>(data.size()), offset);
    return {.cdb = {cdb.begin(), cdb.end()}, .data_out = std::move(data)};
}

InitiatorCommand read_command(std::uint32_t offset, std::uint32_t length) {
    const auto cdb = cdb_of(read_operation, length, offset);
    return {.cdb = {cdb.begin(), cdb.end()}, .read_length = length};
}

struct Lengths {
    std::uint32_t data_segment, max_burst, first_burst;
};

/// ImmediateData, InitialR2T, digests, lengths, MaxOutstandingR2T.
using Combination = std::tuple<const char*, const char*, const char*, Lengths, std::uint16_t>;

class DataTransferTest : public testing::TestWithParam<Combination> {};

INSTANTIATE_TEST_SUITE_P(
    Matrix, DataTransferTest,
    testing::Combine(testing::Values("Yes", "No"), testing::Values("Yes", "No"),
                     testing::Values("None", "CRC32C"),
                     testing::Values(Lengths{512, 512, 512}, Lengths{8192, 262144, 65536},
                                     Lengths{4097, 10001, 7001}, Lengths{262144, 16776192, 262144}),
                     testing::Values(std::uint16_t{1}, std::uint16_t{3})));

// Random writes and reads, many at once: everything reads back, and every number is right. What is
// read is lent where that can be.
TEST_P(DataTransferTest, WhatIsWrittenIsRead) {
    const auto& [immediate_data, initial_r2t, digest, lengths, outstanding] = GetParam();
    constexpr std::uint64_t seed = 20260731;
    SCOPED_TRACE(seed);
    ConnectionLimits limits;
    limits.max_recv_data_segment_length = lengths.data_segment;
    limits.max_outstanding_r2t = outstanding;
    limits.command_window = 8;
    InitiatorSettings settings;
    settings.immediate_data = immediate_data;
    settings.initial_r2t = initial_r2t;
    settings.header_digest = settings.data_digest = digest;
    settings.max_recv_data_segment_length = lengths.data_segment;
    settings.max_burst_length = lengths.max_burst;
    settings.first_burst_length = lengths.first_burst;
    settings.max_outstanding_r2t = outstanding;
    settings.first_cmd_sn = 0xfffffff8;  // CmdSN wraps on the way

    constexpr std::uint32_t area = 65536;
    constexpr std::uint32_t areas = 12;
    ScriptOwner owner(area * areas);
    owner.lends = true;
    Connection connection(owner, limits, [](MutableBytes) {});
    IscsiInitiator initiator(settings);
    Wire wire(initiator, connection, seed, owner.memory);
    initiator.start_login();
    wire.run();
    ASSERT_TRUE(initiator.logged_in());
    EXPECT_EQ(initiator.answered("InitialR2T"), initial_r2t);
    EXPECT_EQ(initiator.answered("ImmediateData"), immediate_data);

    std::mt19937_64 random(seed);
    std::vector<std::byte> model(owner.memory.size());
    constexpr std::array<std::uint32_t, 6> sizes = {1, 511, 512, 4096, 7777, area};
    for (int round = 0; round < 4; ++round) {
        std::vector<std::uint32_t> writes;
        for (std::uint32_t i = 0; i < areas; ++i) {
            std::vector<std::byte> data(sizes[random() % sizes.size()]);
            for (std::byte& byte : data)
                byte = static_cast<std::byte>(random());
            std::ranges::copy(data, model.begin() + i * area);
            writes.push_back(initiator.submit(write_command(i * area, std::move(data))));
        }
        wire.run();
        for (const std::uint32_t tag : writes) {
            const auto completion = initiator.take_completion(tag);
            ASSERT_TRUE(completion.has_value());
            EXPECT_EQ(completion->status, 0);
            EXPECT_EQ(completion->residual_count, 0U);
        }
        EXPECT_TRUE(owner.memory == model);
        std::vector<std::uint32_t> reads;
        for (std::uint32_t i = 0; i < areas; ++i) {
            reads.push_back(initiator.submit(read_command(i * area, area)));
        }
        wire.run();
        for (std::uint32_t i = 0; i < areas; ++i) {
            const auto completion = initiator.take_completion(reads[i]);
            ASSERT_TRUE(completion.has_value());
            EXPECT_EQ(completion->status, 0);
            EXPECT_TRUE(
                std::ranges::equal(completion->data_in, Bytes(model).subspan(i * area, area)));
        }
    }
    EXPECT_EQ(initiator.outstanding(), 0U);
    EXPECT_EQ(owner.finished, 4U * 2 * areas);
    EXPECT_EQ(owner.lent, std::string_view(digest) == "None" ? 4U * areas : 0U);
    for (const std::string& violation : initiator.violations())
        ADD_FAILURE() << violation;
}

TEST(DataTransfer, PingsTextsAndLogoutBetweenTheData) {
    ScriptOwner owner(65536);
    owner.targets = {{"iqn.2026-01.org.example:test", {"192.0.2.1:3260,1"}}};
    Connection connection(owner, {}, [](MutableBytes) {});
    IscsiInitiator initiator({});
    Wire wire(initiator, connection, 1);
    initiator.start_login();
    wire.run();
    initiator.submit(write_command(0, std::vector<std::byte>(65536, std::byte{1})));
    initiator.send_ping(bytes_of("still there?"));
    initiator.send_text(std::string("SendTargets=All") + '\0');
    initiator.send_task_management(5, 0, reserved_tag);
    wire.run();
    ASSERT_EQ(initiator.inbox().size(), 2U);
    EXPECT_EQ(initiator.inbox()[0].text(), "still there?");
    EXPECT_EQ(initiator.inbox()[1].header.opcode(), opcode::task_management_response);
    EXPECT_EQ(initiator.text_answer(), text_of_keys({{"TargetName", "iqn.2026-01.org.example:test"},
                                                     {"TargetAddress", "192.0.2.1:3260,1"}}));
    initiator.send_logout(0);
    wire.run();
    ASSERT_EQ(owner.closes.size(), 1U);
    EXPECT_EQ(owner.closes[0].kind, CloseReason::Kind::logout);
    EXPECT_TRUE(initiator.violations().empty());
}

}  // namespace
}  // namespace cowtgt::iscsi
