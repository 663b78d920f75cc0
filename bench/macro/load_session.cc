#include "bench/macro/load_session.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt::bench {

namespace {

using namespace cowtgt::iscsi;

constexpr std::uint32_t logical_block_bytes = 512;
constexpr std::uint8_t read_16 = 0x88;
constexpr std::uint8_t write_16 = 0x8a;
constexpr std::uint8_t unmap = 0x42;
constexpr std::uint8_t synchronize_cache_16 = 0x91;

std::array<std::uint8_t, 16> cdb_of(std::uint8_t operation_code, std::uint64_t offset,
                                    std::uint32_t bytes) {
    std::array<std::uint8_t, 16> cdb{};
    cdb[0] = operation_code;
    const be64 lba(offset / logical_block_bytes);
    const be32 count(bytes / logical_block_bytes);
    std::memcpy(cdb.data() + 2, &lba, sizeof lba);
    std::memcpy(cdb.data() + 10, &count, sizeof count);
    return cdb;
}

/// UNMAP parameter list with one block descriptor, SBC-4 section 5.35.2.
struct UnmapList {
    be16 data_length, block_descriptor_data_length;  ///< bytes
    std::array<std::uint8_t, 4> reserved_4;
    be64 first_block;
    be32 block_count;
    std::array<std::uint8_t, 4> reserved_20;
};
static_assert(sizeof(UnmapList) == 24 && alignof(UnmapList) == 1);

std::array<std::uint8_t, 16> unmap_cdb() {
    std::array<std::uint8_t, 16> cdb{};
    cdb[0] = unmap;
    cdb[8] = sizeof(UnmapList);
    return cdb;
}

std::size_t add_piece(std::span<iovec> out, std::size_t count, Bytes piece, std::size_t& skip) {
    const std::size_t skipped = std::min(skip, piece.size());
    skip -= skipped;
    if (skipped == piece.size()) return count;
    const Bytes rest = piece.subspan(skipped);
    out[count] = {const_cast<std::byte*>(rest.data()), rest.size()};
    return count + 1;
}

}  // namespace

Places::Places(const Workload& workload)
    : workload_(workload),
      state_(workload.seed * 0x9e3779b97f4a7c15 | 1),
      block_count_(workload.span_bytes / workload.block_bytes) {
    CHECK(block_count_ > 0);
    switch (workload.order) {
        case Workload::Order::random:
            return;
        case Workload::Order::sequential:
            next_ = random() % block_count_;
            return;
        case Workload::Order::each_once: {
            order_.resize(block_count_);
            std::iota(order_.begin(), order_.end(), 0U);
            std::mt19937_64 shuffling(workload.seed);
            std::shuffle(order_.begin(), order_.end(), shuffling);
            left_ = block_count_;
            return;
        }
        case Workload::Order::fill:
            left_ = block_count_;
            return;
        case Workload::Order::trace:
            left_ = workload.trace.size();
            return;
    }
}

std::uint64_t Places::random() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ >> 11;
}

Workload::Place Places::next() {
    CHECK(left_ > 0);
    --left_;
    const std::uint32_t bytes = workload_.block_bytes;
    switch (workload_.order) {
        case Workload::Order::random:
            return {random() % block_count_ * bytes, bytes};
        case Workload::Order::sequential:
        case Workload::Order::fill:
            return {next_++ % block_count_ * bytes, bytes};
        case Workload::Order::each_once:
            return {std::uint64_t{order_[left_]} * bytes, bytes};
        case Workload::Order::trace:
            return workload_.trace[next_++];
    }
    CHECK(false);
}

LoadSession::LoadSession(const LoginOutcome& login, std::uint64_t lun, const Workload& workload,
                         Bytes payload)
    : login_(login), lun_(lun), workload_(workload), places_(workload), payload_(payload) {
    CHECK(payload.size() >= 2 * std::size_t{workload.block_bytes});
    reader_.set_digests(login.digests);
    reader_.set_data_segment_length_max(1U << 24);
    commands_.resize(workload.depth);
    for (std::uint32_t tag = 0; tag < workload.depth; ++tag) {
        idle_.push_back(tag);
    }
}

