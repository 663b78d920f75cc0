#include "target/scsi/logical_unit.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "cow-store/base/check.h"
#include "target/scsi/block_commands.h"
#include "target/scsi/commands.h"
#include "target/scsi/inquiry.h"
#include "target/scsi/kept_state.h"
#include "target/scsi/report_commands.h"
#include "target/scsi/sanitize.h"
#include "target/scsi/unit.h"

namespace cowtgt::scsi {

struct LogicalUnit::State : Unit {
    using Unit::Unit;
};

namespace {

/// The first bit of the CDB that its row does not use, as INVALID FIELD IN CDB.
std::optional<Done> check_usage(const Unit& unit, const Command& command, const CommandRow& row) {
    if (!has_unused_bits(row, command.cdb)) return std::nullopt;
    for (std::size_t i = 1; i < row.length; ++i) {
        const auto wrong = static_cast<std::uint8_t>(command.cdb[i] & ~row.usage[i]);
        if (wrong == 0) continue;
        const auto bit = static_cast<std::uint8_t>(std::bit_width(wrong) - 1);
        return invalid_field(unit, static_cast<std::uint16_t>(i), bit);
    }
    return std::nullopt;
}

std::variant<const CommandRow*, Done> find_row(const Unit& unit, const Command& command) {
    constexpr std::uint8_t service_action_bit = 4;
    const std::span<const CommandRow> rows = commands_with(command.cdb[0]);
    if (rows.empty()) return fail(unit, sense_code::invalid_operation_code);
    if (!rows.front().has_service_action()) {
        if (!is_offered(unit, rows.front())) return fail(unit, sense_code::invalid_operation_code);
        return &rows.front();
    }
    const std::uint8_t action = command.cdb[1] & service_action_mask;
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const CommandRow& r) {
        return r.service_action == action && is_offered(unit, r);
    });
    if (row == rows.end()) return invalid_field(unit, 1, service_action_bit);
    return &*row;
}

bool conflicts(Unit& unit, const Command& command, const CommandRow& row) {
    if (row.access == Access::none) return false;
    if (unit.reserved_by && *unit.reserved_by != command.nexus) return true;
    if (row.access == Access::configure || !unit.reservations.exist()) return false;
    const MediumAccess access =
        row.access == Access::reads ? MediumAccess::reads : MediumAccess::writes;
    return unit.reservations.forbids(unit.nexus(command).name(), access);
}

std::optional<Done> check_medium(const Unit& unit, const CommandRow& row) {
    if (row.medium == Medium::not_needed) return std::nullopt;
    if (!unit.medium_loaded) return fail(unit, sense_code::medium_not_present);
    if (row.medium != Medium::written || !unit.write_protected()) return std::nullopt;
    return fail(unit, unit.config.read_only ? sense_code::hardware_write_protected
                                            : sense_code::software_write_protected);
}

}  // namespace

LogicalUnit::LogicalUnit(LogicalUnitConfig config, const BlockDevice& device)
    : state_(std::make_unique<State>(std::move(config), device)) {
    CHECK(state_->config.transfer_length_max >= 2 * compare_chunk_bytes);
    // A text that is not understood has been reported by whoever read it (is_kept_state).
    take_kept_state(state_->config.kept_state, *state_);
    state_->config.kept_state.clear();
}

LogicalUnit::~LogicalUnit() = default;

NexusId LogicalUnit::add_nexus(const NexusInfo& info) {
    std::vector<Nexus>& all = state_->nexuses;
    auto place = std::find_if(all.begin(), all.end(), [](const Nexus& n) { return !n.present; });
    if (place == all.end()) place = all.insert(place, Nexus{});
    *place = Nexus{};
    place->info = info;
    place->present = true;
    place->raise(UnitAttention::power_on_or_reset);
    return static_cast<NexusId>(place - all.begin());
}

void LogicalUnit::remove_nexus(NexusId nexus) {
    CHECK(nexus < state_->nexuses.size() && state_->nexuses[nexus].present);
    state_->nexuses[nexus] = Nexus{};
    if (state_->reserved_by == nexus) state_->reserved_by.reset();
    std::erase_if(state_->copies, [&](const CopyResult& copy) { return copy.nexus == nexus; });
}

Admission LogicalUnit::admit(Command& command) {
    Unit& unit = *state_;
    const auto found = find_row(unit, command);
    if (const Done* refused = std::get_if<Done>(&found)) return *refused;
    const CommandRow& row = *std::get<const CommandRow*>(found);
    command.row = &row;
    if (auto refused = check_usage(unit, command, row)) return *refused;
    if (row.attention == Attention::reported) {
        if (auto attention = unit.nexus(command).take_attention()) return fail(unit, *attention);
    }
    if (conflicts(unit, command, row)) return reservation_conflict();
    if (auto refusal = refusal_while_sanitizing(unit, row)) {
        return check_condition(*refusal, unit.sense_format());
    }
    if (auto refused = check_medium(unit, row)) return *refused;
    return row.code.admit(unit, command);
}

Step LogicalUnit::start(Command& command) {
    CHECK(command.row != nullptr);
    return command.row->code.start(*state_, command);
}

Step LogicalUnit::resume(Command& command, const BlockOutcome& outcome) {
    CHECK(command.row != nullptr);
    return command.row->code.resume(*state_, command, outcome);
}

