#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

/// Every test runs with whole PDUs and byte by byte.
class FullFeatureTest : public testing::TestWithParam<std::size_t> {
protected:
    FullFeatureTest() { script.log_in({{"InitialR2T", "No"}}); }

    static NopOut ping_with_tag(std::uint32_t tag) {
        NopOut pdu{};
        pdu.opcode = opcode::nop_out | opcode::immediate;
        pdu.flags = flag_final;
        pdu.initiator_task_tag = tag;
        pdu.target_transfer_tag = reserved_tag;
        return pdu;
    }
    ScsiCommand read_of(std::uint32_t length, std::uint32_t expected) {
        return script.command(read_operation, length, expected, ScsiCommand::flag_read);
    }
    TaskManagementRequestPdu task_management(std::uint8_t function, std::uint32_t referenced = 0) {
        TaskManagementRequestPdu pdu{};
        pdu.opcode = opcode::task_management_request | opcode::immediate;
        pdu.function = static_cast<std::uint8_t>(flag_final | function);
        pdu.initiator_task_tag = script.next_tag();
        pdu.referenced_task_tag = referenced;
        return pdu;
    }
    TextRequest text_request() {
        TextRequest pdu{};
        pdu.opcode = opcode::text_request | opcode::immediate;
        pdu.flags = flag_final;
        pdu.initiator_task_tag = script.next_tag();
        pdu.target_transfer_tag = reserved_tag;
        return pdu;
    }
    LogoutRequest logout(std::uint8_t reason) {
        LogoutRequest pdu{};
        pdu.opcode = opcode::logout_request | opcode::immediate;
        pdu.reason = static_cast<std::uint8_t>(flag_final | reason);
        pdu.initiator_task_tag = script.next_tag();
        return pdu;
    }
    void expect_reject(const std::vector<ReceivedPdu>& answers, RejectReason reason,
                       const Bytes rejected_header) {
        ASSERT_EQ(answers.size(), 1U);
        ASSERT_EQ(answers[0].header.opcode(), opcode::reject);
        const auto pdu = answers[0].as<Reject>();
        EXPECT_EQ(pdu.reason, static_cast<std::uint8_t>(reason));
        EXPECT_EQ(pdu.initiator_task_tag.get(), reserved_tag);
        EXPECT_TRUE(std::ranges::equal(answers[0].data, rejected_header));
    }

