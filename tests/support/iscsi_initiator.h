#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/units.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/pdu_reader.h"

/// The other side of the wire for tests: an initiator without sockets.
namespace cowtgt::test {

/// Keys and values of one login text, in their order.
using KeyValues = std::vector<std::pair<std::string, std::string>>;

struct InitiatorSettings {
    std::string initiator_name = "iqn.2026-01.org.example:init:test";
    std::string target_name = "iqn.2026-01.org.example:test";  ///< not used for discovery
    bool discovery = false;
    std::array<std::uint8_t, 6> isid = {0x00, 0x02, 0x3d, 0x00, 0x00, 0x01};
    std::uint16_t tsih = 0;  ///< of the session whose connection this login replaces
    std::uint16_t cid = 0;
    std::uint32_t first_cmd_sn = 0;
    std::string header_digest = "None";
    std::string data_digest = "None";
    std::string initial_r2t = "No";
    std::string immediate_data = "Yes";
    std::uint32_t max_recv_data_segment_length = 262144;  ///< bytes
    std::uint32_t max_burst_length = 262144;              ///< bytes
    std::uint32_t first_burst_length = 65536;             ///< bytes
    std::uint32_t max_outstanding_r2t = 1;
};

/// One SCSI command to send.
struct InitiatorCommand {
    std::uint64_t lun = 0;
    std::vector<std::uint8_t> cdb = {};
    std::uint32_t read_length = 0;         ///< bytes expected; R bit if not 0
    std::vector<std::byte> data_out = {};  ///< W bit if not empty
    bool immediate = false;
    std::uint8_t attribute = 1;  ///< 1 simple, 2 ordered, 3 head of queue
};

/// How a command ended.
struct InitiatorCompletion {
    std::uint8_t status = 0;
    std::vector<std::byte> sense;
    std::vector<std::byte> data_in;
    std::uint32_t residual_count = 0;
    bool overflow = false, underflow = false;
};

/// A PDU as it came, with its data segment.
struct ReceivedPdu {
    iscsi::BasicHeader header{};
    std::vector<std::byte> data;

    template <typename Pdu>
    Pdu as() const {
        return std::bit_cast<Pdu>(header);
    }
    std::string_view text() const { return text_of(data); }
};

/// Where the numbering of a session stands.
struct InitiatorNumbers {
    std::uint32_t cmd_sn = 0;  ///< of the next command
    std::uint32_t exp_stat_sn = 0;
    std::uint32_t max_cmd_sn = 0;
};

/// Logs in, sends commands, pings and texts, and checks everything that a target numbers or cuts:
/// StatSN, ExpCmdSN, MaxCmdSN, DataSN, offsets, F bits, lengths and digests. What is wrong goes to
/// violations(); a test ends by expecting that to be empty.
///
/// No sockets, clock or random: bytes to send come from take_output(), bytes received go to
/// receive(). Uses PduReader for the cutting.
class IscsiInitiator {
public:
    explicit IscsiInitiator(InitiatorSettings settings);

    /// Queues a login in one request, Operational to FullFeature, with all keys of the settings.
    void start_login();
    bool logged_in() const { return logged_in_; }
    /// Of the last Login Response; absent before.
    std::optional<std::uint16_t> login_status() const { return login_status_; }
    std::uint16_t tsih() const { return tsih_; }
    /// A key of the target's login answers, or empty.
    std::string answered(std::string_view key) const;

    /// Queues a command as soon as the command window has room, and returns its task tag.
    std::uint32_t submit(InitiatorCommand command);
    /// The end of a command, once.
    std::optional<InitiatorCompletion> take_completion(std::uint32_t initiator_task_tag);
    /// For whoever goes on with the session by other means. Requires: logged in.
    InitiatorNumbers numbers() const {
        return {cmd_sn_.value, exp_stat_sn_->value, max_cmd_sn_->value};
    }
    std::size_t outstanding() const { return tasks_.size() + waiting_.size(); }

    std::uint32_t send_ping(Bytes data);
    /// One Text Request, F=1. Continued answers are collected.
    std::uint32_t send_text(std::string_view text);
    std::uint32_t send_task_management(std::uint8_t function, std::uint64_t lun,
                                       std::uint32_t referenced_task_tag);
    std::uint32_t send_logout(std::uint8_t reason);

    std::vector<std::byte> take_output() { return std::exchange(output_, {}); }
    void receive(Bytes in);

    /// NOP-In, Text, Task Management and Logout Responses, Reject, Asynchronous Message; in order.
    std::deque<ReceivedPdu>& inbox() { return inbox_; }
    /// The whole text answer to the last send_text, once it has ended.
    const std::optional<std::string>& text_answer() const { return text_answer_; }
    const std::vector<std::string>& violations() const { return violations_; }

private:
    struct Task {
        InitiatorCommand command;
        InitiatorCompletion completion;
        std::uint32_t next_data_sn = 0;    // of Data-In and R2T
        std::uint32_t burst_received = 0;  // bytes of the current Data-In sequence
        std::uint32_t requested_end = 0;   // bytes that R2Ts and unsolicited data cover
    };

    void take(const ReceivedPdu& pdu);
    void take_login_response(const ReceivedPdu& pdu);
    void take_data_in(const ReceivedPdu& pdu);
    void take_scsi_response(const ReceivedPdu& pdu);
    void take_ready_to_transfer(const ReceivedPdu& pdu);
    void take_text_response(const ReceivedPdu& pdu);
    void check_numbers(const ReceivedPdu& pdu);
    void finish(std::uint32_t tag, std::uint8_t status);
    void adopt_login_answers(std::string_view text);
    void send_waiting();
    void send_command(std::uint32_t tag, InitiatorCommand command);
    void send_data_out(const Task& task, std::uint32_t tag, std::uint32_t transfer_tag,
                       std::uint32_t begin, std::uint32_t end);
    template <typename Pdu>
    void send(Pdu pdu, Bytes data);
    template <typename Pdu>
    void number(Pdu& pdu);
    void violation(std::string text) { violations_.push_back(std::move(text)); }

    InitiatorSettings settings_;
    iscsi::PduReader reader_;
    iscsi::Digests digests_;
    std::vector<std::byte> output_;
    ReceivedPdu incoming_;
    std::deque<ReceivedPdu> inbox_;
    std::vector<std::string> violations_;
    KeyValues answers_;
    std::map<std::uint32_t, Task> tasks_;
    std::map<std::uint32_t, InitiatorCompletion> completions_;
    std::deque<std::pair<std::uint32_t, InitiatorCommand>> waiting_;
    std::optional<std::uint16_t> login_status_;
    std::string text_so_far_;
    std::optional<std::string> text_answer_;
    bool logged_in_ = false;
    std::uint16_t tsih_ = 0;
    std::uint32_t target_max_recv_data_segment_length_ = 8192;
    bool initial_r2t_ = true, immediate_data_ = true;
    std::uint32_t max_burst_length_ = 262144, first_burst_length_ = 65536;
    std::uint32_t next_task_tag_ = 1;
    SerialNumber32 cmd_sn_;
    std::optional<SerialNumber32> exp_stat_sn_;
    std::optional<SerialNumber32> exp_cmd_sn_, max_cmd_sn_;
};

}  // namespace cowtgt::test
