#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/units.h"
#include "target/iscsi/pdu_reader.h"

namespace cowtgt::iscsi {

/// Commands that came while one with a smaller CmdSN is missing. They may not be executed before it
/// (RFC 7143 section 4.2.2.1), so they wait as they came over the wire, each with the Data-Out that
/// followed it, and are read again when their turn has come.
class HeldCommands {
public:
    /// Bytes of all of them; a peer that leaves a gap has no claim to more.
    static constexpr std::size_t byte_count_max = 1U << 20;

    std::size_t byte_count() const { return byte_count_; }
    bool contains(SerialNumber32 cmd_sn) const { return commands_.contains(cmd_sn.value); }
    bool has_task(std::uint32_t initiator_task_tag) const;

    /// Requires: not contains(cmd_sn).
    void add(SerialNumber32 cmd_sn, std::uint32_t initiator_task_tag, std::vector<std::byte> pdu);
    /// Data-Out of a command that waits. Requires: has_task(initiator_task_tag).
    void add_data_out(std::uint32_t initiator_task_tag, Bytes pdu);
    /// The PDUs of the command with this number, taken out; empty if it is not here. Those before
    /// it are forgotten: their numbers were given up.
    std::vector<std::byte> take(SerialNumber32 cmd_sn);

private:
    struct Command {
        std::uint32_t initiator_task_tag;
        std::vector<std::byte> pdus;
    };
    std::map<std::uint32_t, Command> commands_;  ///< by CmdSN; as many as the window has at most
    std::size_t byte_count_ = 0;
};

/// A PDU as it came: what `reader` has of its header, and its data segment. A data digest that was
/// wrong is wrong again.
/// Requires: reader.feed() has just said Step::end.
std::vector<std::byte> wire_of(const PduReader& reader, Bytes data);

}  // namespace cowtgt::iscsi