    Script script{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Cuts, FullFeatureTest, testing::Values(0, 1, 13));

TEST_P(FullFeatureTest, AReadIsAnsweredByOneDataInWithStatus) {
    script.owner.memory[0] = std::byte{0xab};
    const auto answers = script.send(read_of(512, 512));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<DataIn>();
    EXPECT_EQ(pdu.opcode, opcode::data_in);
    EXPECT_EQ(pdu.flags, flag_final | DataIn::flag_status);
    EXPECT_EQ(pdu.status, 0);
    EXPECT_EQ(pdu.initiator_task_tag.get(), 0x1000U);
    EXPECT_EQ(pdu.target_transfer_tag.get(), reserved_tag);
    EXPECT_EQ(pdu.stat_sn.get(), 1U);
    EXPECT_EQ(pdu.exp_cmd_sn.get(), 2U);
    EXPECT_EQ(pdu.max_cmd_sn.get(), 129U);
    EXPECT_EQ(pdu.data_sn.get(), 0U);
    EXPECT_EQ(answers[0].data.size(), 512U);
    EXPECT_EQ(answers[0].data[0], std::byte{0xab});
    EXPECT_EQ(script.owner.finished, 1U);
}

TEST_P(FullFeatureTest, ALongReadIsCutByTheInitiatorsLength) {
    // The initiator declared nothing: 8192 bytes.
    const auto answers = script.send(read_of(20000, 20000));
    ASSERT_EQ(answers.size(), 3U);
    for (std::uint32_t i = 0; i < 3; ++i) {
        const auto pdu = answers[i].as<DataIn>();
        EXPECT_EQ(pdu.data_sn.get(), i);
        EXPECT_EQ(pdu.buffer_offset.get(), i * 8192);
        EXPECT_EQ(pdu.flags, i == 2 ? flag_final | DataIn::flag_status : 0);
    }
    EXPECT_EQ(answers[2].data.size(), 20000U - 2 * 8192);
}

TEST_P(FullFeatureTest, SenseComesInAScsiResponse) {
    const auto answers =
        script.send(script.command(fail_operation, 0, 512, ScsiCommand::flag_read));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<ScsiResponsePdu>();
    EXPECT_EQ(pdu.opcode, opcode::scsi_response);
    EXPECT_EQ(pdu.status, 2);
    EXPECT_EQ(pdu.response, 0);
    EXPECT_EQ(pdu.flags, flag_final | ScsiResponsePdu::flag_underflow);
    EXPECT_EQ(pdu.residual_count.get(), 512U);
    ASSERT_EQ(answers[0].data.size(), 5U);
    EXPECT_EQ(answers[0].data[1], std::byte{3});
    EXPECT_EQ(answers[0].data[2], std::byte{0x70});
}

struct ResidualCase {
    std::uint32_t moved, expected, data_size;
    std::uint8_t flag;
    std::uint32_t residual;
};

TEST_P(FullFeatureTest, ReadsHaveExactResiduals) {
    constexpr ResidualCase cases[] = {
        {512, 512, 512, 0, 0},
        {512, 200, 200, DataIn::flag_overflow, 312},
        {512, 10000, 512, DataIn::flag_underflow, 9488},
        {1024, 512, 512, DataIn::flag_overflow, 512},
    };
    for (const ResidualCase& row : cases) {
        const auto answers = script.send(read_of(row.moved, row.expected));
        ASSERT_EQ(answers.size(), 1U);
        const auto pdu = answers[0].as<DataIn>();
        EXPECT_EQ(pdu.flags, flag_final | DataIn::flag_status | row.flag);
        EXPECT_EQ(pdu.residual_count.get(), row.residual);
        EXPECT_EQ(answers[0].data.size(), row.data_size);
    }
    const auto answers = script.send(read_of(512, 0));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<ScsiResponsePdu>();
    EXPECT_EQ(pdu.opcode, opcode::scsi_response);
    EXPECT_EQ(pdu.status, 0);
    EXPECT_EQ(pdu.flags, flag_final | ScsiResponsePdu::flag_overflow);
    EXPECT_EQ(pdu.residual_count.get(), 512U);
}

TEST_P(FullFeatureTest, CommandsOutsideOfTheWindowAreIgnored) {
    ScsiCommand late = read_of(512, 512);
    const std::uint32_t exp_cmd_sn = late.cmd_sn.get();
    late.cmd_sn = exp_cmd_sn - 1;
    EXPECT_TRUE(script.send(late).empty());
    late.cmd_sn = exp_cmd_sn + 128;  // MaxCmdSN + 1
    EXPECT_TRUE(script.send(late).empty());
    late.cmd_sn = exp_cmd_sn + 0x80000000U;
    EXPECT_TRUE(script.send(late).empty());
    // With data, which have to be skipped.
    ScsiCommand write = late;
    write.flags = flag_final | ScsiCommand::flag_write;
    write.expected_data_transfer_length = 5;
    EXPECT_TRUE(script.send(write, bytes_of("12345")).empty());
    EXPECT_TRUE(script.owner.closes.empty());
    late.cmd_sn = exp_cmd_sn;
    EXPECT_EQ(script.send(late).size(), 1U);
}

TEST_P(FullFeatureTest, ImmediateCommandsTakeNoNumber) {
    ScsiCommand pdu = read_of(512, 512);
    pdu.opcode |= opcode::immediate;
    pdu.cmd_sn = 4711;
    const auto answers = script.send(pdu);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<DataIn>().exp_cmd_sn.get(), 1U);
}

