#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

std::string pattern(std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>('a' + i * 7 % 26);
    return text;
}

/// Writes of 2048 bytes with bursts of at most 1024, first burst 512.
class DataOutTest : public testing::TestWithParam<std::size_t> {
protected:
    void log_in(const char* initial_r2t, const char* immediate_data, const char* digest = "None") {
        script.digests.data = std::string_view(digest) == "CRC32C";
        script.log_in({{"InitialR2T", initial_r2t},
                       {"ImmediateData", immediate_data},
                       {"MaxBurstLength", "1024"},
                       {"FirstBurstLength", "512"},
                       {"DataDigest", digest}});
    }
    ScsiCommand write_of(std::uint32_t length) {
        return script.command(write_operation, length, length, ScsiCommand::flag_write);
    }
    DataOut data_out(const ScsiCommand& command, std::uint32_t transfer_tag, std::uint32_t data_sn,
                     std::uint32_t offset, std::uint8_t flags) {
        DataOut pdu{};
        pdu.opcode = opcode::data_out;
        pdu.flags = flags;
        pdu.initiator_task_tag = command.initiator_task_tag;
        pdu.target_transfer_tag = transfer_tag;
        pdu.data_sn = data_sn;
        pdu.buffer_offset = offset;
        return pdu;
    }
    std::string memory(std::size_t size) {
        return std::string(text_of(Bytes(script.owner.memory).first(size)));
    }
    void expect_good(const std::vector<ReceivedPdu>& answers) {
        ASSERT_EQ(answers.size(), 1U);
        ASSERT_EQ(answers[0].header.opcode(), opcode::scsi_response);
        EXPECT_EQ(answers[0].as<ScsiResponsePdu>().status, 0);
        EXPECT_EQ(answers[0].as<ScsiResponsePdu>().residual_count.get(), 0U);
    }
    void expect_failure(const ReceivedPdu& answer, std::uint16_t asc_and_ascq) {
        ASSERT_EQ(answer.header.opcode(), opcode::scsi_response);
        EXPECT_EQ(answer.as<ScsiResponsePdu>().status, 2);
        ASSERT_EQ(answer.data.size(), 20U);
        EXPECT_EQ(answer.data[2], std::byte{0x70});
        EXPECT_EQ(answer.data[4], std::byte{0x0b});
        EXPECT_EQ(answer.data[14], static_cast<std::byte>(asc_and_ascq >> 8));
        EXPECT_EQ(answer.data[15], static_cast<std::byte>(asc_and_ascq & 0xff));
    }
    ReadyToTransfer r2t_of(const std::vector<ReceivedPdu>& answers) {
        EXPECT_EQ(answers.size(), 1U);
        if (answers.empty()) return {};
        EXPECT_EQ(answers[0].header.opcode(), opcode::ready_to_transfer);
        return answers[0].as<ReadyToTransfer>();
    }

    Script script{GetParam()};
    const std::string data = pattern(2048);
    std::string_view view = data;
};
INSTANTIATE_TEST_SUITE_P(Cuts, DataOutTest, testing::Values(0, 1, 100));

TEST_P(DataOutTest, ImmediateDataNeedNothingElse) {
    log_in("Yes", "Yes");
    expect_good(script.send(write_of(500), bytes_of(view.substr(0, 500))));
    EXPECT_EQ(memory(500), data.substr(0, 500));
}

TEST_P(DataOutTest, SolicitedDataFollowR2ts) {
    log_in("Yes", "Yes");
    const ScsiCommand command = write_of(2048);
    ReadyToTransfer r2t = r2t_of(script.send(command, bytes_of(view.substr(0, 512))));
    EXPECT_EQ(r2t.buffer_offset.get(), 512U);
    EXPECT_EQ(r2t.desired_data_transfer_length.get(), 1024U);
    EXPECT_EQ(r2t.r2t_sn.get(), 0U);
    EXPECT_EQ(r2t.stat_sn.get(), 1U);
    std::uint32_t tag = r2t.target_transfer_tag.get();
    EXPECT_TRUE(
        script.send(data_out(command, tag, 0, 512, 0), bytes_of(view.substr(512, 1000))).empty());
    r2t = r2t_of(
        script.send(data_out(command, tag, 1, 1512, flag_final), bytes_of(view.substr(1512, 24))));
    EXPECT_EQ(r2t.buffer_offset.get(), 1536U);
    EXPECT_EQ(r2t.desired_data_transfer_length.get(), 512U);
    EXPECT_EQ(r2t.r2t_sn.get(), 1U);
    EXPECT_EQ(r2t.stat_sn.get(), 1U);
    tag = r2t.target_transfer_tag.get();
    expect_good(
        script.send(data_out(command, tag, 0, 1536, flag_final), bytes_of(view.substr(1536))));
    EXPECT_EQ(memory(2048), data);
}

