#include "target/scsi/sanitize.h"

#include <algorithm>
#include <array>

#include "cow-store/base/check.h"
#include "target/scsi/block_commands.h"
#include "target/scsi/commands.h"

namespace cowtgt::scsi {
namespace {

constexpr std::uint8_t overwrite = 0x01;  ///< service action

/// SANITIZE OVERWRITE parameter list, SBC-3 table 111.
constexpr std::uint64_t header_bytes = 4;
constexpr std::uint8_t invert_bit = 0x80;
constexpr std::uint8_t test_bits = 0x60;
constexpr std::uint8_t count_bits = 0x1f;

std::uint8_t service_action(const Command& command) {
    return command.cdb[1] & service_action_mask;
}

/// The list of an OVERWRITE into `operation`; Done if something is wrong with it.
std::optional<Done> take_pattern(const Unit& unit, const Command& command, Sanitizing& operation) {
    const Bytes list = command.buffer.first(command.scratch[slot::data_out_total]);
    const auto flags = std::to_integer<std::uint8_t>(list[0]);
    const std::size_t length =
        std::to_integer<std::size_t>(list[2]) << 8 | std::to_integer<std::size_t>(list[3]);
    if ((flags & test_bits) != 0) return invalid_parameter(unit, 0, std::uint8_t{6});
    if ((flags & count_bits) == 0) return invalid_parameter(unit, 0, std::uint8_t{4});
    if (length == 0 || length > unit.geometry().block_size || length > list.size() - header_bytes) {
        return invalid_parameter(unit, 2);
    }
    const Bytes pattern = list.subspan(header_bytes, length);
    operation.inverts = (flags & invert_bit) != 0;
    operation.passes = flags & count_bits;
    operation.pattern.assign(pattern.begin(), pattern.end());
    return std::nullopt;
}

void fill_block(const Sanitizing& operation, MutableBytes block) {
    const bool inverted = operation.inverts && operation.pass % 2 == 1;
    for (std::size_t i = 0; i < block.size(); ++i) {
        const std::byte byte = operation.pattern[i % operation.pattern.size()];
        block[i] = inverted ? ~byte : byte;
    }
}

}  // namespace

Admission admit_sanitize(Unit& unit, Command& command) {
    constexpr std::uint16_t length_byte = 7;
    const std::uint64_t list_bytes = cdb_field<2>(command, length_byte);
    const bool has_list = service_action(command) == overwrite;
    const std::uint64_t list_bytes_max = header_bytes + unit.geometry().block_size;
    const bool fits =
        has_list ? list_bytes > header_bytes && list_bytes <= list_bytes_max : list_bytes == 0;
    if (!fits) return invalid_field(unit, length_byte);
    command.scratch[slot::data_out_total] = list_bytes;
    const auto bytes = static_cast<std::uint32_t>(list_bytes);
    return Admitted{bytes, std::min(bytes, command.expected_data_out)};
}

Step start_sanitize(Unit& unit, Command& command) {
    constexpr std::uint8_t immediate = 0x80;          // IMMED
    constexpr std::uint8_t unrestricted_exit = 0x20;  // AUSE
    if (command.data_out_received < command.scratch[slot::data_out_total]) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    Sanitizing operation;
    operation.unrestricted_exit = (command.cdb[1] & unrestricted_exit) != 0;
    if (service_action(command) == overwrite) {
        if (auto refused = take_pattern(unit, command, operation)) {
            return with_data_out(command, *refused);
        }
    } else {
        // There are no keys to throw away: a cryptographic erase is an erase as well.
        operation.method = Sanitizing::Method::erase;
        operation.pattern = {std::byte{0}};
    }
    operation.state = Sanitizing::State::running;
    unit.sanitizing = std::move(operation);
    unit.state_changed = true;
    if ((command.cdb[1] & immediate) != 0) return with_data_out(command, good());
    return BackgroundStep{};
}

Step resume_sanitize(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status == BlockStatus::good) return with_data_out(command, good());
    return with_data_out(command, fail(unit, sense_code::sanitize_failed));
}

Step start_exit_failure_mode(Unit& unit, Command&) {
    if (unit.sanitizing.state != Sanitizing::State::failed) return good();
    if (!unit.sanitizing.unrestricted_exit) {
        constexpr std::uint8_t service_action_bit = 4;
        return invalid_field(unit, 1, service_action_bit);
    }
    unit.sanitizing = {};
    if (unit.config.keeps_state) return KeepStep{};
    return good();
}