TEST_P(FullFeatureTest, TheWindowClosesAndOpensWithTheTasks) {
    ConnectionLimits limits;
    limits.command_window = 2;
    Script small(GetParam(), limits);
    small.log_in();
    for (int i = 0; i < 2; ++i) {
        EXPECT_TRUE(small.send(small.command(hold_operation, 0, 0, 0)).empty());
    }
    EXPECT_TRUE(small.send(small.command(hold_operation, 0, 0, 0)).empty());
    ASSERT_EQ(small.owner.held.size(), 2U);  // the third had no room
    small.owner.complete_held(small.connection, *small.owner.held[1]);
    const auto answers = small.output();
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<ScsiResponsePdu>().exp_cmd_sn.get(), 3U);
    EXPECT_EQ(answers[0].as<ScsiResponsePdu>().max_cmd_sn.get(), 3U);
    ScsiCommand third = small.command(hold_operation, 0, 0, 0);
    third.cmd_sn = 3;
    small.send(third);
    EXPECT_EQ(small.owner.held.size(), 2U);
}

TEST_P(FullFeatureTest, AWindowOfOneWorks) {
    ConnectionLimits limits;
    limits.command_window = 1;
    Script small(GetParam(), limits);
    small.log_in();
    for (int i = 0; i < 3; ++i) {
        const auto answers =
            small.send(small.command(read_operation, 512, 512, ScsiCommand::flag_read));
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<DataIn>().max_cmd_sn.get(),
                  answers[0].as<DataIn>().exp_cmd_sn.get());
    }
}

TEST_P(FullFeatureTest, ImmediateTasksAreLimited) {
    ConnectionLimits limits;
    limits.command_window = 1;
    Script small(GetParam(), limits);
    small.log_in();
    ScsiCommand pdu = small.command(hold_operation, 0, 0, 0);
    pdu.opcode |= opcode::immediate;
    for (int i = 0; i < 17; ++i) {
        pdu.initiator_task_tag = small.next_tag();
        EXPECT_TRUE(small.send(pdu).empty());
    }
    pdu.initiator_task_tag = small.next_tag();
    expect_reject(small.send(pdu), RejectReason::too_many_immediate_commands, bytes_of_struct(pdu));
}

TEST_P(FullFeatureTest, ATagInUseIsRejected) {
    ScsiCommand pdu = script.command(hold_operation, 0, 0, 0);
    EXPECT_TRUE(script.send(pdu).empty());
    pdu.cmd_sn = script.next_cmd_sn();
    expect_reject(script.send(pdu), RejectReason::task_in_progress, bytes_of_struct(pdu));
    script.owner.complete_held(script.connection, *script.owner.held[0]);
    EXPECT_EQ(script.output().size(), 1U);
    pdu.cmd_sn = script.next_cmd_sn();
    EXPECT_TRUE(script.send(pdu).empty());
    EXPECT_EQ(script.owner.held.size(), 1U);
}

TEST_P(FullFeatureTest, WhatIsNotSupportedIsRejected) {
    NopOut pdu = ping_with_tag(1);
    pdu.opcode = opcode::snack_request;
    expect_reject(script.send(pdu), RejectReason::snack_reject, bytes_of_struct(pdu));
    pdu.opcode = 0x1c | opcode::immediate;
    expect_reject(script.send(pdu), RejectReason::command_not_supported, bytes_of_struct(pdu));
    pdu.opcode = opcode::login_request | opcode::immediate;
    expect_reject(script.send(pdu), RejectReason::protocol_error, bytes_of_struct(pdu));
    pdu = ping_with_tag(1);
    EXPECT_EQ(script.send(pdu).size(), 1U);  // and the connection lives
}