TEST_P(DataOutTest, UnsolicitedDataComeWithoutR2t) {
    log_in("No", "No");
    ScsiCommand command = write_of(600);
    command.flags &= 0x7f;
    EXPECT_TRUE(script.send(command).empty());
    EXPECT_TRUE(script.send(data_out(command, reserved_tag, 0, 0, 0), bytes_of(view.substr(0, 500)))
                    .empty());
    const ReadyToTransfer r2t = r2t_of(script.send(
        data_out(command, reserved_tag, 1, 500, flag_final), bytes_of(view.substr(500, 12))));
    EXPECT_EQ(r2t.buffer_offset.get(), 512U);
    EXPECT_EQ(r2t.desired_data_transfer_length.get(), 88U);
    expect_good(script.send(data_out(command, r2t.target_transfer_tag.get(), 0, 512, flag_final),
                            bytes_of(view.substr(512, 88))));
    EXPECT_EQ(memory(600), data.substr(0, 600));
}

TEST_P(DataOutTest, SeveralR2tsMayBeOutstanding) {
    ConnectionLimits limits;
    limits.max_outstanding_r2t = 2;
    Script wide(GetParam(), limits);
    wide.log_in({{"InitialR2T", "Yes"},
                 {"MaxBurstLength", "512"},
                 {"FirstBurstLength", "512"},
                 {"MaxOutstandingR2T", "8"}});
    const ScsiCommand command = wide.command(write_operation, 1500, 1500, ScsiCommand::flag_write);
    auto answers = wide.send(command);
    ASSERT_EQ(answers.size(), 2U);
    const auto first = answers[0].as<ReadyToTransfer>();
    const auto second = answers[1].as<ReadyToTransfer>();
    EXPECT_NE(first.target_transfer_tag.get(), second.target_transfer_tag.get());
    EXPECT_EQ(second.buffer_offset.get(), 512U);
    answers = wide.send(data_out(command, first.target_transfer_tag.get(), 0, 0, flag_final),
                        bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    const auto third = answers[0].as<ReadyToTransfer>();
    EXPECT_EQ(third.buffer_offset.get(), 1024U);
    EXPECT_EQ(third.desired_data_transfer_length.get(), 476U);
    EXPECT_TRUE(wide.send(data_out(command, second.target_transfer_tag.get(), 0, 512, flag_final),
                          bytes_of(view.substr(512, 512)))
                    .empty());
    expect_good(wide.send(data_out(command, third.target_transfer_tag.get(), 0, 1024, flag_final),
                          bytes_of(view.substr(1024, 476))));
    EXPECT_EQ(text_of(Bytes(wide.owner.memory).first(1500)), data.substr(0, 1500));
}

TEST_P(DataOutTest, TheBufferMayComeLater) {
    log_in("Yes", "Yes");
    script.owner.takes_buffers_later = true;
    const ScsiCommand command = write_of(300);
    const std::vector<std::byte> bytes = [&] {
        ScsiCommand pdu = command;
        pdu.data_segment_length.set(300);
        return script.wire(bytes_of_struct(pdu), bytes_of(view.substr(0, 300)));
    }();
    const std::size_t taken = script.connection.receive(bytes);
    EXPECT_EQ(taken, 48U);
    EXPECT_FALSE(script.connection.takes_input());
    ASSERT_EQ(script.owner.for_buffer.size(), 1U);
    script.connection.receive_data_out(*script.owner.for_buffer[0],
                                       MutableBytes(script.owner.memory).first(300));
    EXPECT_TRUE(script.connection.takes_input());
    expect_good(script.send_bytes(Bytes(bytes).subspan(taken)));
    EXPECT_EQ(memory(300), data.substr(0, 300));
}

TEST_P(DataOutTest, DataMayBeReceivedDirectly) {
    for (const char* digest : {"None", "CRC32C"}) {
        Script direct(GetParam());
        direct.digests.data = std::string_view(digest) == "CRC32C";
        direct.log_in({{"InitialR2T", "No"}, {"DataDigest", digest}});
        ScsiCommand command = direct.command(write_operation, 2047, 2047, ScsiCommand::flag_write);
        command.data_segment_length.set(2047);
        const std::vector<std::byte> bytes =
            direct.wire(bytes_of_struct(command), bytes_of(view.substr(0, 2047)));
        EXPECT_TRUE(direct.connection.direct_receive_window().empty());
        EXPECT_EQ(direct.connection.receive(Bytes(bytes).first(50)), 50U);
        MutableBytes window = direct.connection.direct_receive_window();
        ASSERT_EQ(window.size(), 2045U);
        ASSERT_EQ(window.data(), direct.owner.memory.data() + 2);
        std::copy_n(bytes.begin() + 50, 1000, window.begin());
        direct.connection.received_directly(1000);
        window = direct.connection.direct_receive_window();
        ASSERT_EQ(window.size(), 1045U);
        std::copy_n(bytes.begin() + 1050, 1045, window.begin());
        direct.connection.received_directly(1045);
        EXPECT_TRUE(direct.connection.direct_receive_window().empty());
        EXPECT_FALSE(direct.connection.has_output());
        expect_good(direct.send_bytes(Bytes(bytes).subspan(2095)));
        EXPECT_EQ(text_of(Bytes(direct.owner.memory).first(2047)), data.substr(0, 2047));
    }
}

TEST_P(DataOutTest, DirectReceptionMayEndThePdu) {
    log_in("Yes", "Yes");
    ScsiCommand command = write_of(512);
    command.data_segment_length.set(512);
    script.connection.receive(bytes_of_struct(command));
    const MutableBytes window = script.connection.direct_receive_window();
    ASSERT_EQ(window.size(), 512U);
    std::ranges::copy(bytes_of(view.substr(0, 512)), window.begin());
    script.connection.received_directly(512);
    expect_good(script.output());
}

TEST_P(DataOutTest, WhatIsBeyondTheCommandIsDropped) {
    log_in("No", "Yes");
    // The command writes 200 bytes, the initiator expects and sends 512.
    const ScsiCommand command = script.command(write_operation, 200, 512, ScsiCommand::flag_write);
    const auto answers = script.send(command, bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<ScsiResponsePdu>();
    EXPECT_EQ(pdu.flags, flag_final | ScsiResponsePdu::flag_underflow);
    EXPECT_EQ(pdu.residual_count.get(), 312U);
    EXPECT_EQ(memory(200), data.substr(0, 200));
    EXPECT_EQ(script.owner.memory[200], std::byte{0});
}

TEST_P(DataOutTest, AWriteLongerThanExpectedOverflows) {
    log_in("No", "Yes");
    const ScsiCommand command = script.command(write_operation, 1024, 512, ScsiCommand::flag_write);
    const auto answers = script.send(command, bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<ScsiResponsePdu>();
    EXPECT_EQ(pdu.flags, flag_final | ScsiResponsePdu::flag_overflow);
    EXPECT_EQ(pdu.residual_count.get(), 512U);
    EXPECT_EQ(memory(512), data.substr(0, 512));
}

// A READ that is marked as a write: no data are wanted, none are sent, the status is GOOD.
TEST_P(DataOutTest, AReadMarkedAsAWriteEndsGood) {
    log_in("No", "Yes");
    const ScsiCommand command = script.command(read_operation, 512, 512, ScsiCommand::flag_write);
    const auto answers = script.send(command, bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    const auto pdu = answers[0].as<ScsiResponsePdu>();
    EXPECT_EQ(pdu.opcode, opcode::scsi_response);
    EXPECT_EQ(pdu.status, 0);
    EXPECT_EQ(pdu.residual_count.get(), 512U);
}

TEST_P(DataOutTest, DataOfAnUnknownTaskAreDropped) {
    log_in("No", "Yes");
    const ScsiCommand command = write_of(512);
    EXPECT_TRUE(
        script.send(data_out(command, reserved_tag, 0, 0, flag_final), bytes_of("stray")).empty());
    expect_good(script.send(command, bytes_of(view.substr(0, 512))));
}

struct WrongDataCase {
    const char* what;
    std::uint32_t data_sn, offset, length;
    std::uint8_t flags;
};

TEST_P(DataOutTest, WrongSolicitedDataFailTheCommand) {
    constexpr WrongDataCase cases[] = {
        {"DataSN 27", 27, 0, 512, flag_final},
        {"DataSN -1", 0xffffffff, 0, 512, flag_final},
        {"DataSN 1 first", 1, 0, 512, flag_final},
        {"an offset that is not next", 0, 4, 508, flag_final},
        {"more than asked for", 0, 0, 516, flag_final},
        {"F before the end", 0, 0, 500, flag_final},
    };
    log_in("Yes", "No");
    for (const WrongDataCase& row : cases) {
        SCOPED_TRACE(row.what);
        const ScsiCommand command = write_of(512);
        const ReadyToTransfer r2t = r2t_of(script.send(command));
        const auto answers = script.send(
            data_out(command, r2t.target_transfer_tag.get(), row.data_sn, row.offset, row.flags),
            bytes_of(view.substr(0, row.length)));
        ASSERT_EQ(answers.size(), 1U);
        expect_failure(answers[0], 0x0c0d);
    }
    // Twice DataSN 0: the command ends with the F bit of the second.
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    EXPECT_TRUE(
        script.send(data_out(command, tag, 0, 0, 0), bytes_of(view.substr(0, 256))).empty());
    const auto answers =
        script.send(data_out(command, tag, 0, 256, flag_final), bytes_of(view.substr(0, 256)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);
    EXPECT_EQ(script.owner.finished, 7U);
    EXPECT_EQ(std::ranges::count(script.owner.events, "data received"), 0);
    EXPECT_TRUE(script.owner.closes.empty());
}

TEST_P(DataOutTest, WrongTransferTagFailsTheCommand) {
    log_in("Yes", "No");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    const auto answers =
        script.send(data_out(command, tag + 1, 0, 0, flag_final), bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);
}

TEST_P(DataOutTest, UnsolicitedDataThatWereNotAgreedFail) {
    log_in("Yes", "No");
    auto answers = script.send(write_of(512), bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0c);
    EXPECT_EQ(script.owner.finished, 0U);  // the owner never heard of it

    ScsiCommand command = write_of(512);  // announces unsolicited Data-Out
    command.flags &= 0x7f;
    EXPECT_TRUE(script.send(command).empty());
    answers = script.send(data_out(command, reserved_tag, 0, 0, flag_final),
                          bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0c);
    EXPECT_EQ(script.owner.finished, 0U);
}

TEST_P(DataOutTest, FirstBurstLengthIsHeld) {
    log_in("No", "Yes");
    auto answers = script.send(write_of(1024), bytes_of(view.substr(0, 516)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);

    ScsiCommand command = write_of(1024);
    command.flags &= 0x7f;
    EXPECT_TRUE(script.send(command, bytes_of(view.substr(0, 256))).empty());
    answers = script.send(data_out(command, reserved_tag, 0, 256, flag_final),
                          bytes_of(view.substr(256, 260)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);
}

TEST_P(DataOutTest, MoreImmediateDataThanExpectedFail) {
    log_in("No", "Yes");
    const ScsiCommand command = script.command(write_operation, 512, 100, ScsiCommand::flag_write);
    const auto answers = script.send(command, bytes_of(view.substr(0, 104)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);
}

TEST_P(DataOutTest, DataWithAReadFail) {
    log_in("No", "Yes");
    const ScsiCommand command = script.command(read_operation, 512, 512, ScsiCommand::flag_read);
    const auto answers = script.send(command, bytes_of(view.substr(0, 512)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0c);
}

TEST_P(DataOutTest, AWrongDataDigestIsRejectedAndFailsTheCommand) {
    log_in("Yes", "Yes", "CRC32C");
    const ScsiCommand command = write_of(2048);
    ScsiCommand header = command;
    header.data_segment_length.set(512);
    std::vector<std::byte> bytes =
        script.wire(bytes_of_struct(header), bytes_of(view.substr(0, 512)));
    bytes[100] ^= std::byte{1};
    auto answers = script.send_bytes(bytes);
    ASSERT_EQ(answers.size(), 2U);
    EXPECT_EQ(answers[0].as<Reject>().reason,
              static_cast<std::uint8_t>(RejectReason::data_digest_error));
    expect_failure(answers[1], 0x4705);

    // In the middle of solicited data: the command ends when all of them have come.
    const ScsiCommand second = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(second)).target_transfer_tag.get();
    DataOut pdu = data_out(second, tag, 0, 0, 0);
    pdu.data_segment_length.set(256);
    bytes = script.wire(bytes_of_struct(pdu), bytes_of(view.substr(0, 256)));
    bytes.back() ^= std::byte{1};
    answers = script.send_bytes(bytes);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].header.opcode(), opcode::reject);
    answers =
        script.send(data_out(second, tag, 1, 256, flag_final), bytes_of(view.substr(256, 256)));
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x4705);
}

TEST_P(DataOutTest, AWriteMayBeAbortedBetweenItsData) {
    log_in("Yes", "No");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    script.send(data_out(command, tag, 0, 0, 0), bytes_of(view.substr(0, 256)));
    TaskManagementRequestPdu abort{};
    abort.opcode = opcode::task_management_request | opcode::immediate;
    abort.function = flag_final | 1;
    abort.referenced_task_tag = command.initiator_task_tag;
    EXPECT_EQ(script.send(abort)[0].as<TaskManagementResponsePdu>().response, 0);
    EXPECT_EQ(script.owner.finished, 1U);
    EXPECT_TRUE(
        script.send(data_out(command, tag, 1, 256, flag_final), bytes_of(view.substr(256, 256)))
            .empty());
    EXPECT_EQ(memory(512), data.substr(0, 256) + std::string(256, '\0'));
}

TEST_P(DataOutTest, ATaskMayEndInTheMiddleOfItsDataSegment) {
    log_in("Yes", "No");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    DataOut pdu = data_out(command, tag, 0, 0, flag_final);
    pdu.data_segment_length.set(512);
    const std::vector<std::byte> bytes =
        script.wire(bytes_of_struct(pdu), bytes_of(view.substr(0, 512)));
    script.connection.receive(Bytes(bytes).first(148));
    ScsiTask* task = nullptr;
    script.connection.for_each_task(
        [](void* context, ScsiTask& found) { *static_cast<ScsiTask**>(context) = &found; }, &task);
    ASSERT_NE(task, nullptr);
    task->aborted = true;
    script.connection.complete(*task, {});
    EXPECT_EQ(script.owner.finished, 1U);
    EXPECT_TRUE(script.connection.direct_receive_window().empty());
    EXPECT_TRUE(script.send_bytes(Bytes(bytes).subspan(148)).empty());
    EXPECT_EQ(memory(512), data.substr(0, 100) + std::string(412, '\0'));
}

TEST_P(DataOutTest, ACommandThatTheTransportEndedMayStillBeAborted) {
    log_in("Yes", "No");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    DataOut pdu = data_out(command, tag, 1, 0, flag_final);
    script.connection.receive(bytes_of_struct(pdu));
    script.connection.for_each_task(
        [](void* context, ScsiTask& task) {
            task.aborted = true;
            static_cast<Connection*>(context)->complete(task, {});
        },
        &script.connection);
    const auto answers = script.output();
    ASSERT_EQ(answers.size(), 1U);
    expect_failure(answers[0], 0x0c0d);
    EXPECT_EQ(script.owner.finished, 1U);
}

// Another session aborts the task while the kernel still writes into its buffer.
TEST_P(DataOutTest, ABufferOutlivesItsTaskWhileItIsReceivedInto) {
    log_in("Yes", "No", "CRC32C");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    DataOut pdu = data_out(command, tag, 0, 0, flag_final);
    pdu.data_segment_length.set(512);
    const std::vector<std::byte> bytes =
        script.wire(bytes_of_struct(pdu), bytes_of(view.substr(0, 512)));
    script.connection.receive(Bytes(bytes).first(48));
    const MutableBytes window = script.connection.direct_receive_window();
    ASSERT_EQ(window.size(), 512U);
    ScsiTask* task = nullptr;
    script.connection.for_each_task(
        [](void* context, ScsiTask& found) { *static_cast<ScsiTask**>(context) = &found; }, &task);
    task->aborted = true;
    script.connection.complete(*task, {});
    EXPECT_EQ(script.owner.finished, 0U);
    std::copy_n(bytes.begin() + 48, 512, window.begin());
    script.connection.received_directly(512);
    EXPECT_EQ(script.owner.finished, 1U);
    EXPECT_TRUE(script.send_bytes(Bytes(bytes).subspan(560)).empty());
    EXPECT_TRUE(script.owner.closes.empty());
    EXPECT_TRUE(script.connection.takes_input());
}

TEST_P(DataOutTest, TransportLossEndsAHalfReceivedWrite) {
    log_in("Yes", "No");
    const ScsiCommand command = write_of(512);
    const std::uint32_t tag = r2t_of(script.send(command)).target_transfer_tag.get();
    DataOut pdu = data_out(command, tag, 0, 0, flag_final);
    pdu.data_segment_length.set(512);
    script.connection.receive(bytes_of_struct(pdu));
    script.connection.transport_lost();
    EXPECT_EQ(script.owner.finished, 1U);
    EXPECT_TRUE(script.connection.direct_receive_window().empty());
}

}  // namespace
}  // namespace cowtgt::iscsi
