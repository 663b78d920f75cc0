#include "tests/support/iscsi_initiator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "cow-store/base/checksum.h"

namespace cowtgt::test {

namespace {

using namespace cowtgt::iscsi;

void append(std::vector<std::byte>& to, Bytes bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

std::string text_of_keys(const KeyValues& keys) {
    std::string text;
    for (const auto& [key, value] : keys)
        text += key + "=" + value + '\0';
    return text;
}

}  // namespace

IscsiInitiator::IscsiInitiator(InitiatorSettings settings)
    : settings_(std::move(settings)), cmd_sn_{settings_.first_cmd_sn} {}

template <typename Pdu>
void IscsiInitiator::send(Pdu pdu, Bytes data) {
    pdu.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    const Bytes header = bytes_of_struct(pdu);
    append(output_, header);
    if (digests_.header) append(output_, bytes_of_struct(le32(crc32c(header))));
    if (data.empty()) return;
    const std::size_t begin = output_.size();
    append(output_, data);
    output_.resize(begin + round_up(data.size(), 4));
    if (!digests_.data) return;
    const le32 digest = crc32c(Bytes(output_).subspan(begin));
    append(output_, bytes_of_struct(digest));
}

/// Takes the next CmdSN unless the PDU is marked immediate.
template <typename Pdu>
void IscsiInitiator::number(Pdu& pdu) {
    pdu.cmd_sn = cmd_sn_.value;
    pdu.exp_stat_sn = exp_stat_sn_.value_or(SerialNumber32{}).value;
    if ((pdu.opcode & opcode::immediate) == 0) cmd_sn_ = cmd_sn_.plus(1);
}

void IscsiInitiator::start_login() {
    KeyValues keys = {{"InitiatorName", settings_.initiator_name}};
    if (settings_.discovery) {
        keys.push_back({"SessionType", "Discovery"});
    } else {
        keys.push_back({"TargetName", settings_.target_name});
        keys.push_back({"SessionType", "Normal"});
    }
    keys.push_back({"HeaderDigest", settings_.header_digest});
    keys.push_back({"DataDigest", settings_.data_digest});
    keys.push_back(
        {"MaxRecvDataSegmentLength", std::to_string(settings_.max_recv_data_segment_length)});
    if (!settings_.discovery) {
        keys.push_back({"InitialR2T", settings_.initial_r2t});
        keys.push_back({"ImmediateData", settings_.immediate_data});
        keys.push_back({"MaxBurstLength", std::to_string(settings_.max_burst_length)});
        keys.push_back({"FirstBurstLength", std::to_string(settings_.first_burst_length)});
        keys.push_back({"MaxOutstandingR2T", std::to_string(settings_.max_outstanding_r2t)});
    }
    LoginRequest pdu{};
    pdu.opcode = opcode::login_request | opcode::immediate;
    pdu.flags = 0x87;  // T, Operational to FullFeature
    pdu.isid = settings_.isid;
    pdu.tsih = settings_.tsih;
    pdu.cid = settings_.cid;
    pdu.initiator_task_tag = next_task_tag_++;
    pdu.cmd_sn = cmd_sn_.value;
    const std::string text = text_of_keys(keys);
    send(pdu, bytes_of(text));
}

std::string IscsiInitiator::answered(std::string_view key) const {
    for (const auto& [name, value] : answers_) {
        if (name == key) return value;
    }
    return {};
}

std::uint32_t IscsiInitiator::submit(InitiatorCommand command) {
    const std::uint32_t tag = next_task_tag_++;
    waiting_.emplace_back(tag, std::move(command));
    send_waiting();
    return tag;
}

void IscsiInitiator::send_waiting() {
    while (!waiting_.empty()) {
        auto& [tag, command] = waiting_.front();
        if (!command.immediate && max_cmd_sn_ && max_cmd_sn_->is_before(cmd_sn_)) return;
        send_command(tag, std::move(command));
        waiting_.pop_front();
    }
}

void IscsiInitiator::send_command(std::uint32_t tag, InitiatorCommand command) {
    const auto length = static_cast<std::uint32_t>(command.data_out.size());
    const std::uint32_t unsolicited = std::min(length, first_burst_length_);
    const std::uint32_t in_command =
        immediate_data_ ? std::min(unsolicited, target_max_recv_data_segment_length_) : 0;
    const std::uint32_t unsolicited_end = initial_r2t_ ? in_command : unsolicited;
    ScsiCommand pdu{};
    pdu.opcode = opcode::scsi_command;
    if (command.immediate) pdu.opcode |= opcode::immediate;
    pdu.flags = ScsiCommand::attribute_mask & command.attribute;
    if (unsolicited_end == in_command) pdu.flags |= flag_final;
    if (command.read_length > 0) pdu.flags |= ScsiCommand::flag_read;
    if (length > 0) pdu.flags |= ScsiCommand::flag_write;
    pdu.lun = command.lun;
    pdu.initiator_task_tag = tag;
    pdu.expected_data_transfer_length = length > 0 ? length : command.read_length;
    number(pdu);
    std::copy_n(command.cdb.begin(), std::min<std::size_t>(command.cdb.size(), 16),
                pdu.cdb.begin());
    send(pdu, Bytes(command.data_out).first(in_command));
    Task& task = tasks_[tag];
    task.command = std::move(command);
    task.requested_end = unsolicited_end;
    if (unsolicited_end > in_command) {
        send_data_out(task, tag, reserved_tag, in_command, unsolicited_end);
    }
}

void IscsiInitiator::send_data_out(const Task& task, std::uint32_t tag, std::uint32_t transfer_tag,
                                   std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t data_sn = 0; begin < end; ++data_sn) {
        const std::uint32_t size = std::min(end - begin, target_max_recv_data_segment_length_);
        DataOut pdu{};
        pdu.opcode = opcode::data_out;
        if (begin + size == end) pdu.flags = flag_final;
        pdu.lun = task.command.lun;
        pdu.initiator_task_tag = tag;
        pdu.target_transfer_tag = transfer_tag;
        pdu.exp_stat_sn = exp_stat_sn_.value_or(SerialNumber32{}).value;
        pdu.data_sn = data_sn;
        pdu.buffer_offset = begin;
        send(pdu, Bytes(task.command.data_out).subspan(begin, size));
        begin += size;
    }
}

std::optional<InitiatorCompletion> IscsiInitiator::take_completion(std::uint32_t tag) {
    const auto found = completions_.find(tag);
    if (found == completions_.end()) return std::nullopt;
    InitiatorCompletion completion = std::move(found->second);
    completions_.erase(found);
    return completion;
}

std::uint32_t IscsiInitiator::send_ping(Bytes data) {
    NopOut pdu{};
    pdu.opcode = opcode::nop_out | opcode::immediate;
    pdu.flags = flag_final;
    pdu.initiator_task_tag = next_task_tag_++;
    pdu.target_transfer_tag = reserved_tag;
    number(pdu);
    send(pdu, data);
    return pdu.initiator_task_tag.get();
}

std::uint32_t IscsiInitiator::send_text(std::string_view text) {
    text_so_far_.clear();
    text_answer_.reset();
    TextRequest pdu{};
    pdu.opcode = opcode::text_request;
    pdu.flags = flag_final;
    pdu.initiator_task_tag = next_task_tag_++;
    pdu.target_transfer_tag = reserved_tag;
    number(pdu);
    send(pdu, bytes_of(text));
    return pdu.initiator_task_tag.get();
}

std::uint32_t IscsiInitiator::send_task_management(std::uint8_t function, std::uint64_t lun,
                                                   std::uint32_t referenced_task_tag) {
    TaskManagementRequestPdu pdu{};
    pdu.opcode = opcode::task_management_request | opcode::immediate;
    pdu.function = static_cast<std::uint8_t>(flag_final | function);
    pdu.lun = lun;
    pdu.initiator_task_tag = next_task_tag_++;
    pdu.referenced_task_tag = referenced_task_tag;
    number(pdu);
    send(pdu, {});
    return pdu.initiator_task_tag.get();
}

std::uint32_t IscsiInitiator::send_logout(std::uint8_t reason) {
    LogoutRequest pdu{};
    pdu.opcode = opcode::logout_request | opcode::immediate;
    pdu.reason = static_cast<std::uint8_t>(flag_final | reason);
    pdu.initiator_task_tag = next_task_tag_++;
    number(pdu);
    send(pdu, {});
    return pdu.initiator_task_tag.get();
}

void IscsiInitiator::receive(Bytes in) {
    for (;;) {
        switch (reader_.feed(in)) {
            case PduReader::Step::need_more:
                return;
            case PduReader::Step::header:
                incoming_ = {reader_.header(), {}};
                break;
            case PduReader::Step::payload:
                append(incoming_.data, reader_.payload());
                break;
            case PduReader::Step::end:
                if (!reader_.data_digest_is_right()) violation("data digest");
                take(incoming_);
                break;
            case PduReader::Step::header_digest_error:
                violation("header digest");
                return;
            case PduReader::Step::too_long:
                violation("data segment beyond our MaxRecvDataSegmentLength");
                return;
        }
    }
}

void IscsiInitiator::take(const ReceivedPdu& pdu) {
    check_numbers(pdu);
    switch (pdu.header.opcode()) {
        case opcode::login_response:
            take_login_response(pdu);
            break;
        case opcode::data_in:
            take_data_in(pdu);
            break;
        case opcode::scsi_response:
            take_scsi_response(pdu);
            break;
        case opcode::ready_to_transfer:
            take_ready_to_transfer(pdu);
            break;
        case opcode::text_response:
            take_text_response(pdu);
            break;
        default:
            inbox_.push_back(pdu);
    }
    send_waiting();
}

void IscsiInitiator::check_numbers(const ReceivedPdu& pdu) {
    const auto numbers = pdu.as<ResponseNumbers>();
    const bool is_data_in = pdu.header.opcode() == opcode::data_in;
    const bool has_status = !is_data_in || (pdu.header.flags & DataIn::flag_status) != 0;
    const bool asks = pdu.header.opcode() == opcode::ready_to_transfer ||
                      (pdu.header.opcode() == opcode::nop_in &&
                       pdu.header.initiator_task_tag.get() == reserved_tag);
    const SerialNumber32 stat_sn{numbers.stat_sn.get()};
    if (has_status) {
        if (exp_stat_sn_ && *exp_stat_sn_ != stat_sn) violation("StatSN out of order");
        exp_stat_sn_ = asks ? stat_sn : stat_sn.plus(1);
    } else if (stat_sn.value != 0) {
        violation("StatSN in a Data-In without status");
    }
    const SerialNumber32 exp_cmd_sn{numbers.exp_cmd_sn.get()};
    const SerialNumber32 max_cmd_sn{numbers.max_cmd_sn.get()};
    if (exp_cmd_sn_ && exp_cmd_sn.is_before(*exp_cmd_sn_)) violation("ExpCmdSN went back");
    if (max_cmd_sn_ && max_cmd_sn.is_before(*max_cmd_sn_)) violation("MaxCmdSN went back");
    if (max_cmd_sn.plus(1).is_before(exp_cmd_sn)) violation("MaxCmdSN before ExpCmdSN - 1");
    if (cmd_sn_.is_before(exp_cmd_sn)) violation("ExpCmdSN beyond what was sent");
    exp_cmd_sn_ = exp_cmd_sn;
    max_cmd_sn_ = max_cmd_sn;
}

void IscsiInitiator::take_login_response(const ReceivedPdu& pdu) {
    const auto response = pdu.as<LoginResponse>();
    login_status_ = response.status.get();
    adopt_login_answers(pdu.text());
    if (*login_status_ != 0 || (response.flags & 0x83) != 0x83) return;
    logged_in_ = true;
    tsih_ = response.tsih.get();
    reader_.set_digests(digests_);
    reader_.set_data_segment_length_max(settings_.max_recv_data_segment_length);
}

void IscsiInitiator::adopt_login_answers(std::string_view text) {
    while (!text.empty()) {
        const std::size_t end = text.find('\0');
        const std::string_view pair = text.substr(0, end);
        const std::size_t equals = pair.find('=');
        if (end == std::string_view::npos || equals == std::string_view::npos) {
            violation("login text that breaks the grammar");
            return;
        }
        answers_.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
        text.remove_prefix(end + 1);
    }
    const auto number_or = [this](std::string_view key, std::uint32_t otherwise) {
        const std::string value = answered(key);
        return value.empty() ? otherwise : static_cast<std::uint32_t>(std::stoul(value));
    };
    digests_ = {answered("HeaderDigest") == "CRC32C", answered("DataDigest") == "CRC32C"};
    target_max_recv_data_segment_length_ =
        number_or("MaxRecvDataSegmentLength", target_max_recv_data_segment_length_);
    if (settings_.discovery) return;
    initial_r2t_ = answered("InitialR2T") != "No";
    immediate_data_ = answered("ImmediateData") != "No";
    max_burst_length_ = number_or("MaxBurstLength", max_burst_length_);
    first_burst_length_ = number_or("FirstBurstLength", first_burst_length_);
}

void IscsiInitiator::take_data_in(const ReceivedPdu& pdu) {
    const auto data_in = pdu.as<DataIn>();
    const std::uint32_t tag = data_in.initiator_task_tag.get();
    const auto found = tasks_.find(tag);
    if (found == tasks_.end()) {
        violation("Data-In for no task");
        return;
    }
    Task& task = found->second;
    std::vector<std::byte>& data = task.completion.data_in;
    if (data_in.data_sn.get() != task.next_data_sn++) violation("DataSN of Data-In");
    if (data_in.buffer_offset.get() != data.size()) violation("Buffer Offset of Data-In");
    append(data, pdu.data);
    if (data.size() > task.command.read_length) violation("more Data-In than expected");
    task.burst_received += static_cast<std::uint32_t>(pdu.data.size());
    if (task.burst_received > max_burst_length_) violation("Data-In beyond MaxBurstLength");
    if ((data_in.flags & flag_final) != 0) {
        task.burst_received = 0;
    } else if (task.burst_received == max_burst_length_) {
        violation("no F bit at MaxBurstLength");
    }
    if ((data_in.flags & DataIn::flag_status) == 0) return;
    if ((data_in.flags & flag_final) == 0) violation("status without F bit");
    task.completion.residual_count = data_in.residual_count.get();
    task.completion.overflow = (data_in.flags & DataIn::flag_overflow) != 0;
    task.completion.underflow = (data_in.flags & DataIn::flag_underflow) != 0;
    finish(tag, data_in.status);
}

void IscsiInitiator::take_scsi_response(const ReceivedPdu& pdu) {
    const auto response = pdu.as<ScsiResponsePdu>();
    const std::uint32_t tag = response.initiator_task_tag.get();
    const auto found = tasks_.find(tag);
    if (found == tasks_.end()) {
        violation("SCSI Response for no task");
        return;
    }
    Task& task = found->second;
    if (response.response != 0) violation("iSCSI service response is not 0");
    if (response.exp_data_sn.get() != task.next_data_sn) violation("ExpDataSN");
    if (pdu.data.size() > 2) {
        task.completion.sense.assign(pdu.data.begin() + 2, pdu.data.end());
    }
    task.completion.residual_count = response.residual_count.get();
    task.completion.overflow = (response.flags & ScsiResponsePdu::flag_overflow) != 0;
    task.completion.underflow = (response.flags & ScsiResponsePdu::flag_underflow) != 0;
    finish(tag, response.status);
}

void IscsiInitiator::finish(std::uint32_t tag, std::uint8_t status) {
    const auto node = tasks_.extract(tag);
    node.mapped().completion.status = status;
    completions_[tag] = std::move(node.mapped().completion);
}

void IscsiInitiator::take_ready_to_transfer(const ReceivedPdu& pdu) {
    const auto r2t = pdu.as<ReadyToTransfer>();
    const std::uint32_t tag = r2t.initiator_task_tag.get();
    const auto found = tasks_.find(tag);
    if (found == tasks_.end()) {
        violation("R2T for no task");
        return;
    }
    Task& task = found->second;
    const std::uint32_t begin = r2t.buffer_offset.get();
    const std::uint32_t length = r2t.desired_data_transfer_length.get();
    if (r2t.r2t_sn.get() != task.next_data_sn++) violation("R2TSN");
    if (r2t.target_transfer_tag.get() == reserved_tag) violation("R2T with the reserved tag");
    if (length == 0 || length > max_burst_length_) violation("R2T beyond MaxBurstLength");
    if (begin != task.requested_end ||
        std::uint64_t{begin} + length > task.command.data_out.size()) {
        violation("R2T for other data than the next");
        return;
    }
    task.requested_end = begin + length;
    send_data_out(task, tag, r2t.target_transfer_tag.get(), begin, begin + length);
}

void IscsiInitiator::take_text_response(const ReceivedPdu& pdu) {
    const auto response = pdu.as<TextResponse>();
    text_so_far_ += pdu.text();
    const bool is_final = (response.flags & flag_final) != 0;
    if (is_final != (response.target_transfer_tag.get() == reserved_tag)) {
        violation("Target Transfer Tag and F bit of a Text Response disagree");
    }
    if (is_final) {
        text_answer_ = text_so_far_;
        return;
    }
    TextRequest pdu_out{};
    pdu_out.opcode = opcode::text_request;
    pdu_out.flags = flag_final;
    pdu_out.initiator_task_tag = response.initiator_task_tag;
    pdu_out.target_transfer_tag = response.target_transfer_tag;
    number(pdu_out);
    send(pdu_out, {});
}

}  // namespace cowtgt::test