TEST_P(FullFeatureTest, AdditionalHeadersAreRead) {
    ScsiCommand pdu = script.command(hold_operation, 0, 0, 0);
    pdu.total_ahs_length = 4;
    std::vector<std::byte> bytes = script.wire(bytes_of_struct(pdu), {});
    // 20 bytes of CDB: four more than the header has room for; then nothing known.
    const std::array<std::uint8_t, 8> extended = {0, 5, 1, 0, 0xaa, 0xbb, 0xcc, 0xdd};
    const std::array<std::uint8_t, 8> bidirectional = {0, 5, 2, 0, 0, 0, 0x10, 0};
    for (const auto& ahs : {extended, bidirectional}) {
        for (const std::uint8_t byte : ahs)
            bytes.push_back(std::byte{byte});
    }
    EXPECT_TRUE(script.send_bytes(bytes).empty());
    ASSERT_EQ(script.owner.held.size(), 1U);
    const auto& cdb = script.owner.held[0]->extended_cdb;
    ASSERT_EQ(cdb.size(), 20U);
    EXPECT_EQ(cdb[0], hold_operation);
    EXPECT_EQ(cdb[16], 0xaa);
    EXPECT_EQ(cdb[19], 0xdd);
}

TEST_P(FullFeatureTest, BrokenAdditionalHeadersAreRejected) {
    const std::array<std::array<std::uint8_t, 4>, 4> cases = {{
        {0, 9, 1, 0},  // longer than what is there
        {0, 0, 1, 0},  // no content at all
        {0, 1, 9, 0},  // of no known type
        {0, 1, 2, 0},  // no length where a length has to be
    }};
    for (const auto& ahs : cases) {
        ScsiCommand pdu = script.command(hold_operation, 0, 0, 0);
        pdu.total_ahs_length = 1;
        std::vector<std::byte> bytes = script.wire(bytes_of_struct(pdu), {});
        for (const std::uint8_t byte : ahs)
            bytes.push_back(std::byte{byte});
        expect_reject(script.send_bytes(bytes), RejectReason::invalid_pdu_field,
                      bytes_of_struct(pdu));
    }
    EXPECT_TRUE(script.owner.held.empty());
}

TEST_P(FullFeatureTest, PingsAreEchoed) {
    for (const std::string& data : {std::string(), std::string("x"), std::string(8192, 'p')}) {
        const auto answers = script.send(ping_with_tag(0x55), bytes_of(data));
        ASSERT_EQ(answers.size(), 1U);
        const auto pdu = answers[0].as<NopIn>();
        EXPECT_EQ(pdu.opcode, opcode::nop_in);
        EXPECT_EQ(pdu.initiator_task_tag.get(), 0x55U);
        EXPECT_EQ(pdu.target_transfer_tag.get(), reserved_tag);
        EXPECT_EQ(answers[0].text(), data);
    }
    // Never more than the initiator takes.
    EXPECT_EQ(script.send(ping_with_tag(0x55), bytes_of(std::string(9000, 'p')))[0].data.size(),
              8192U);
}

TEST_P(FullFeatureTest, OurPingsAreAnswered) {
    script.connection.send_ping();
    auto pings = script.output();
    ASSERT_EQ(pings.size(), 1U);
    const auto ping = pings[0].as<NopIn>();
    EXPECT_EQ(ping.initiator_task_tag.get(), reserved_tag);
    EXPECT_NE(ping.target_transfer_tag.get(), reserved_tag);
    EXPECT_EQ(ping.stat_sn.get(), 1U);
    NopOut answer = ping_with_tag(reserved_tag);
    answer.target_transfer_tag = ping.target_transfer_tag;
    EXPECT_TRUE(script.send(answer).empty());
    EXPECT_EQ(script.owner.events.back(), "ping answered");
    // The ping did not use its StatSN up; news about ExpStatSN have no answer.
    EXPECT_TRUE(script.send(ping_with_tag(reserved_tag)).empty());
    EXPECT_EQ(script.send(ping_with_tag(2))[0].as<NopIn>().stat_sn.get(), 1U);
}

TEST_P(FullFeatureTest, PingsThatNobodyReadsStopTheInput) {
    const NopOut ping = ping_with_tag(9);
    const Bytes bytes = bytes_of_struct(ping);
    int taken = 0;
    while (script.connection.receive(bytes) == bytes.size())
        ASSERT_LT(++taken, 1000);
    EXPECT_EQ(taken, 64);
    EXPECT_FALSE(script.connection.takes_input());
    EXPECT_EQ(script.output().size(), 64U);
    EXPECT_TRUE(script.connection.takes_input());
}

