#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/base/endian.h"

/// The PDUs of RFC 7143 section 11 as they lie on the wire: basic header segments of 48 bytes.
/// A field has the name that the RFC gives it; reserved fields have the number of their byte.
namespace cowtgt::iscsi {

inline constexpr std::size_t basic_header_size = 48;
inline constexpr std::size_t digest_size = 4;
/// "Reserved" value of Initiator Task Tag, Target Transfer Tag and Referenced Task Tag.
inline constexpr std::uint32_t reserved_tag = 0xffffffff;

namespace opcode {
inline constexpr std::uint8_t nop_out = 0x00;
inline constexpr std::uint8_t scsi_command = 0x01;
inline constexpr std::uint8_t task_management_request = 0x02;
inline constexpr std::uint8_t login_request = 0x03;
inline constexpr std::uint8_t text_request = 0x04;
inline constexpr std::uint8_t data_out = 0x05;
inline constexpr std::uint8_t logout_request = 0x06;
inline constexpr std::uint8_t snack_request = 0x10;
inline constexpr std::uint8_t nop_in = 0x20;
inline constexpr std::uint8_t scsi_response = 0x21;
inline constexpr std::uint8_t task_management_response = 0x22;
inline constexpr std::uint8_t login_response = 0x23;
inline constexpr std::uint8_t text_response = 0x24;
inline constexpr std::uint8_t data_in = 0x25;
inline constexpr std::uint8_t logout_response = 0x26;
inline constexpr std::uint8_t ready_to_transfer = 0x31;
inline constexpr std::uint8_t async_message = 0x32;
inline constexpr std::uint8_t reject = 0x3f;

inline constexpr std::uint8_t mask = 0x3f;
inline constexpr std::uint8_t immediate = 0x40;  ///< I bit, section 11.2.1.1
}  // namespace opcode

/// Byte 1 of several PDUs: the last PDU of a sequence.
inline constexpr std::uint8_t flag_final = 0x80;

/// What all PDUs of section 11.2.1 have in common.
struct BasicHeader {
    std::uint8_t opcode_and_immediate;
    std::uint8_t flags;
    std::array<std::uint8_t, 2> opcode_specific_2;
    std::uint8_t total_ahs_length;  ///< in 4-byte words
    be24 data_segment_length;       ///< bytes, without padding
    be64 lun;                       ///< or opcode-specific
    be32 initiator_task_tag;
    std::array<std::uint8_t, 28> opcode_specific_20;

    std::uint8_t opcode() const { return opcode_and_immediate & opcode::mask; }
    bool immediate() const { return (opcode_and_immediate & opcode::immediate) != 0; }
};
static_assert(sizeof(BasicHeader) == 48 && alignof(BasicHeader) == 1);
static_assert(offsetof(BasicHeader, initiator_task_tag) == 16);

/// The fields that every PDU of an initiator that is numbered has in the same place.
struct CommandNumbers {
    std::array<std::uint8_t, 24> before;
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> after;
};
static_assert(sizeof(CommandNumbers) == 48 && offsetof(CommandNumbers, cmd_sn) == 24);

/// The fields that every PDU of a target has in the same place.
struct ResponseNumbers {
    std::array<std::uint8_t, 24> before;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    std::array<std::uint8_t, 12> after;
};
static_assert(sizeof(ResponseNumbers) == 48 && offsetof(ResponseNumbers, stat_sn) == 24);

namespace ahs_type {
inline constexpr std::uint8_t extended_cdb = 1;
inline constexpr std::uint8_t bidirectional_read_length = 2;
}  // namespace ahs_type

/// SCSI Command, section 11.3.
struct ScsiCommand {
    std::uint8_t opcode;  ///< 0x01, with I bit
    std::uint8_t flags;   ///< F, R, W, ATTR
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 expected_data_transfer_length;  ///< bytes
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> cdb;

    static constexpr std::uint8_t flag_read = 0x40;
    static constexpr std::uint8_t flag_write = 0x20;
    static constexpr std::uint8_t attribute_mask = 0x07;
};
static_assert(sizeof(ScsiCommand) == 48 && alignof(ScsiCommand) == 1);
static_assert(offsetof(ScsiCommand, expected_data_transfer_length) == 20);
static_assert(offsetof(ScsiCommand, cdb) == 32);

/// SCSI Response, section 11.4.
struct ScsiResponsePdu {
    std::uint8_t opcode;    ///< 0x21
    std::uint8_t flags;     ///< 0x80, o, u, O, U
    std::uint8_t response;  ///< 0: command completed at target
    std::uint8_t status;    ///< SAM-5 status code
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 8> reserved_8;
    be32 initiator_task_tag;
    be32 snack_tag;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be32 exp_data_sn;  ///< number of R2T and Data-In PDUs sent for the command
    be32 bidirectional_read_residual_count;
    be32 residual_count;  ///< bytes

