#include "target/scsi/mode_pages.h"

#include <algorithm>

#include "target/scsi/block_commands.h"
#include "target/scsi/provisioning.h"

namespace cowtgt::scsi {
namespace {

constexpr std::size_t page_bytes_max = 24;
/// A mode page with its header of two bytes, or of four if it is a subpage.
struct PageBytes {
    std::array<std::uint8_t, page_bytes_max> bytes{};
    std::size_t length = 0;
};

constexpr std::uint8_t caching_page = 0x08;
constexpr std::uint8_t control_page = 0x0a;
constexpr std::uint8_t exceptions_page = 0x1c;
constexpr std::uint8_t provisioning_subpage = 0x02;
constexpr std::uint8_t subpage_format = 0x40;  // SPF
constexpr std::uint8_t all_pages = 0x3f;
constexpr std::uint8_t all_subpages = 0xff;

// Byte and bit of each changeable parameter.
constexpr std::size_t cache_byte = 2;
constexpr std::uint8_t write_cache_bit = 0x04;
constexpr std::size_t control_byte = 2;
constexpr std::uint8_t descriptor_sense_bit = 0x04;
constexpr std::size_t protect_byte = 4;
constexpr std::uint8_t software_write_protect_bit = 0x08;

PageBytes recovery_page_of(const Unit&, const ModeParameters&) {
    return {{0x01, 0x0a}, 12};
}

PageBytes caching_page_of(const Unit&, const ModeParameters& mode) {
    PageBytes page{{caching_page, 0x12}, 20};
    if (mode.write_cache) page.bytes[cache_byte] |= write_cache_bit;
    return page;
}

PageBytes control_page_of(const Unit&, const ModeParameters& mode) {
    constexpr std::uint8_t no_implicit_log_saves = 0x02;  // GLTSD
    constexpr std::uint8_t unrestricted_reordering = 0x10;
    PageBytes page{{control_page, 0x0a, no_implicit_log_saves, unrestricted_reordering, 0, 0, 0, 0,
                    0xff, 0xff},  // BUSY TIMEOUT PERIOD: without limit
                   12};
    if (mode.descriptor_sense) page.bytes[control_byte] |= descriptor_sense_bit;
    if (mode.software_write_protect) page.bytes[protect_byte] |= software_write_protect_bit;
    return page;
}

PageBytes exceptions_page_of(const Unit&, const ModeParameters&) {
    return {{exceptions_page, 0x0a}, 12};
}

/// Logical Block Provisioning mode page, SBC-3 section 6.5.7: one soft threshold, for what is left.
/// Every initiator is told (SITUA = 0); the operator sets it.
PageBytes provisioning_page_of(const Unit& unit, const ModeParameters&) {
    constexpr std::size_t descriptor = 16;
    constexpr std::uint8_t enabled = 0x80;  // armed decreasing, which is 0
    constexpr std::uint8_t available_resource = 0x01;
    PageBytes page{{exceptions_page | subpage_format, provisioning_subpage, 0, 20}, 24};
    page.bytes[descriptor + 1] = available_resource;
    if (!unit.space || unit.space->threshold_bytes == 0) return page;
    page.bytes[descriptor] = enabled;
    const std::uint64_t sets =
        std::min<std::uint64_t>(unit.space->threshold_bytes / threshold_set_bytes, 0xffffffff);
    for (std::size_t i = 0; i < 4; ++i) {
        page.bytes[descriptor + 4 + i] = static_cast<std::uint8_t>(sets >> (24 - 8 * i));
    }
    return page;
}

void take_caching(const PageBytes& page, ModeParameters& mode) {
    mode.write_cache = (page.bytes[cache_byte] & write_cache_bit) != 0;
}

void take_control(const PageBytes& page, ModeParameters& mode) {
    mode.descriptor_sense = (page.bytes[control_byte] & descriptor_sense_bit) != 0;
    mode.software_write_protect = (page.bytes[protect_byte] & software_write_protect_bit) != 0;
}

void take_nothing(const PageBytes&, ModeParameters&) {}

struct ModePage {
    std::uint8_t code;
    std::uint8_t subpage;
    PageBytes (*current)(const Unit& unit, const ModeParameters& mode);
    PageBytes changeable;  ///< ones where MODE SELECT may change something
    void (*take)(const PageBytes& page, ModeParameters& mode);
};
constexpr std::array mode_pages = {
    ModePage{0x01, 0, recovery_page_of, {{0x01, 0x0a}, 12}, take_nothing},
    ModePage{caching_page,
             0,
             caching_page_of,
             {{caching_page, 0x12, write_cache_bit}, 20},
             take_caching},
    ModePage{control_page,
             0,
             control_page_of,
             {{control_page, 0x0a, descriptor_sense_bit, 0, software_write_protect_bit}, 12},
             take_control},
    ModePage{exceptions_page, 0, exceptions_page_of, {{exceptions_page, 0x0a}, 12}, take_nothing},
    ModePage{exceptions_page,
             provisioning_subpage,
             provisioning_page_of,
             {{exceptions_page | subpage_format, provisioning_subpage, 0, 20}, 24},
             take_nothing},
};

bool is_offered(const Unit& unit, const ModePage& page) {
    return page.current != provisioning_page_of || unit.config.thin;
}

enum class PageControl : std::uint8_t { current, changeable, default_values, saved };

PageBytes page_bytes(const Unit& unit, const ModePage& page, PageControl control) {
    if (control == PageControl::changeable) return page.changeable;
    if (control == PageControl::current) return page.current(unit, unit.mode);
    ModeParameters defaults;
    defaults.write_cache = unit.config.write_cache;
    return page.current(unit, defaults);
}

void put_block_descriptor(const Unit& unit, DataIn& data, std::size_t length) {
    const Geometry geometry = unit.device.geometry();
    if (length == 8) {
        data.put32(static_cast<std::uint32_t>(
            std::min<std::uint64_t>(geometry.block_count.value, 0xffffffff)));
        data.put32(geometry.block_size);  // the upper byte is reserved
    } else if (length == 16) {
        data.put64(geometry.block_count.value);
        data.put32(0);
        data.put32(geometry.block_size);
    }
}

std::uint8_t device_specific_parameter(const Unit& unit) {
    constexpr std::uint8_t write_protected = 0x80;
    constexpr std::uint8_t dpo_and_fua = 0x10;
    return unit.write_protected() ? write_protected | dpo_and_fua : dpo_and_fua;
}

/// Which of the two forms of MODE SENSE and MODE SELECT.
enum class Form : std::uint8_t { six, ten };

void put_header(const Unit& unit, DataIn& data, Form form, std::size_t descriptor_length) {
    constexpr std::uint8_t long_lba = 0x01;
    if (form == Form::six) {
        data.put16(0);  // length and medium type
        data.put8(device_specific_parameter(unit));
        data.put8(static_cast<std::uint8_t>(descriptor_length));
        return;
    }
    data.put16(0);
    data.put8(0);
    data.put8(device_specific_parameter(unit));
    data.put8(descriptor_length == 16 ? long_lba : 0);
    data.put8(0);
    data.put16(static_cast<std::uint16_t>(descriptor_length));
}

std::size_t descriptor_length(const Command& command, Form form) {
    constexpr std::uint8_t disable_block_descriptors = 0x08;
    constexpr std::uint8_t long_lba_accepted = 0x10;
    if ((command.cdb[1] & disable_block_descriptors) != 0) return 0;
    return form == Form::ten && (command.cdb[1] & long_lba_accepted) != 0 ? 16 : 8;
}

Step mode_sense(Unit& unit, Command& command, Form form, std::uint64_t allocation) {
    const auto control = static_cast<PageControl>(command.cdb[2] >> 6);
    const std::uint8_t code = command.cdb[2] & 0x3f;
    const std::uint8_t subpage = command.cdb[3];
    if (control == PageControl::saved) return fail(unit, sense_code::saving_not_supported);
    DataIn data(command.buffer);
    put_header(unit, data, form, descriptor_length(command, form));
    put_block_descriptor(unit, data, descriptor_length(command, form));
    const std::size_t before_pages = data.size();
    bool is_known = code == all_pages;
    for (const ModePage& page : mode_pages) {
        if (!is_offered(unit, page) || (code != all_pages && code != page.code)) continue;
        is_known = true;
        if (subpage != all_subpages && subpage != page.subpage) continue;
        const PageBytes bytes = page_bytes(unit, page, control);
        data.put(std::as_bytes(std::span(bytes.bytes).first(bytes.length)));
    }
    if (!is_known) return invalid_field(unit, 2, std::uint8_t{5});
    if (data.size() == before_pages || (code == all_pages && subpage % all_subpages != 0)) {
        return invalid_field(unit, 3);
    }
    if (form == Form::six) {
        data.set8(0, data.size() - 1);
    } else {
        data.set16(0, data.size() - 2);
    }
    return data_in(data, allocation);
}

Admission admit_mode_select(Command& command, std::uint64_t list_bytes) {
    command.scratch[slot::data_out_total] = list_bytes;
    const auto bytes = static_cast<std::uint32_t>(list_bytes);
    return Admitted{bytes, std::min(bytes, command.expected_data_out)};
}

std::uint64_t big_endian(Bytes bytes) {
    std::uint64_t value = 0;
    for (std::byte one : bytes) {
        value = value << 8 | std::to_integer<std::uint64_t>(one);
    }
    return value;
}

/// A block descriptor may repeat what is, or leave the count open with 0; nothing can be changed.
std::optional<Done> check_block_descriptor(const Unit& unit, Bytes descriptor, std::uint16_t at) {
    const Geometry geometry = unit.device.geometry();
    const bool is_long = descriptor.size() == 16;
    const std::uint64_t count = big_endian(descriptor.first(is_long ? 8 : 4));
    const std::uint64_t size = big_endian(is_long ? descriptor.last(4) : descriptor.last(3));
    const std::uint64_t count_max = is_long ? ~std::uint64_t{0} : 0xffffffff;
    if (count != 0 && count != count_max && count != geometry.block_count.value) {
        return invalid_parameter(unit, at);
    }
    if (size != geometry.block_size) {
        return invalid_parameter(unit, static_cast<std::uint16_t>(at + (is_long ? 12 : 5)));
    }
    return std::nullopt;
}

/// One page of a MODE SELECT list at `at`: checked against what may change, then taken into
/// `mode`. Returns its length.
std::variant<std::size_t, Done> take_page(const Unit& unit, Bytes list, std::size_t at,
                                          ModeParameters& mode) {
    const auto place = static_cast<std::uint16_t>(at);
    if (list.size() - at < 2) return fail(unit, sense_code::parameter_list_length_error);
    const auto first = std::to_integer<std::uint8_t>(list[at]);
    const bool is_subpage = (first & subpage_format) != 0;
    const auto second = std::to_integer<std::uint8_t>(list[at + 1]);
    const auto* page = std::find_if(mode_pages.begin(), mode_pages.end(), [&](const ModePage& p) {
        return p.code == (first & 0x3f) && p.subpage == (is_subpage ? second : 0) &&
               (p.subpage != 0) == is_subpage && is_offered(unit, p);
    });
    if (page == mode_pages.end()) {
        constexpr std::uint8_t format_bit = 6, code_bit = 5;
        return invalid_parameter(unit, place, is_subpage ? format_bit : code_bit);
    }
    const PageBytes current = page->current(unit, mode);
    const std::size_t header = is_subpage ? 4 : 2;
    if (list.size() - at < header) return fail(unit, sense_code::parameter_list_length_error);
    for (std::size_t i = 1; i < header; ++i) {
        if (std::to_integer<std::uint8_t>(list[at + i]) == current.bytes[i]) continue;
        return invalid_parameter(unit, static_cast<std::uint16_t>(at + i));
    }
    if (list.size() - at < current.length) {
        return fail(unit, sense_code::parameter_list_length_error);
    }
    PageBytes wanted = current;
    for (std::size_t i = header; i < current.length; ++i) {
        const auto byte = std::to_integer<std::uint8_t>(list[at + i]);
        if (((byte ^ current.bytes[i]) & ~page->changeable.bytes[i]) != 0) {
            return invalid_parameter(unit, static_cast<std::uint16_t>(at + i));
        }
        wanted.bytes[i] = byte;
    }
    page->take(wanted, mode);
    return current.length;
}

/// Checks the whole parameter list and returns what the parameters are to be.
std::variant<ModeParameters, Done> parse_mode_list(const Unit& unit, Bytes list, Form form) {
    const std::size_t header_bytes = form == Form::six ? 4 : 8;
    if (list.size() < header_bytes) return fail(unit, sense_code::parameter_list_length_error);
    const std::size_t descriptor_bytes =
        big_endian(form == Form::six ? list.subspan(3, 1) : list.subspan(6, 2));
    const bool long_lba = form == Form::ten && (list[4] & std::byte{1}) != std::byte{0};
    const std::size_t descriptor_size = long_lba ? 16 : 8;
    if (descriptor_bytes != 0 && descriptor_bytes != descriptor_size) {
        return invalid_parameter(unit, static_cast<std::uint16_t>(header_bytes - 1));
    }
    if (list.size() - header_bytes < descriptor_bytes) {
        return fail(unit, sense_code::parameter_list_length_error);
    }
    if (descriptor_bytes != 0) {
        const Bytes descriptor = list.subspan(header_bytes, descriptor_bytes);
        if (auto refused = check_block_descriptor(unit, descriptor,
                                                  static_cast<std::uint16_t>(header_bytes))) {
            return *refused;
        }
    }
    ModeParameters mode = unit.mode;
    for (std::size_t at = header_bytes + descriptor_bytes; at < list.size();) {
        const auto taken = take_page(unit, list, at, mode);
        if (const Done* refused = std::get_if<Done>(&taken)) return *refused;
        at += std::get<std::size_t>(taken);
    }
    return mode;
}

Step mode_select(Unit& unit, Command& command, Form form) {
    const std::uint64_t list_bytes = command.scratch[slot::data_out_total];
    if (list_bytes == 0) return good();
    if (command.data_out_received < list_bytes) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    const auto parsed = parse_mode_list(unit, command.buffer.first(list_bytes), form);
    if (const Done* refused = std::get_if<Done>(&parsed)) return with_data_out(command, *refused);
    const auto& mode = std::get<ModeParameters>(parsed);
    if (mode == unit.mode) return with_data_out(command, good());
    const bool cache_goes_off = unit.mode.write_cache && !mode.write_cache;
    unit.mode = mode;
    unit.raise_on_others(command.nexus, UnitAttention::mode_parameters_changed);
    // From here on writes are durable; those before become so now (SBC-3 section 6.5.5).
    if (cache_goes_off) return BlockStep{BlockOperation::flush, false, {}, {}, 0};
    return with_data_out(command, good());
}

}  // namespace

Step start_mode_sense_6(Unit& unit, Command& command) {
    return mode_sense(unit, command, Form::six, command.cdb[4]);
}

Step start_mode_sense_10(Unit& unit, Command& command) {
    return mode_sense(unit, command, Form::ten, cdb_field<2>(command, 7));
}

Admission admit_mode_select_6(Unit&, Command& command) {
    return admit_mode_select(command, command.cdb[4]);
}

Admission admit_mode_select_10(Unit&, Command& command) {
    return admit_mode_select(command, cdb_field<2>(command, 7));
}

Step start_mode_select_6(Unit& unit, Command& command) {
    return mode_select(unit, command, Form::six);
}

Step start_mode_select_10(Unit& unit, Command& command) {
    return mode_select(unit, command, Form::ten);
}

Step resume_mode_select(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status == BlockStatus::good) return with_data_out(command, good());
    return with_data_out(command, medium_failure(unit, outcome, BlockOperation::flush, {}));
}

}  // namespace cowtgt::scsi
