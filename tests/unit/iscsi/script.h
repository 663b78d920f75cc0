#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cow-store/base/checksum.h"
#include "target/iscsi/connection.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/pdu_reader.h"
#include "tests/support/iscsi_initiator.h"

/// PDUs in, PDUs out: a connection with an owner that does what a test tells it.
namespace cowtgt::iscsi {

using test::KeyValues;
using test::ReceivedPdu;

constexpr std::string_view test_initiator = "iqn.2026-01.org.example:init:web01";
constexpr std::string_view test_target = "iqn.2026-01.org.example:web01";

constexpr std::uint16_t test_tsih = 7;  ///< of the one session that the owner below knows

/// Operation codes of the owner below, in byte 0 of a CDB; bytes 1 to 4 are a length, 5 to 8 an
/// offset in its memory.
constexpr std::uint8_t read_operation = 0x28;
constexpr std::uint8_t write_operation = 0x2a;
constexpr std::uint8_t fail_operation = 0xff;  ///< CHECK CONDITION with three bytes of sense
constexpr std::uint8_t hold_operation = 0xfe;  ///< not answered until the test does it

std::array<std::uint8_t, 16> cdb_of(std::uint8_t operation, std::uint32_t length,
                                    std::uint32_t offset = 0);

/// Owns a connection and a piece of memory that commands read and write.
class ScriptOwner : public ConnectionOwner {
public:
    explicit ScriptOwner(std::size_t memory_size) : memory(memory_size) {}

    void login_requested(Connection&, const LoginRequestInfo&) override;
    void session_wanted(Connection&, const LoginRequestInfo&) override;
    void session_started(Connection&) override { events.push_back("session started"); }
    void scsi_command_received(Connection&, ScsiTask&) override;
    void data_out_received(Connection&, ScsiTask&) override;
    void task_finished(Connection&, ScsiTask&) override;
    void task_management_received(Connection&, const TaskManagementRequest&) override;
    std::vector<TargetRecord> targets_wanted(Connection&, std::string_view name) override;
    void logout_received(Connection&, std::uint8_t reason) override;
    void ping_answered(Connection&) override { events.push_back("ping answered"); }
    void close_wanted(Connection&, const CloseReason&) override;

    /// Answers a held command with GOOD.
    void complete_held(Connection&, ScsiTask&);

    // What a test may set.
    LoginDecision decision;
    LoginStatus session_status = LoginStatus::success;
    bool answers_login_later = false;
    bool takes_buffers_later = false;
    bool lends = false;  ///< reads are answered with lent bytes, whose "file" is the memory
    std::vector<TargetRecord> targets;

    // What a test may look at.
    std::vector<std::byte> memory;
    std::vector<std::string> events;
    std::vector<ScsiTask*> held;        ///< in the order of their arrival
    std::vector<ScsiTask*> for_buffer;  ///< writes that wait for receive_data_out
    std::size_t finished = 0;
    std::size_t lent = 0;  ///< reads that were answered so
    std::vector<CloseReason> closes;
    LoginRequestInfo login;

private:
    void answer_read(Connection&, ScsiTask&);
    void answer_write(Connection&, ScsiTask&);
};

/// Feeds PDUs to a connection and collects what it answers.
class Script {
public:
    /// `bytes_per_receive`: how the input is cut; 0 gives each PDU whole.
    explicit Script(std::size_t bytes_per_receive = 0, ConnectionLimits limits = {});

    /// Sends one PDU and returns what the connection has to say afterwards.
    template <typename Pdu>
    std::vector<ReceivedPdu> send(Pdu pdu, Bytes data = {}) {
        pdu.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
        const Bytes header = bytes_of_struct(pdu);
        return send_bytes(wire(header, data));
    }
    std::vector<ReceivedPdu> send_bytes(Bytes bytes);
    /// What has been queued meanwhile.
    std::vector<ReceivedPdu> output();
    /// Header, data and digests as they go over the wire.
    std::vector<std::byte> wire(Bytes header, Bytes data) const;

    /// A Login Request with these keys. `flags`: T, C, CSG and NSG.
    std::vector<ReceivedPdu> login(std::uint8_t flags, const KeyValues& keys);
    /// A login in one request with `keys` besides the names; expects success.
    void log_in(const KeyValues& keys = {});
    void log_in_to_discovery();

    ScsiCommand command(std::uint8_t operation, std::uint32_t length, std::uint32_t expected,
                        std::uint8_t flags);
    /// The next number, taken.
    std::uint32_t next_cmd_sn() { return cmd_sn_++; }
    std::uint32_t cmd_sn() const { return cmd_sn_; }
    std::uint32_t next_tag() { return tag_++; }

    ScriptOwner owner;
    Connection connection;
    LoginRequest login_request{};  ///< what login() sends; a test may change it before
    Digests digests;               ///< of both directions from now on
    std::vector<std::byte> all_output;

private:
    std::size_t bytes_per_receive_;
    std::uint32_t cmd_sn_ = 1;
    std::uint32_t tag_ = 0x1000;
    PduReader reader_;
    ReceivedPdu incoming_;
};

/// "key=value" of a login or text answer; "<none>" if it is not there, "<twice>" if it is twice.
std::string value_of(const ReceivedPdu& pdu, std::string_view key);
std::string text_of_keys(const KeyValues& keys);

}  // namespace cowtgt::iscsi