TEST_P(FullFeatureTest, TaskManagementReachesTheOwner) {
    for (std::uint8_t function = 2; function <= 7; ++function) {
        const auto answers = script.send(task_management(function));
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 0);
        EXPECT_EQ(script.owner.events.back(), "task management " + std::to_string(function));
    }
}

TEST_P(FullFeatureTest, TaskManagementThatCannotBe) {
    EXPECT_EQ(script.send(task_management(8))[0].as<TaskManagementResponsePdu>().response, 4);
    constexpr std::array<std::uint8_t, 3> unknown = {0, 9, 0x7f};
    for (const std::uint8_t function : unknown) {
        const auto pdu = task_management(function);
        expect_reject(script.send(pdu), RejectReason::invalid_pdu_field, bytes_of_struct(pdu));
    }
}

TEST_P(FullFeatureTest, AbortTaskFindsTheTask) {
    const ScsiCommand pdu = script.command(hold_operation, 0, 0, 0);
    script.send(pdu);
    auto answers = script.send(task_management(1, pdu.initiator_task_tag.get()));
    ASSERT_EQ(answers.size(), 1U);  // and no SCSI Response
    EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 0);
    EXPECT_EQ(script.owner.finished, 1U);
    answers = script.send(task_management(1, pdu.initiator_task_tag.get()));
    EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 1);
    EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().max_cmd_sn.get(), 129U);
}

/// RFC 7143 section 11.5.1, second paragraph about RefCmdSN.
TEST_P(FullFeatureTest, AbortTaskTakesTheNumberOfACommandThatDoesNotCome) {
    const ScsiCommand lost = script.command(read_operation, 512, 512, ScsiCommand::flag_read);
    const std::uint32_t number = lost.cmd_sn.get();
    TaskManagementRequestPdu abort = task_management(1, lost.initiator_task_tag.get());
    abort.cmd_sn = number + 1;
    abort.ref_cmd_sn = number;
    auto answers = script.send(abort);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 0);
    EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().exp_cmd_sn.get(), number + 1);
    EXPECT_TRUE(script.send(lost).empty()) << "it counts as received and aborted";
    EXPECT_EQ(script.send(read_of(512, 512)).size(), 1U);
    EXPECT_TRUE(script.owner.closes.empty());
}

TEST_P(FullFeatureTest, AbortTasksMayTakeSeveralNumbersInAnyOrder) {
    std::vector<ScsiCommand> lost;
    for (int i = 0; i < 3; ++i)
        lost.push_back(read_of(512, 512));
    for (const std::size_t i : {2U, 1U, 2U}) {
        TaskManagementRequestPdu abort = task_management(1, lost[i].initiator_task_tag.get());
        abort.cmd_sn = script.cmd_sn();
        abort.ref_cmd_sn = lost[i].cmd_sn;
        const auto answers = script.send(abort);
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 0);
        EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().exp_cmd_sn.get(),
                  lost[0].cmd_sn.get());
    }
    EXPECT_TRUE(script.send(lost[2]).empty());
    const auto answers = script.send(lost[0]);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<DataIn>().exp_cmd_sn.get(), script.cmd_sn());
    EXPECT_EQ(script.send(read_of(512, 512)).size(), 1U);
}

TEST_P(FullFeatureTest, AbortTaskOfANumberThatCannotComeFindsNothing) {
    struct Row {
        const char* what;
        std::uint32_t ref_cmd_sn, cmd_sn;  ///< relative to ExpCmdSN
    };
    const Row rows[] = {
        {"before the window", 0xffffffff, 0},
        {"its own number", 0, 0},
        {"after its own number", 5, 3},
        {"beyond the window", 128, 129},
    };
    const std::uint32_t expected = script.cmd_sn();
    for (const Row& row : rows) {
        SCOPED_TRACE(row.what);
        TaskManagementRequestPdu abort = task_management(1, 0x4711);
        abort.cmd_sn = expected + row.cmd_sn;
        abort.ref_cmd_sn = expected + row.ref_cmd_sn;
        const auto answers = script.send(abort);
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().response, 1);
        EXPECT_EQ(answers[0].as<TaskManagementResponsePdu>().exp_cmd_sn.get(), expected);
    }
}

