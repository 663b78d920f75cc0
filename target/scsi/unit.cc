#include "target/scsi/unit.h"

#include <algorithm>
#include <bit>

#include "cow-store/base/check.h"

namespace cowtgt::scsi {
namespace {

struct FailureRow {
    BlockStatus status;
    SenseCode when_reading;
    SenseCode when_writing;  ///< write, deallocate and flush
};
constexpr std::array failures = {
    FailureRow{BlockStatus::out_of_space, sense_code::space_allocation_failed,
               sense_code::space_allocation_failed},
    FailureRow{BlockStatus::io_error, sense_code::unrecovered_read_error, sense_code::write_error},
    FailureRow{BlockStatus::fenced, sense_code::write_error, sense_code::write_error},
    FailureRow{BlockStatus::corrupt, sense_code::unrecovered_read_error,
               sense_code::unrecovered_read_error},
};

}  // namespace

std::optional<SenseCode> Nexus::take_attention() {
    if (attentions == 0) return std::nullopt;
    const int first = std::countr_zero(attentions);
    attentions &= attentions - 1;
    return unit_attention_codes[static_cast<std::size_t>(first)];
}

Unit::Unit(LogicalUnitConfig unit_config, const BlockDevice& unit_device)
    : config(std::move(unit_config)), device(unit_device) {
    mode.write_cache = config.write_cache;
}

Geometry Unit::geometry() const {
    Geometry geometry = device.geometry();
    if (config.physical_block_size >= geometry.block_size) {
        geometry.physical_block_size = config.physical_block_size;
    }
    return geometry;
}

Nexus& Unit::nexus(const Command& command) {
    CHECK(command.nexus < nexuses.size() && nexuses[command.nexus].present);
    return nexuses[command.nexus];
}

bool Unit::removal_prevented() const {
    return std::any_of(nexuses.begin(), nexuses.end(),
                       [](const Nexus& n) { return n.present && n.prevents_removal; });
}

void Unit::raise_on_all(UnitAttention attention) {
    for (Nexus& one : nexuses) {
        one.raise(attention);
    }
}

void Unit::raise_on_others(NexusId by, UnitAttention attention) {
    for (std::size_t i = 0; i < nexuses.size(); ++i) {
        if (i != by) nexuses[i].raise(attention);
    }
}

void Unit::raise_by_name(const NexusName& name, UnitAttention attention) {
    for (Nexus& one : nexuses) {
        if (one.present && one.name() == name) one.raise(attention);
    }
}

Done good() {
    return {};
}

Done data_in(const DataIn& data, std::uint64_t allocation_length) {
    Done done;
    done.data_in_length =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(data.size(), allocation_length));
    done.data_in_total = done.data_in_length;
    return done;
}

Done fail(const Unit& unit, const SenseCode& code) {
    return check_condition({code, {}, {}}, unit.sense_format());
}

Done invalid_field(const Unit& unit, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    const FieldPointer field{FieldPointer::Place::cdb, byte, bit};
    return check_condition({sense_code::invalid_field_in_cdb, field, {}}, unit.sense_format());
}

Done invalid_parameter(const Unit& unit, std::uint16_t byte, std::optional<std::uint8_t> bit) {
    const FieldPointer field{FieldPointer::Place::parameter_list, byte, bit};
    return check_condition({sense_code::invalid_field_in_parameter_list, field, {}},
                           unit.sense_format());
}

Done reservation_conflict() {
    Done done;
    done.status = status::reservation_conflict;
    return done;
}

Done medium_failure(const Unit& unit, const BlockOutcome& outcome, BlockOperation operation,
                    Lba first_block) {
    const auto* row = std::find_if(failures.begin(), failures.end(),
                                   [&](const FailureRow& r) { return r.status == outcome.status; });
    CHECK(row != failures.end());
    Sense sense{operation == BlockOperation::read ? row->when_reading : row->when_writing, {}, {}};
    if (operation != BlockOperation::flush) sense.information = first_block.value;
    return check_condition(sense, unit.sense_format());
}

Admission admit_data_in(Unit&, Command&) {
    return Admitted{parameter_buffer_bytes, 0};
}

Admission admit_plain(Unit&, Command&) {
    return Admitted{};
}

Step never_resumed(Unit&, Command&, const BlockOutcome&) {
    CHECK(false && "a command without block operations was resumed");
    return good();
}

}  // namespace cowtgt::scsi