Step resume_exit_failure_mode(Unit& unit, Command&, const BlockOutcome& outcome) {
    if (outcome.status == BlockStatus::good) return good();
    return medium_failure(unit, outcome, BlockOperation::flush, {});
}

std::optional<Sense> refusal_while_sanitizing(const Unit& unit, const CommandRow& row) {
    constexpr std::uint8_t sanitize = 0x48;
    // Commands that SBC-3 section 4.11.2 lets through.
    constexpr std::array<std::uint8_t, 5> allowed = {0x03, 0x12, 0x4d, 0xa0, 0xa3};
    if (unit.sanitizing.state == Sanitizing::State::idle) return std::nullopt;
    if (std::find(allowed.begin(), allowed.end(), row.operation_code) != allowed.end()) {
        return std::nullopt;
    }
    if (unit.sanitizing.state == Sanitizing::State::running) {
        return Sense{sense_code::sanitize_in_progress, {}, {}, sanitize_progress(unit)};
    }
    if (row.medium == Medium::not_needed || row.operation_code == sanitize) return std::nullopt;
    return Sense{sense_code::sanitize_failed, {}, {}};
}

std::uint16_t sanitize_progress(const Unit& unit) {
    const Sanitizing& operation = unit.sanitizing;
    const std::uint64_t capacity = unit.geometry().block_count.value;
    constexpr std::uint64_t whole = 65536;  // no position that a device has overflows with it
    const std::uint64_t done = operation.pass * whole + operation.position * whole / capacity;
    return static_cast<std::uint16_t>(std::min(done / operation.passes, whole - 1));
}

/// Erasing writes zeros over what is there before it gives the space back; what has no space holds
/// nothing.
BlockStep next_sanitize_step(Unit& unit, MutableBytes buffer) {
    Sanitizing& operation = unit.sanitizing;
    CHECK(operation.state == Sanitizing::State::running);
    const Geometry geometry = unit.geometry();
    const Lba first{operation.position};
    if (operation.deallocates) {
        return {BlockOperation::deallocate, true, first, BlockCount{operation.step_blocks}, 0};
    }
    const std::uint64_t left = geometry.block_count.value - operation.position;
    operation.step_blocks =
        std::min<std::uint64_t>(left, LogicalUnit::background_buffer_bytes / geometry.block_size);
    if (operation.method == Sanitizing::Method::erase) {
        constexpr std::uint64_t skipped_blocks_max = 1U << 20;
        const ProvisioningRun run =
            unit.device.provisioning(first, BlockCount{std::min(left, skipped_blocks_max)});
        if (run.state != Provisioning::mapped) {
            operation.deallocates = true;
            operation.step_blocks = run.block_count.value;
            return {BlockOperation::deallocate, true, first, run.block_count, 0};
        }
        operation.step_blocks = std::min(operation.step_blocks, run.block_count.value);
    }
    const std::size_t bytes = operation.step_blocks * geometry.block_size;
    fill_block(operation, buffer.first(geometry.block_size));
    for (std::size_t at = geometry.block_size; at < bytes; at += geometry.block_size) {
        std::copy_n(buffer.begin(), geometry.block_size, buffer.data() + at);
    }
    return {BlockOperation::write, true, first, BlockCount{operation.step_blocks}, 0};
}

void sanitize_step_done(Unit& unit, const BlockOutcome& outcome) {
    Sanitizing& operation = unit.sanitizing;
    if (outcome.status != BlockStatus::good) {
        operation.state = Sanitizing::State::failed;
        unit.background_outcome = outcome;
        unit.state_changed = true;
        return;
    }
    const bool gives_back = operation.method == Sanitizing::Method::erase;
    if (gives_back && !operation.deallocates) {
        operation.deallocates = true;
        return;
    }
    operation.deallocates = false;
    operation.position += operation.step_blocks;
    if (operation.position < unit.geometry().block_count.value) return;
    operation.position = 0;
    ++operation.pass;
    if (operation.pass < operation.passes) return;
    operation = {};
    unit.background_outcome = {};
    unit.state_changed = true;
}

}  // namespace cowtgt::scsi