TEST_P(FullFeatureTest, ATaskWhoseStatusIsQueuedCannotBeAborted) {
    const ScsiCommand command = script.command(hold_operation, 0, 0, 0);
    script.send(command);
    script.connection.complete(*script.owner.held[0], {});
    const auto answers = script.send(task_management(1, command.initiator_task_tag.get()));
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[0].header.opcode(), opcode::scsi_response);
    EXPECT_EQ(answers[1].as<TaskManagementResponsePdu>().response, 1);
}

TEST_P(FullFeatureTest, SendTargetsInANormalSessionKnowsOnlyItsOwn) {
    script.owner.targets = {{std::string(test_target), {"10.0.0.1:3260,1", "[fd00::1]:3260,1"}},
                            {"iqn.2026-01.org.example:other", {"10.0.0.1:3260,1"}}};
    const std::string own = text_of_keys({{"TargetName", std::string(test_target)},
                                          {"TargetAddress", "10.0.0.1:3260,1"},
                                          {"TargetAddress", "[fd00::1]:3260,1"}});
    const std::pair<std::string, std::string> cases[] = {
        {"SendTargets=All", own},
        {"SendTargets=", own},
        {"SendTargets=" + std::string(test_target), own},
        {"SendTargets=iqn.2026-01.org.example:other", text_of_keys({{"SendTargets", "Reject"}})},
        {"SendTargets=Alle", text_of_keys({{"SendTargets", "Reject"}})},
        {"SendTargets=A", text_of_keys({{"SendTargets", "Reject"}})},
        {"SendTargetsPlease=All", text_of_keys({{"SendTargetsPlease", "NotUnderstood"}})},
        {"MaxBurstLength=512", text_of_keys({{"MaxBurstLength", "Reject"}})},
        {"MaxRecvDataSegmentLength=1", text_of_keys({{"MaxRecvDataSegmentLength", "Reject"}})},
        {"X-new=1", text_of_keys({{"X-new", "NotUnderstood"}})},
    };
    for (const auto& [request, expected] : cases) {
        SCOPED_TRACE(request);
        const auto answers = script.send(text_request(), bytes_of(request + '\0'));
        ASSERT_EQ(answers.size(), 1U);
        const auto pdu = answers[0].as<TextResponse>();
        EXPECT_EQ(pdu.opcode, opcode::text_response);
        EXPECT_EQ(pdu.flags, flag_final);
        EXPECT_EQ(pdu.target_transfer_tag.get(), reserved_tag);
        EXPECT_EQ(answers[0].text(), expected);
    }
    for (const std::string request : {"sENDtARGETS=aLL", "SendTargets"}) {
        const TextRequest pdu = text_request();
        expect_reject(
            script.send(pdu, bytes_of(request + '\0')), RejectReason::protocol_error, [&] {
                static TextRequest sent;
                sent = pdu;
                sent.data_segment_length.set(static_cast<std::uint32_t>(request.size() + 1));
                return bytes_of_struct(sent);
            }());
    }
}