    static constexpr std::uint8_t flag_bidirectional_overflow = 0x10;
    static constexpr std::uint8_t flag_bidirectional_underflow = 0x08;
    static constexpr std::uint8_t flag_overflow = 0x04;
    static constexpr std::uint8_t flag_underflow = 0x02;
};
static_assert(sizeof(ScsiResponsePdu) == 48 && alignof(ScsiResponsePdu) == 1);
static_assert(offsetof(ScsiResponsePdu, exp_data_sn) == 36);
static_assert(offsetof(ScsiResponsePdu, residual_count) == 44);

/// Task Management Function Request, section 11.5.
struct TaskManagementRequestPdu {
    std::uint8_t opcode;    ///< 0x02, with I bit
    std::uint8_t function;  ///< 0x80 and the function
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 referenced_task_tag;
    be32 cmd_sn;
    be32 exp_stat_sn;
    be32 ref_cmd_sn;
    be32 exp_data_sn;
    std::array<std::uint8_t, 8> reserved_40;

    static constexpr std::uint8_t function_mask = 0x7f;
};
static_assert(sizeof(TaskManagementRequestPdu) == 48);
static_assert(offsetof(TaskManagementRequestPdu, ref_cmd_sn) == 32);

/// Task Management Function Response, section 11.6.
struct TaskManagementResponsePdu {
    std::uint8_t opcode;  ///< 0x22
    std::uint8_t flags;   ///< 0x80
    std::uint8_t response;
    std::uint8_t reserved_3;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 8> reserved_8;
    be32 initiator_task_tag;
    be32 reserved_20;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    std::array<std::uint8_t, 12> reserved_36;
};
static_assert(sizeof(TaskManagementResponsePdu) == 48);

/// SCSI Data-Out, section 11.7.
struct DataOut {
    std::uint8_t opcode;  ///< 0x05
    std::uint8_t flags;   ///< F
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 target_transfer_tag;  ///< of the R2T; reserved_tag: unsolicited
    be32 reserved_24;
    be32 exp_stat_sn;
    be32 reserved_32;
    be32 data_sn;        ///< counts within one sequence
    be32 buffer_offset;  ///< bytes
    be32 reserved_44;
};
static_assert(sizeof(DataOut) == 48 && offsetof(DataOut, data_sn) == 36);

/// SCSI Data-In, section 11.7.
struct DataIn {
    std::uint8_t opcode;  ///< 0x25
    std::uint8_t flags;   ///< F, A, O, U, S
    std::uint8_t reserved_2;
    std::uint8_t status;  ///< with S
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 target_transfer_tag;  ///< reserved_tag without the A bit
    be32 stat_sn;              ///< with S
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be32 data_sn;
    be32 buffer_offset;   ///< bytes
    be32 residual_count;  ///< bytes, with S

    static constexpr std::uint8_t flag_acknowledge = 0x40;
    static constexpr std::uint8_t flag_overflow = 0x04;
    static constexpr std::uint8_t flag_underflow = 0x02;
    static constexpr std::uint8_t flag_status = 0x01;
};
static_assert(sizeof(DataIn) == 48 && offsetof(DataIn, data_sn) == 36);
static_assert(offsetof(DataIn, residual_count) == 44);

/// R2T, section 11.8.
struct ReadyToTransfer {
    std::uint8_t opcode;  ///< 0x31
    std::uint8_t flags;   ///< 0x80
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 target_transfer_tag;
    be32 stat_sn;  ///< the next one; an R2T does not use it up
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be32 r2t_sn;
    be32 buffer_offset;                 ///< bytes
    be32 desired_data_transfer_length;  ///< bytes
};
static_assert(sizeof(ReadyToTransfer) == 48 && alignof(ReadyToTransfer) == 1);
static_assert(offsetof(ReadyToTransfer, buffer_offset) == 40);

/// Asynchronous Message, section 11.9.
struct AsyncMessage {
    std::uint8_t opcode;  ///< 0x32
    std::uint8_t flags;   ///< 0x80
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;  ///< reserved_tag
    be32 reserved_20;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    std::uint8_t async_event;
    std::uint8_t async_vcode;
    be16 parameter1;
    be16 parameter2;
    be16 parameter3;
    be32 reserved_44;

    static constexpr std::uint8_t event_logout_request = 1;
};
static_assert(sizeof(AsyncMessage) == 48 && offsetof(AsyncMessage, parameter3) == 42);

/// Text Request, section 11.10.
struct TextRequest {
    std::uint8_t opcode;  ///< 0x04, with I bit
    std::uint8_t flags;   ///< F, C
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 target_transfer_tag;
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> reserved_32;

    static constexpr std::uint8_t flag_continue = 0x40;
};
static_assert(sizeof(TextRequest) == 48);

/// Text Response, section 11.11.
struct TextResponse {
    std::uint8_t opcode;  ///< 0x24
    std::uint8_t flags;   ///< F, C
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;
    be32 target_transfer_tag;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    std::array<std::uint8_t, 12> reserved_36;
};
static_assert(sizeof(TextResponse) == 48);

/// Login Request, section 11.12.
struct LoginRequest {
    std::uint8_t opcode;  ///< 0x43
    std::uint8_t flags;   ///< T, C, CSG, NSG
    std::uint8_t version_max;
    std::uint8_t version_min;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 6> isid;
    be16 tsih;
    be32 initiator_task_tag;
    be16 cid;
    std::array<std::uint8_t, 2> reserved_22;
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> reserved_32;