void LoadSession::begin_commands(std::uint64_t now_ns) {
    while (!idle_.empty() && (flush_is_due() || !places_.exhausted()) &&
           static_cast<std::int32_t>(login_.max_cmd_sn - login_.cmd_sn) >= 0) {
        const std::uint32_t tag = idle_.back();
        idle_.pop_back();
        ++in_flight_;
        if (flush_is_due()) {
            begin_flush(tag);
        } else {
            begin_command(tag, now_ns);
        }
    }
}

ScsiCommand LoadSession::next_pdu(std::uint32_t tag) {
    ScsiCommand pdu{};
    pdu.opcode = opcode::scsi_command;
    pdu.lun = lun_;
    pdu.initiator_task_tag = tag;
    pdu.cmd_sn = login_.cmd_sn++;
    pdu.exp_stat_sn = login_.exp_stat_sn;
    return pdu;
}

/// Does not wait for those in flight, as fio does not.
void LoadSession::begin_flush(std::uint32_t tag) {
    since_flush_ = 0;
    Command& command = commands_[tag];
    command.busy = true;
    command.flushes = true;
    ScsiCommand pdu = next_pdu(tag);
    pdu.cdb = cdb_of(synchronize_cache_16, 0, 0);
    pdu.flags = flag_final | 1;
    put(pdu, {});
}

void LoadSession::begin_command(std::uint32_t tag, std::uint64_t now_ns) {
    const auto [offset, bytes] = places_.next();
    ++since_flush_;
    Command& command = commands_[tag];
    command = {true, places_.next_reads(), bytes, now_ns, false, {}, {}};
    ScsiCommand pdu = next_pdu(tag);
    if (command.reads) {
        pdu.cdb = cdb_of(read_16, offset, bytes);
        pdu.expected_data_transfer_length = bytes;
        pdu.flags = flag_final | ScsiCommand::flag_read | 1;
        put(pdu, {});
        return;
    }
    if (workload_.changes == Workload::Changes::unmap) {
        UnmapList list{};
        list.data_length = sizeof list - 2;
        list.block_descriptor_data_length = sizeof list - 8;
        list.first_block = offset / logical_block_bytes;
        list.block_count = bytes / logical_block_bytes;
        std::memcpy(command.unmap_list.data(), &list, sizeof list);
        command.data = command.unmap_list;
        pdu.cdb = unmap_cdb();
    } else {
        payload_at_ = (payload_at_ + 4096) % (payload_.size() - bytes);
        command.data = payload_.subspan(payload_at_, bytes);
        pdu.cdb = cdb_of(write_16, offset, bytes);
    }
    send_change(tag, pdu);
}

/// A command with data to the target: as much of it unsolicited as was agreed on.
void LoadSession::send_change(std::uint32_t tag, ScsiCommand pdu) {
    const Bytes data = commands_[tag].data;
    const auto bytes = static_cast<std::uint32_t>(data.size());
    const std::uint32_t unsolicited = std::min(bytes, login_.first_burst_length);
    const std::uint32_t immediate =
        login_.immediate_data ? std::min(unsolicited, login_.target_max_recv_data_segment_length)
                              : 0;
    const std::uint32_t unsolicited_end = login_.initial_r2t ? immediate : unsolicited;
    pdu.expected_data_transfer_length = bytes;
    pdu.flags = ScsiCommand::flag_write | 1;
    if (unsolicited_end == immediate) pdu.flags |= flag_final;
    put(pdu, data.first(immediate));
    put_data_out(tag, reserved_tag, immediate, unsolicited_end);
}

template <typename Pdu>
void LoadSession::put(Pdu pdu, Bytes data) {
    pdu.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    Unit& unit = output_.emplace_back();
    std::memcpy(unit.header.data(), &pdu, sizeof pdu);
    unit.header_size = basic_header_size;
    unit.data = data;
    if (login_.digests.header) {
        const le32 digest = crc32c(bytes_of_struct(pdu));
        std::memcpy(unit.header.data() + basic_header_size, &digest, sizeof digest);
        unit.header_size += digest_size;
    }
    if (login_.digests.data && !data.empty()) {
        const le32 digest = crc32c(data);
        std::memcpy(unit.trailer.data(), &digest, sizeof digest);
        unit.trailer_size = digest_size;
    }
}