TEST_P(FullFeatureTest, DiscoveryListsTargetsInPieces) {
    Script discovery(GetParam());
    discovery.log_in_to_discovery();
    std::string expected;
    for (int i = 0; i < 300; ++i) {
        const std::string name = "iqn.2026-01.org.example:machine" + std::to_string(i);
        discovery.owner.targets.push_back({name, {"192.0.2.1:3260,1"}});
        expected += text_of_keys({{"TargetName", name}, {"TargetAddress", "192.0.2.1:3260,1"}});
    }
    TextRequest pdu = text_request();
    auto answers = discovery.send(pdu, bytes_of(std::string("SendTargets=All") + '\0'));
    std::string text;
    for (int rounds = 0; rounds < 10; ++rounds) {
        ASSERT_EQ(answers.size(), 1U);
        const auto answer = answers[0].as<TextResponse>();
        text += answers[0].text();
        if ((answer.flags & flag_final) != 0) break;
        EXPECT_EQ(answer.flags, TextRequest::flag_continue);
        EXPECT_EQ(answers[0].data.size(), 8192U);
        pdu.target_transfer_tag = answer.target_transfer_tag;
        answers = discovery.send(pdu);
    }
    EXPECT_EQ(text, expected);
    // One by name, none by a name that is not there.
    const auto ask = [&](const std::string& value) {
        return std::string(
            discovery.send(text_request(), bytes_of("SendTargets=" + value + '\0'))[0].text());
    };
    EXPECT_EQ(ask("iqn.2026-01.org.example:machine7"),
              text_of_keys({{"TargetName", "iqn.2026-01.org.example:machine7"},
                            {"TargetAddress", "192.0.2.1:3260,1"}}));
    EXPECT_EQ(ask("iqn.2026-01.org.example:nobody"), "");
    EXPECT_EQ(ask(""), text_of_keys({{"SendTargets", "Reject"}}));
}

TEST_P(FullFeatureTest, ATextRequestMayComeInPieces) {
    script.owner.targets = {{std::string(test_target), {}}};
    TextRequest pdu = text_request();
    pdu.flags = TextRequest::flag_continue;
    auto answers = script.send(pdu, bytes_of("SendTar"));
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<TextResponse>().flags, 0);
    EXPECT_TRUE(answers[0].data.empty());
    pdu.flags = flag_final;
    pdu.target_transfer_tag = answers[0].as<TextResponse>().target_transfer_tag;
    answers = script.send(pdu, bytes_of(std::string("gets=All") + '\0'));
    EXPECT_EQ(answers[0].text(), text_of_keys({{"TargetName", std::string(test_target)}}));
    EXPECT_EQ(answers[0].as<TextResponse>().flags, flag_final);
    // That exchange is over.
    expect_reject(script.send(pdu), RejectReason::protocol_error, bytes_of_struct(pdu));
}

TEST_P(FullFeatureTest, TheInitiatorMayDeclareANewLength) {
    const auto answers =
        script.send(text_request(), bytes_of(std::string("MaxRecvDataSegmentLength=512") + '\0'));
    EXPECT_TRUE(answers[0].data.empty());
    EXPECT_EQ(script.send(read_of(1024, 1024)).size(), 2U);
}

TEST_P(FullFeatureTest, DiscoveryHasNoScsi) {
    Script discovery(GetParam());
    discovery.log_in_to_discovery();
    const ScsiCommand pdu = discovery.command(read_operation, 512, 512, ScsiCommand::flag_read);
    expect_reject(discovery.send(pdu), RejectReason::protocol_error, bytes_of_struct(pdu));
}

TEST_P(FullFeatureTest, LogoutClosesAfterItsAnswer) {
    script.send(script.command(hold_operation, 0, 0, 0));
    const auto answers = script.send(logout(LogoutRequest::close_session));
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<LogoutResponse>().response, LogoutResponse::closed);
    EXPECT_EQ(answers[0].as<LogoutResponse>().time2wait.get(), 2);
    EXPECT_EQ(answers[0].as<LogoutResponse>().time2retain.get(), 0);
    ASSERT_EQ(script.owner.closes.size(), 1U);
    EXPECT_EQ(script.owner.closes[0].kind, CloseReason::Kind::logout);
    EXPECT_EQ(script.owner.finished, 1U);
    EXPECT_FALSE(script.connection.takes_input());
    script.connection.transport_lost();
}

