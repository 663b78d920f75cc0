// Commands are executed in the order of their CmdSN, whatever the order in which they come
// (RFC 7143 section 4.2.2.1).

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "target/iscsi/held_commands.h"
#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

/// Every test runs with whole PDUs and byte by byte.
class CommandOrderTest : public testing::TestWithParam<std::size_t> {
protected:
    void log_in(const KeyValues& more = {}) {
        KeyValues keys = {{"InitialR2T", "No"}};
        keys.insert(keys.end(), more.begin(), more.end());
        script.log_in(keys);
    }
    ScsiCommand read_of(std::uint32_t length) {
        return script.command(read_operation, length, length, ScsiCommand::flag_read);
    }
    ScsiCommand write_of(std::uint32_t length) {
        return script.command(write_operation, length, length, ScsiCommand::flag_write);
    }
    static std::vector<std::uint32_t> tags(const std::vector<ReceivedPdu>& answers) {
        std::vector<std::uint32_t> found;
        for (const ReceivedPdu& answer : answers)
            found.push_back(answer.header.initiator_task_tag.get());
        return found;
    }

    Script script{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Cuts, CommandOrderTest, testing::Values(0, 1, 13));

TEST_P(CommandOrderTest, WhatComesTooEarlyWaits) {
    log_in();
    const ScsiCommand first = read_of(512), second = read_of(1024), third = read_of(512);
    EXPECT_TRUE(script.send(third).empty());
    EXPECT_TRUE(script.send(second).empty());
    const auto answers = script.send(first);
    EXPECT_EQ(tags(answers), (std::vector<std::uint32_t>{0x1000, 0x1001, 0x1002}));
    EXPECT_EQ(answers.back().as<DataIn>().exp_cmd_sn.get(), script.cmd_sn());
    EXPECT_TRUE(script.owner.closes.empty());
    EXPECT_EQ(script.send(read_of(512)).size(), 1U);
}

TEST_P(CommandOrderTest, AnyOrderIsMadeTheRightOne) {
    const auto seed = std::random_device()();
    std::cout << "seed " << seed << '\n';
    std::mt19937 random(seed);
    log_in();
    for (int round = 0; round < 20; ++round) {
        std::vector<ScsiCommand> commands;
        std::vector<std::uint32_t> wanted, answered;
        for (int i = 0; i < 32; ++i) {
            commands.push_back(read_of(64));
            wanted.push_back(commands.back().initiator_task_tag.get());
        }
        std::shuffle(commands.begin(), commands.end(), random);
        for (const ScsiCommand& command : commands) {
            const auto some = tags(script.send(command));
            answered.insert(answered.end(), some.begin(), some.end());
        }
        EXPECT_EQ(answered, wanted);
    }
}

TEST_P(CommandOrderTest, ImmediateCommandsDoNotWait) {
    log_in();
    (void)read_of(512);  // it never comes
    EXPECT_TRUE(script.send(read_of(512)).empty());
    NopOut ping{};
    ping.opcode = opcode::nop_out | opcode::immediate;
    ping.flags = flag_final;
    ping.initiator_task_tag = 7;
    ping.target_transfer_tag = reserved_tag;
    EXPECT_EQ(tags(script.send(ping)), std::vector<std::uint32_t>{7});
}

TEST_P(CommandOrderTest, AWriteWaitsWithItsUnsolicitedData) {
    script.digests = {true, true};
    log_in({{"HeaderDigest", "CRC32C"}, {"DataDigest", "CRC32C"}});
    const ScsiCommand first = read_of(4);
    ScsiCommand write = write_of(10);
    write.flags = static_cast<std::uint8_t>(write.flags & ~flag_final);
    EXPECT_TRUE(script.send(write, bytes_of("abc")).empty());
    DataOut data{};
    data.opcode = opcode::data_out;
    data.initiator_task_tag = write.initiator_task_tag;
    data.target_transfer_tag = reserved_tag;
    data.buffer_offset = 3;
    EXPECT_TRUE(script.send(data, bytes_of("defg")).empty());
    data.flags = flag_final;
    data.data_sn = 1;
    data.buffer_offset = 7;
    EXPECT_TRUE(script.send(data, bytes_of("hij")).empty());
    const auto answers = script.send(first);
    ASSERT_EQ(tags(answers), (std::vector<std::uint32_t>{0x1000, 0x1001}));
    EXPECT_EQ(answers[1].as<ScsiResponsePdu>().status, 0);
    EXPECT_EQ(text_of(Bytes(script.owner.memory).first(10)), "abcdefghij");
}

TEST_P(CommandOrderTest, WhatWaitedMayHaveToWaitForItsBufferToo) {
    log_in();
    script.owner.takes_buffers_later = true;
    const ScsiCommand first = read_of(512), write = write_of(3), last = read_of(512);
    EXPECT_TRUE(script.send(last).empty());
    EXPECT_TRUE(script.send(write, bytes_of("xyz")).empty());
    EXPECT_EQ(script.send(first).size(), 1U);
    ASSERT_EQ(script.owner.for_buffer.size(), 1U);
    EXPECT_FALSE(script.connection.takes_input());
    EXPECT_TRUE(script.connection.has_held_input());
    script.connection.receive_data_out(*script.owner.for_buffer[0],
                                       MutableBytes(script.owner.memory).first(3));
    EXPECT_TRUE(script.connection.direct_receive_window().empty());
    EXPECT_TRUE(script.connection.has_held_input());
    EXPECT_EQ(script.connection.receive({}), 0U);
    EXPECT_FALSE(script.connection.has_held_input());
    EXPECT_EQ(tags(script.output()), (std::vector<std::uint32_t>{0x1001, 0x1002}));
    EXPECT_EQ(text_of(Bytes(script.owner.memory).first(3)), "xyz");
}

TEST_P(CommandOrderTest, AWrongDataDigestIsStillWrongLater) {
    script.digests.data = true;
    log_in({{"DataDigest", "CRC32C"}});
    const ScsiCommand first = read_of(4);
    ScsiCommand write = write_of(4);
    write.data_segment_length.set(4);
    std::vector<std::byte> wire = script.wire(bytes_of_struct(write), bytes_of("abcd"));
    wire.back() ^= std::byte{1};
    EXPECT_TRUE(script.send_bytes(wire).empty());
    const auto answers = script.send(first);
    ASSERT_EQ(answers.size(), 3U);
    EXPECT_EQ(answers[1].as<Reject>().reason,
              static_cast<std::uint8_t>(RejectReason::data_digest_error));
    EXPECT_EQ(answers[2].as<ScsiResponsePdu>().status, 2);
}

TEST_P(CommandOrderTest, AnAbortTaskClosesTheGap) {
    log_in();
    const ScsiCommand lost = read_of(512), waits = read_of(512);
    EXPECT_TRUE(script.send(waits).empty());
    TaskManagementRequestPdu abort{};
    abort.opcode = opcode::task_management_request | opcode::immediate;
    abort.function = flag_final | static_cast<std::uint8_t>(TaskFunction::abort_task);
    abort.initiator_task_tag = 0x4711;
    abort.referenced_task_tag = lost.initiator_task_tag;
    abort.cmd_sn = script.cmd_sn();
    abort.ref_cmd_sn = lost.cmd_sn;
    EXPECT_EQ(tags(script.send(abort)), (std::vector<std::uint32_t>{0x4711, 0x1001}));
}

TEST_P(CommandOrderTest, WhatWaitsMayBeAborted) {
    log_in();
    const ScsiCommand first = read_of(512), aborted = read_of(512), last = read_of(512);
    EXPECT_TRUE(script.send(last).empty());
    EXPECT_TRUE(script.send(aborted).empty());
    TaskManagementRequestPdu abort{};
    abort.opcode = opcode::task_management_request | opcode::immediate;
    abort.function = flag_final | static_cast<std::uint8_t>(TaskFunction::abort_task);
    abort.initiator_task_tag = 0x4711;
    abort.referenced_task_tag = aborted.initiator_task_tag;
    abort.cmd_sn = script.cmd_sn();
    abort.ref_cmd_sn = aborted.cmd_sn;
    EXPECT_EQ(tags(script.send(abort)), std::vector<std::uint32_t>{0x4711});
    EXPECT_EQ(tags(script.send(first)), (std::vector<std::uint32_t>{0x1000, 0x1002}));
}

TEST_P(CommandOrderTest, ANumberThatWaitsAlreadyIsIgnored) {
    log_in();
    const ScsiCommand first = read_of(512), waits = read_of(512);
    EXPECT_TRUE(script.send(waits).empty());
    EXPECT_TRUE(script.send(waits).empty());
    EXPECT_EQ(tags(script.send(first)), (std::vector<std::uint32_t>{0x1000, 0x1001}));
}

TEST_P(CommandOrderTest, WhatWaitsIsLimited) {
    log_in();
    (void)read_of(512);  // it never comes
    const std::vector<std::byte> data(65536);
    const std::size_t fit = HeldCommands::byte_count_max / (data.size() + basic_header_size);
    for (std::size_t i = 0; i < fit; ++i)
        EXPECT_TRUE(script.send(write_of(65536), data).empty());
    EXPECT_TRUE(script.owner.closes.empty());
    script.send(write_of(65536), data);
    ASSERT_EQ(script.owner.closes.size(), 1U);
    EXPECT_EQ(script.owner.closes[0].kind, CloseReason::Kind::protocol_error);
}

}  // namespace
}  // namespace cowtgt::iscsi
