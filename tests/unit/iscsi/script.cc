#include "tests/unit/iscsi/script.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace cowtgt::iscsi {

namespace {

void append(std::vector<std::byte>& to, Bytes bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

std::uint32_t number_at(const ScsiTask& task, std::size_t index) {
    be32 number;
    std::memcpy(&number, task.cdb.data() + index, sizeof number);
    return number.get();
}

}  // namespace

std::array<std::uint8_t, 16> cdb_of(std::uint8_t operation, std::uint32_t length,
                                    std::uint32_t offset) {
    std::array<std::uint8_t, 16> cdb{};
    cdb[0] = operation;
    const be32 length_field(length), offset_field(offset);
    std::memcpy(cdb.data() + 1, &length_field, sizeof length_field);
    std::memcpy(cdb.data() + 5, &offset_field, sizeof offset_field);
    return cdb;
}

void ScriptOwner::login_requested(Connection& connection, const LoginRequestInfo& info) {
    login = info;
    events.push_back("login requested");
    if (!answers_login_later) connection.decide_login(decision);
}

void ScriptOwner::session_wanted(Connection& connection, const LoginRequestInfo& info) {
    events.push_back("session wanted");
    if (answers_login_later) return;
    const bool is_known = info.tsih == 0 || info.tsih == test_tsih;
    connection.finish_login(is_known ? session_status : LoginStatus::session_does_not_exist,
                            test_tsih);
}

void ScriptOwner::scsi_command_received(Connection& connection, ScsiTask& task) {
    switch (task.cdb[0]) {
        case read_operation:
            answer_read(connection, task);
            return;
        case write_operation:
            if (takes_buffers_later) {
                for_buffer.push_back(&task);
                return;
            }
            answer_write(connection, task);
            return;
        case fail_operation: {
            constexpr std::array<std::uint8_t, 3> sense = {0x70, 0, 5};
            connection.complete(task, {.status = 2, .sense = std::as_bytes(std::span(sense))});
            return;
        }
        default:
            held.push_back(&task);
    }
}

void ScriptOwner::answer_read(Connection& connection, ScsiTask& task) {
    const std::uint32_t length = number_at(task, 1);
    ScsiResponse response;
    response.data_in = Bytes(memory).subspan(number_at(task, 5), length);
    response.data_in_length = length;
    if (lends && length > 0 && connection.can_send_lent_bytes()) {
        response.lent_data_in = {nullptr, -1, number_at(task, 5), length};
        ++lent;
    }
    connection.complete(task, response);
}

/// Takes what is both expected and to be written.
void ScriptOwner::answer_write(Connection& connection, ScsiTask& task) {
    const std::uint32_t length =
        std::min(number_at(task, 1), task.write ? task.expected_data_transfer_length : 0);
    if (length == 0) {
        connection.complete(task, {.data_out_length = number_at(task, 1)});
        return;
    }
    connection.receive_data_out(task, MutableBytes(memory).subspan(number_at(task, 5), length));
}

void ScriptOwner::data_out_received(Connection& connection, ScsiTask& task) {
    events.push_back("data received");
    connection.complete(task, {.data_out_length = number_at(task, 1)});
}

void ScriptOwner::complete_held(Connection& connection, ScsiTask& task) {
    std::erase(held, &task);
    connection.complete(task, {});
}

void ScriptOwner::task_finished(Connection&, ScsiTask& task) {
    std::erase(held, &task);
    std::erase(for_buffer, &task);
    ++finished;
}

void ScriptOwner::task_management_received(Connection& connection,
                                           const TaskManagementRequest& request) {
    events.push_back("task management " + std::to_string(static_cast<int>(request.function)));
    if (request.function != TaskFunction::abort_task) {
        connection.answer_task_management(request, TaskFunctionResponse::complete);
        return;
    }
    if (request.referenced_task == nullptr) {
        connection.answer_task_management(request, TaskFunctionResponse::task_does_not_exist);
        return;
    }
    request.referenced_task->aborted = true;
    connection.complete(*request.referenced_task, {});
    connection.answer_task_management(request, TaskFunctionResponse::complete);
}

std::vector<TargetRecord> ScriptOwner::targets_wanted(Connection&, std::string_view name) {
    std::vector<TargetRecord> result;
    for (const TargetRecord& record : targets) {
        if (name.empty() || name == record.name) result.push_back(record);
    }
    return result;
}

void ScriptOwner::logout_received(Connection& connection, std::uint8_t reason) {
    events.push_back("logout " + std::to_string(reason));
    while (!held.empty()) {
        held.front()->aborted = true;
        connection.complete(*held.front(), {});
    }
    connection.answer_logout();
}

void ScriptOwner::close_wanted(Connection&, const CloseReason& reason) {
    closes.push_back(reason);
}

Script::Script(std::size_t bytes_per_receive, ConnectionLimits limits)
    : owner(std::size_t{1} << 20),
      connection(owner, limits, [](MutableBytes) {}),
      bytes_per_receive_(bytes_per_receive) {
    login_request.opcode = opcode::login_request | opcode::immediate;
    login_request.isid = {0x00, 0x02, 0x3d, 0x00, 0x00, 0x01};
    login_request.initiator_task_tag = 0x77;
    login_request.cmd_sn = cmd_sn_;
    reader_.set_data_segment_length_max(0xffffff);
}

std::vector<std::byte> Script::wire(Bytes header, Bytes data) const {
    std::vector<std::byte> bytes(header.begin(), header.end());
    if (digests.header) append(bytes, bytes_of_struct(le32(crc32c(header))));
    if (data.empty()) return bytes;
    const std::size_t begin = bytes.size();
    append(bytes, data);
    bytes.resize(begin + round_up(data.size(), 4));
    if (!digests.data) return bytes;
    const le32 digest = crc32c(Bytes(bytes).subspan(begin));
    append(bytes, bytes_of_struct(digest));
    return bytes;
}

std::vector<ReceivedPdu> Script::send_bytes(Bytes bytes) {
    const std::size_t cut = bytes_per_receive_ == 0 ? bytes.size() : bytes_per_receive_;
    while (!bytes.empty()) {
        const std::size_t taken = connection.receive(bytes.first(std::min(cut, bytes.size())));
        if (taken == 0 && !connection.takes_input()) break;
        bytes = bytes.subspan(taken);
    }
    return output();
}

std::vector<ReceivedPdu> Script::output() {
    std::vector<ReceivedPdu> pdus;
    std::array<OutputPiece, 7> pieces;
    while (const std::size_t count = connection.gather(pieces)) {
        // Less than all is sent, as a socket may do.
        std::size_t byte_count = 0;
        for (std::size_t i = 0; i < count; ++i)
            byte_count += pieces[i].size();
        std::vector<std::byte> bytes;
        for (std::size_t i = 0; i < count; ++i)
            append(bytes, pieces[i].bytes);
        if (byte_count > 3) bytes.resize(byte_count - 3);
        append(all_output, bytes);
        connection.sent(bytes.size());
        for (Bytes rest = bytes;;) {
            const PduReader::Step step = reader_.feed(rest);
            if (step == PduReader::Step::need_more) break;
            if (step == PduReader::Step::header) incoming_ = {reader_.header(), {}};
            if (step == PduReader::Step::payload) append(incoming_.data, reader_.payload());
            if (step == PduReader::Step::end) {
                EXPECT_TRUE(reader_.data_digest_is_right());
                pdus.push_back(incoming_);
                if (incoming_.header.opcode() == opcode::login_response) {
                    reader_.set_digests(digests);
                }
            }
            if (step == PduReader::Step::header_digest_error) {
                ADD_FAILURE() << "header digest";
                return pdus;
            }
        }
    }
    EXPECT_EQ(connection.output_bytes(), 0U);
    EXPECT_FALSE(connection.has_output());
    return pdus;
}

std::string text_of_keys(const KeyValues& keys) {
    std::string text;
    for (const auto& [key, value] : keys)
        text += key + "=" + value + '\0';
    return text;
}

std::vector<ReceivedPdu> Script::login(std::uint8_t flags, const KeyValues& keys) {
    login_request.flags = flags;
    const Digests later = std::exchange(digests, {});
    const std::string text = text_of_keys(keys);
    login_request.data_segment_length.set(static_cast<std::uint32_t>(text.size()));
    const std::vector<std::byte> bytes = wire(bytes_of_struct(login_request), bytes_of(text));
    digests = later;
    return send_bytes(bytes);
}

void Script::log_in(const KeyValues& keys) {
    KeyValues all = {{"InitiatorName", std::string(test_initiator)},
                     {"TargetName", std::string(test_target)},
                     {"SessionType", "Normal"}};
    all.insert(all.end(), keys.begin(), keys.end());
    const std::vector<ReceivedPdu> answers = login(0x87, all);
    ASSERT_EQ(answers.size(), 1U);
    ASSERT_EQ(answers[0].as<LoginResponse>().status.get(), 0);
    ASSERT_TRUE(connection.in_full_feature_phase());
}

void Script::log_in_to_discovery() {
    const std::vector<ReceivedPdu> answers =
        login(0x87, {{"InitiatorName", std::string(test_initiator)}, {"SessionType", "Discovery"}});
    ASSERT_EQ(answers.size(), 1U);
    ASSERT_EQ(answers[0].as<LoginResponse>().status.get(), 0);
}

ScsiCommand Script::command(std::uint8_t operation, std::uint32_t length, std::uint32_t expected,
                            std::uint8_t flags) {
    ScsiCommand pdu{};
    pdu.opcode = opcode::scsi_command;
    pdu.flags = static_cast<std::uint8_t>(flag_final | flags);
    pdu.initiator_task_tag = next_tag();
    pdu.expected_data_transfer_length = expected;
    pdu.cmd_sn = next_cmd_sn();
    pdu.cdb = cdb_of(operation, length);
    return pdu;
}

std::string value_of(const ReceivedPdu& pdu, std::string_view key) {
    std::string result = "<none>";
    std::string_view text = pdu.text();
    while (!text.empty()) {
        const std::string_view pair = text.substr(0, text.find('\0'));
        text.remove_prefix(std::min(text.size(), pair.size() + 1));
        if (!pair.starts_with(key) || pair.substr(key.size(), 1) != "=") continue;
        if (result != "<none>") return "<twice>";
        result = pair.substr(key.size() + 1);
    }
    return result;
}

}  // namespace cowtgt::iscsi
