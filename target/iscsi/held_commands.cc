#include "target/iscsi/held_commands.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt::iscsi {

bool HeldCommands::has_task(std::uint32_t initiator_task_tag) const {
    return std::ranges::any_of(commands_, [&](const auto& each) {
        return each.second.initiator_task_tag == initiator_task_tag;
    });
}

void HeldCommands::add(SerialNumber32 cmd_sn, std::uint32_t initiator_task_tag,
                       std::vector<std::byte> pdu) {
    byte_count_ += pdu.size();
    const bool is_new =
        commands_.try_emplace(cmd_sn.value, Command{initiator_task_tag, std::move(pdu)}).second;
    CHECK(is_new);
}

void HeldCommands::add_data_out(std::uint32_t initiator_task_tag, Bytes pdu) {
    const auto found = std::ranges::find_if(commands_, [&](const auto& each) {
        return each.second.initiator_task_tag == initiator_task_tag;
    });
    CHECK(found != commands_.end());
    std::vector<std::byte>& pdus = found->second.pdus;
    pdus.insert(pdus.end(), pdu.begin(), pdu.end());
    byte_count_ += pdu.size();
}

std::vector<std::byte> HeldCommands::take(SerialNumber32 cmd_sn) {
    std::erase_if(commands_, [&](const auto& each) {
        if (!SerialNumber32{each.first}.is_before(cmd_sn)) return false;
        byte_count_ -= each.second.pdus.size();
        return true;
    });
    const auto found = commands_.find(cmd_sn.value);
    if (found == commands_.end()) return {};
    std::vector<std::byte> pdus = std::move(found->second.pdus);
    byte_count_ -= pdus.size();
    commands_.erase(found);
    return pdus;
}

namespace {

void append(std::vector<std::byte>& bytes, Bytes more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
}

/// Of everything from `begin` on.
void append_digest(std::vector<std::byte>& bytes, std::size_t begin) {
    const le32 digest = crc32c(Bytes(bytes).subspan(begin));
    append(bytes, bytes_of_struct(digest));
}

}  // namespace

std::vector<std::byte> wire_of(const PduReader& reader, Bytes data) {
    std::vector<std::byte> bytes;
    append(bytes, bytes_of_struct(reader.header()));
    append(bytes, reader.additional_headers());
    if (reader.digests().header) append_digest(bytes, 0);
    if (data.empty()) return bytes;
    const std::size_t begin = bytes.size();
    append(bytes, data);
    bytes.resize(begin + round_up(data.size(), 4));
    if (!reader.digests().data) return bytes;
    append_digest(bytes, begin);
    if (!reader.data_digest_is_right()) bytes.back() ^= std::byte{0xff};
    return bytes;
}

}  // namespace cowtgt::iscsi