void LogicalUnit::reset(ResetKind kind, std::optional<NexusId>) {
    Unit& unit = *state_;
    unit.reserved_by.reset();
    unit.mode = ModeParameters{};
    unit.mode.write_cache = unit.config.write_cache;
    for (Nexus& nexus : unit.nexuses) {
        nexus.prevents_removal = false;
    }
    // One reset, one unit attention, on every nexus (SAM-5 section 6.3.3).
    switch (kind) {
        case ResetKind::logical_unit:
            unit.raise_on_all(UnitAttention::device_reset);
            break;
        case ResetKind::target_warm:
            unit.raise_on_all(UnitAttention::bus_reset);
            break;
        case ResetKind::target_cold:
            unit.raise_on_all(UnitAttention::power_on_or_reset);
            break;
    }
}

void LogicalUnit::commands_cleared(NexusId by) {
    state_->raise_on_others(by, UnitAttention::commands_cleared);
}

void LogicalUnit::capacity_changed() {
    state_->raise_on_all(UnitAttention::capacity_changed);
}

void LogicalUnit::luns_changed() {
    state_->raise_on_all(UnitAttention::reported_luns_changed);
}

void LogicalUnit::reconfigure(const LogicalUnitConfig& config) {
    Unit& unit = *state_;
    const std::uint32_t physical_before = unit.geometry().physical_block_size;
    if (unit.config.read_only != config.read_only ||
        unit.config.write_cache != config.write_cache) {
        unit.raise_on_all(UnitAttention::mode_parameters_changed);
    }
    if (unit.config.removable != config.removable) {
        // Nobody could load again what is out.
        unit.medium_loaded = true;
        unit.raise_on_all(UnitAttention::inquiry_data_changed);
    }
    if (unit.config.write_cache != config.write_cache) {
        unit.flush_wanted = unit.flush_wanted || (unit.mode.write_cache && !config.write_cache);
        unit.mode.write_cache = config.write_cache;
    }
    unit.config.read_only = config.read_only;
    unit.config.removable = config.removable;
    unit.config.write_cache = config.write_cache;
    unit.config.physical_block_size = config.physical_block_size;
    if (unit.geometry().physical_block_size != physical_before) {
        // It is in READ CAPACITY(16) and in the Block Limits VPD page.
        unit.raise_on_all(UnitAttention::capacity_changed);
        unit.raise_on_all(UnitAttention::inquiry_data_changed);
    }
}

bool LogicalUnit::see_space(const SpaceLeft& pool, const std::optional<SpaceLeft>& quota) {
    Unit& unit = *state_;
    const auto reserve = [](const SpaceLeft& space) {
        return static_cast<std::int64_t>(space.available_bytes - space.threshold_bytes);
    };
    const bool quota_is_nearer = quota && reserve(*quota) < reserve(pool);
    unit.space = quota_is_nearer ? *quota : pool;
    const bool pool_became_low = unit.pool_level.see(pool);
    const bool quota_became_low = quota && unit.quota_level.see(*quota);
    if (!quota) unit.quota_level = {};
    if (unit.config.thin && (pool_became_low || quota_became_low)) {
        unit.raise_on_all(UnitAttention::soft_threshold_reached);
    }
    return quota_became_low;
}

bool LogicalUnit::has_background_work() const {
    return state_->flush_wanted || state_->sanitizing.state == Sanitizing::State::running;
}

BlockStep LogicalUnit::next_background_step(MutableBytes buffer) {
    CHECK(has_background_work() && buffer.size() >= background_buffer_bytes);
    if (state_->flush_wanted) return {BlockOperation::flush, false, {}, {}, 0};
    return next_sanitize_step(*state_, buffer);
}

void LogicalUnit::background_done(const BlockOutcome& outcome) {
    if (state_->flush_wanted) {
        // A flush that failed has fenced the device; every later write says so.
        state_->flush_wanted = false;
        return;
    }
    sanitize_step_done(*state_, outcome);
}

BlockOutcome LogicalUnit::background_outcome() const {
    return state_->background_outcome;
}

std::string LogicalUnit::state_to_keep() const {
    return write_kept_state(*state_);
}

bool LogicalUnit::is_kept_state(std::string_view text) {
    return understands_kept_state(text);
}

bool LogicalUnit::take_state_changed() {
    return std::exchange(state_->state_changed, false);
}

std::vector<NexusId> LogicalUnit::take_preempted() {
    return std::exchange(state_->preempted, {});
}

bool LogicalUnit::write_cache_enabled() const {
    return state_->mode.write_cache;
}

Done answer_without_logical_unit(const std::array<std::uint8_t, 16>& cdb, MutableBytes buffer) {
    constexpr std::uint8_t inquiry = 0x12;
    constexpr std::uint8_t request_sense = 0x03;
    constexpr std::uint8_t report_luns = 0xa0;
    const Sense not_supported{sense_code::logical_unit_not_supported, {}, {}};
    Command command;
    command.cdb = cdb;
    DataIn data(buffer);
    if (cdb[0] == inquiry && (cdb[1] & 0x01) == 0) {
        put_inquiry_without_logical_unit(data);
        return data_in(data, cdb_field<2>(command, 3));
    }
    if (cdb[0] == request_sense) {
        std::array<std::uint8_t, sense_bytes_max> sense{};
        const SenseFormat format =
            (cdb[1] & 0x01) != 0 ? SenseFormat::descriptor : SenseFormat::fixed;
        data.put(std::as_bytes(std::span(sense).first(write_sense(not_supported, format, sense))));
        return data_in(data, cdb[4]);
    }
    if (cdb[0] == report_luns) {
        put_lun_list(data);
        return data_in(data, cdb_field<4>(command, 6));
    }
    return check_condition(not_supported, SenseFormat::fixed);
}

}  // namespace cowtgt::scsi
