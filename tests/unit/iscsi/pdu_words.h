#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/iscsi/script.h"

/// PDUs as short texts, for tables of cases.
namespace cowtgt::iscsi {

/// Sends PDUs that are written as words, and writes the answers down the same way.
///
/// A PDU is its kind and what differs from an ordinary one: "read 512 edtl=1024", "data 0 512
/// dsn=1 f=00". Kinds, with the numbers that follow them:
///   read LENGTH, write LENGTH, hold, fail     a SCSI Command; edtl= EXPECTED DATA TRANSFER LENGTH
///   data OFFSET LENGTH                        Data-Out of the last command
///   ping LENGTH, text KEYS, abort, function N, logout REASON, snack, login, opcode N
/// Fields: f= flags (hex), itt=, ttt= ("r2t": of the last R2T or Text Response), dsn=, edtl=,
/// with= bytes of data sent along, cid=, refsn= and sn= (CmdSN, relative to the next one), ahs=
/// (hex), "immediate". KEYS have ';' between them.
class WordScript {
public:
    explicit WordScript(const KeyValues& keys);

    /// What came back, one PDU after the other with "; " between them; "-" for nothing.
    std::string send(std::string_view words);

private:
    struct Words;
    std::vector<ReceivedPdu> send_command(const Words& words);
    std::vector<ReceivedPdu> send_data_out(const Words& words);
    std::vector<ReceivedPdu> send_other(const Words& words);
    std::uint32_t cmd_sn(const Words& words);
    std::uint8_t opcode_of(std::uint8_t opcode, const Words& words) const;
    std::string describe(const ReceivedPdu& pdu);

    Script script_;
    std::uint32_t last_command_ = reserved_tag;       ///< its task tag
    std::uint32_t last_cmd_sn_ = 0;                   ///< of the last command
    std::uint32_t last_transfer_tag_ = reserved_tag;  ///< of the last R2T or Text Response
    bool close_told_ = false;
};

}  // namespace cowtgt::iscsi