void LoadSession::put_data_out(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t begin,
                               std::uint32_t end) {
    for (std::uint32_t data_sn = 0; begin < end; ++data_sn) {
        const std::uint32_t size =
            std::min(end - begin, login_.target_max_recv_data_segment_length);
        DataOut pdu{};
        pdu.opcode = opcode::data_out;
        if (begin + size == end) pdu.flags = flag_final;
        pdu.lun = lun_;
        pdu.initiator_task_tag = tag;
        pdu.target_transfer_tag = transfer_tag;
        pdu.exp_stat_sn = login_.exp_stat_sn;
        pdu.data_sn = data_sn;
        pdu.buffer_offset = begin;
        put(pdu, commands_[tag].data.subspan(begin, size));
        begin += size;
    }
}

std::size_t LoadSession::gather(std::span<iovec> out) const {
    std::size_t count = 0;
    std::size_t skip = front_sent_;
    for (const Unit& unit : output_) {
        if (count + 3 > out.size()) break;
        count = add_piece(out, count, Bytes(unit.header).first(unit.header_size), skip);
        count = add_piece(out, count, unit.data, skip);
        count = add_piece(out, count, Bytes(unit.trailer).first(unit.trailer_size), skip);
    }
    return count;
}

void LoadSession::sent(std::size_t byte_count) {
    front_sent_ += byte_count;
    while (!output_.empty() && front_sent_ >= output_.front().size()) {
        front_sent_ -= output_.front().size();
        output_.pop_front();
    }
}

void LoadSession::receive(Bytes in, std::uint64_t now_ns) {
    while (failure_.empty()) {
        switch (reader_.feed(in)) {
            case PduReader::Step::need_more:
                return;
            case PduReader::Step::end:
                if (!reader_.data_digest_is_right()) fail("a data digest is wrong");
                take_pdu(now_ns);
                break;
            case PduReader::Step::header_digest_error:
                fail("a header digest is wrong");
                break;
            case PduReader::Step::too_long:
                fail("a data segment is longer than any");
                break;
            case PduReader::Step::header:
            case PduReader::Step::payload:
                break;
        }
    }
}

void LoadSession::take_pdu(std::uint64_t now_ns) {
    const BasicHeader& header = reader_.header();
    const auto numbers = reader_.header_as<ResponseNumbers>();
    login_.max_cmd_sn = numbers.max_cmd_sn.get();
    const std::uint32_t tag = header.initiator_task_tag.get();
    switch (header.opcode()) {
        case opcode::data_in: {
            const auto pdu = reader_.header_as<DataIn>();
            if ((pdu.flags & DataIn::flag_status) == 0) return;
            login_.exp_stat_sn = numbers.stat_sn.get() + 1;
            complete(tag, pdu.status, now_ns);
            return;
        }
        case opcode::scsi_response:
            login_.exp_stat_sn = numbers.stat_sn.get() + 1;
            complete(tag, reader_.header_as<ScsiResponsePdu>().status, now_ns);
            return;
        case opcode::ready_to_transfer: {
            const auto pdu = reader_.header_as<ReadyToTransfer>();
            const std::uint32_t begin = pdu.buffer_offset.get();
            const std::uint32_t size = pdu.desired_data_transfer_length.get();
            if (tag >= commands_.size() || begin > commands_[tag].data.size() ||
                size > commands_[tag].data.size() - begin) {
                fail("an R2T for other data than a command has");
                return;
            }
            put_data_out(tag, pdu.target_transfer_tag.get(), begin, begin + size);
            return;
        }
        case opcode::nop_in:
            return;  // no run is so long that a target would give up on us
        default:
            fail("a PDU with opcode " + std::to_string(header.opcode()));
    }
}

void LoadSession::complete(std::uint32_t tag, std::uint8_t status, std::uint64_t now_ns) {
    if (tag >= commands_.size() || !commands_[tag].busy) {
        fail("an answer to no command");
        return;
    }
    if (status != 0) {
        fail("SCSI status " + std::to_string(status));
        return;
    }
    commands_[tag].busy = false;
    idle_.push_back(tag);
    --in_flight_;
    finished_ns_ = now_ns;
    if (commands_[tag].flushes) return;
    ++completed_;
    completed_bytes_ += commands_[tag].bytes;
    latencies_.add(now_ns - commands_[tag].began_ns);
}

void LoadSession::fail(std::string text) {
    if (failure_.empty()) failure_ = std::move(text);
}

}  // namespace cowtgt::bench