TEST_P(FullFeatureTest, LogoutOfWhatIsNotHere) {
    EXPECT_EQ(
        script.send(logout(LogoutRequest::remove_for_recovery))[0].as<LogoutResponse>().response,
        LogoutResponse::recovery_not_supported);
    LogoutRequest pdu = logout(LogoutRequest::close_connection);
    pdu.cid = 1;
    EXPECT_EQ(script.send(pdu)[0].as<LogoutResponse>().response, LogoutResponse::cid_not_found);
    pdu = logout(3);
    expect_reject(script.send(pdu), RejectReason::invalid_pdu_field, bytes_of_struct(pdu));
    EXPECT_TRUE(script.owner.closes.empty());
    EXPECT_EQ(script.send(logout(LogoutRequest::close_connection)).size(), 1U);
    EXPECT_EQ(script.owner.events.back(), "logout 1");
}

TEST_P(FullFeatureTest, AsyncMessagesUseAStatSn) {
    constexpr std::array<std::uint8_t, 2> sense = {0x70, 1};
    script.connection.send_async_message(0, 1, 2, 3, std::as_bytes(std::span(sense)));
    script.connection.send_async_message(AsyncMessage::event_logout_request, 0, 0, 5, {});
    const auto messages = script.output();
    ASSERT_EQ(messages.size(), 2U);
    const auto first = messages[0].as<AsyncMessage>();
    EXPECT_EQ(first.stat_sn.get(), 1U);
    EXPECT_EQ(first.initiator_task_tag.get(), reserved_tag);
    EXPECT_EQ(first.parameter1.get(), 1);
    EXPECT_EQ(first.parameter3.get(), 3);
    EXPECT_EQ(messages[0].data.size(), 4U);
    EXPECT_EQ(messages[0].data[1], std::byte{2});
    EXPECT_EQ(messages[1].as<AsyncMessage>().stat_sn.get(), 2U);
    EXPECT_EQ(messages[1].as<AsyncMessage>().async_event, 1);
    EXPECT_TRUE(script.connection.in_full_feature_phase());
    EXPECT_EQ(script.send(logout(LogoutRequest::close_session)).size(), 1U);
}

TEST_P(FullFeatureTest, AWrongHeaderDigestCloses) {
    Script checked(GetParam());
    checked.digests.header = true;
    checked.log_in({{"HeaderDigest", "CRC32C"}});
    const NopOut ping = ping_with_tag(1);
    std::vector<std::byte> bytes = checked.wire(bytes_of_struct(ping), {});
    bytes[20] ^= std::byte{1};
    EXPECT_TRUE(checked.send_bytes(bytes).empty());
    ASSERT_EQ(checked.owner.closes.size(), 1U);
    EXPECT_EQ(checked.owner.closes[0].kind, CloseReason::Kind::digest_error);
}

TEST_P(FullFeatureTest, AWrongDataDigestOfAPingIsRejected) {
    Script checked(GetParam());
    checked.digests.data = true;
    checked.log_in({{"DataDigest", "CRC32C"}});
    NopOut ping = ping_with_tag(1);
    ping.data_segment_length.set(5);
    std::vector<std::byte> bytes = checked.wire(bytes_of_struct(ping), bytes_of("hello"));
    bytes[48] ^= std::byte{1};
    expect_reject(checked.send_bytes(bytes), RejectReason::data_digest_error,
                  bytes_of_struct(ping));
    EXPECT_EQ(checked.send(ping, bytes_of("hello"))[0].text(), "hello");
}

TEST_P(FullFeatureTest, ALostTransportFinishesEveryTask) {
    script.send(script.command(hold_operation, 0, 0, 0));
    script.send(script.command(hold_operation, 0, 0, 0));
    const ScsiCommand read = read_of(512, 512);
    script.connection.receive(bytes_of_struct(read));  // its answer is queued, not sent
    int visited = 0;
    script.connection.for_each_task([](void* context, ScsiTask&) { ++*static_cast<int*>(context); },
                                    &visited);
    EXPECT_EQ(visited, 3);
    script.connection.transport_lost();
    EXPECT_EQ(script.owner.finished, 3U);
    EXPECT_FALSE(script.connection.has_output());
    EXPECT_EQ(script.connection.output_bytes(), 0U);
    EXPECT_FALSE(script.connection.takes_input());
    EXPECT_FALSE(script.connection.in_full_feature_phase());
}

}  // namespace
}  // namespace cowtgt::iscsi