    static constexpr std::uint8_t flag_transit = 0x80;
    static constexpr std::uint8_t flag_continue = 0x40;
    static constexpr unsigned current_stage_shift = 2;
    static constexpr std::uint8_t stage_mask = 0x03;
};
static_assert(sizeof(LoginRequest) == 48 && offsetof(LoginRequest, cid) == 20);

/// Login Response, section 11.13.
struct LoginResponse {
    std::uint8_t opcode;  ///< 0x23
    std::uint8_t flags;   ///< T, C, CSG, NSG
    std::uint8_t version_max;
    std::uint8_t version_active;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 6> isid;
    be16 tsih;
    be32 initiator_task_tag;
    be32 reserved_20;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be16 status;  ///< Status-Class and Status-Detail
    std::array<std::uint8_t, 10> reserved_38;
};
static_assert(sizeof(LoginResponse) == 48 && offsetof(LoginResponse, status) == 36);

/// Logout Request, section 11.14.
struct LogoutRequest {
    std::uint8_t opcode;  ///< 0x06, with I bit
    std::uint8_t reason;  ///< 0x80 and the reason code
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 8> reserved_8;
    be32 initiator_task_tag;
    be16 cid;
    std::array<std::uint8_t, 2> reserved_22;
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> reserved_32;

    static constexpr std::uint8_t reason_mask = 0x7f;
    static constexpr std::uint8_t close_session = 0;
    static constexpr std::uint8_t close_connection = 1;
    static constexpr std::uint8_t remove_for_recovery = 2;
};
static_assert(sizeof(LogoutRequest) == 48 && offsetof(LogoutRequest, cid) == 20);

/// Logout Response, section 11.15.
struct LogoutResponse {
    std::uint8_t opcode;  ///< 0x26
    std::uint8_t flags;   ///< 0x80
    std::uint8_t response;
    std::uint8_t reserved_3;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 8> reserved_8;
    be32 initiator_task_tag;
    be32 reserved_20;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be32 reserved_36;
    be16 time2wait;    ///< seconds
    be16 time2retain;  ///< seconds
    be32 reserved_44;

    static constexpr std::uint8_t closed = 0;
    static constexpr std::uint8_t cid_not_found = 1;
    static constexpr std::uint8_t recovery_not_supported = 2;
};
static_assert(sizeof(LogoutResponse) == 48 && offsetof(LogoutResponse, time2wait) == 40);

/// Reject, section 11.17. Its data segment is the header of the PDU that was rejected.
struct Reject {
    std::uint8_t opcode;  ///< 0x3f
    std::uint8_t flags;   ///< 0x80
    std::uint8_t reason;
    std::uint8_t reserved_3;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    std::array<std::uint8_t, 8> reserved_8;
    be32 initiator_task_tag;  ///< reserved_tag
    be32 reserved_20;
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    be32 data_sn;
    std::array<std::uint8_t, 8> reserved_40;
};
static_assert(sizeof(Reject) == 48);

/// Reason codes of section 11.17.1.
enum class RejectReason : std::uint8_t {
    data_digest_error = 0x02,
    snack_reject = 0x03,
    protocol_error = 0x04,
    command_not_supported = 0x05,
    too_many_immediate_commands = 0x06,
    task_in_progress = 0x07,
    invalid_data_ack = 0x08,
    invalid_pdu_field = 0x09,
};

/// NOP-Out, section 11.18.
struct NopOut {
    std::uint8_t opcode;  ///< 0x00, with I bit
    std::uint8_t flags;   ///< 0x80
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;   ///< reserved_tag: no answer wanted
    be32 target_transfer_tag;  ///< of the NOP-In that this answers
    be32 cmd_sn;
    be32 exp_stat_sn;
    std::array<std::uint8_t, 16> reserved_32;
};
static_assert(sizeof(NopOut) == 48);

/// NOP-In, section 11.19.
struct NopIn {
    std::uint8_t opcode;  ///< 0x20
    std::uint8_t flags;   ///< 0x80
    std::array<std::uint8_t, 2> reserved_2;
    std::uint8_t total_ahs_length;
    be24 data_segment_length;
    be64 lun;
    be32 initiator_task_tag;   ///< reserved_tag: not an answer
    be32 target_transfer_tag;  ///< reserved_tag: no answer wanted
    be32 stat_sn;
    be32 exp_cmd_sn;
    be32 max_cmd_sn;
    std::array<std::uint8_t, 12> reserved_36;
};
static_assert(sizeof(NopIn) == 48);

}  // namespace cowtgt::iscsi
