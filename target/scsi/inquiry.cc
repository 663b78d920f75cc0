#include "target/scsi/inquiry.h"

#include <algorithm>
#include <bit>
#include <string_view>

#include "target/scsi/block_commands.h"
#include "target/scsi/extended_copy.h"
#include "target/scsi/provisioning.h"

namespace cowtgt::scsi {
namespace {

constexpr std::uint8_t version_spc_4 = 0x06;
constexpr std::uint8_t response_data_format = 0x02;
constexpr std::uint8_t hierarchical_luns = 0x10;  ///< HISUP
constexpr std::uint8_t implicit_alua = 0x10;      ///< TPGS
constexpr std::uint8_t third_party_copy = 0x08;   ///< 3PC
constexpr std::uint8_t command_queuing = 0x02;    ///< CMDQUE
constexpr std::uint8_t removable_medium = 0x80;   ///< RMB
constexpr std::uint8_t no_logical_unit = 0x7f;    ///< qualifier 3, device type 1Fh
constexpr std::size_t standard_inquiry_bytes = 96;

/// SPC-4 table E.9: SAM-5, iSCSI, SPC-4, SBC-3, all without a claim to one revision.
constexpr std::array<std::uint16_t, 4> version_descriptors = {0x00a0, 0x0960, 0x0460, 0x04c0};

/// Block Limits VPD page, SBC-3 section 6.6.3 (with the atomic fields of SBC-4).
struct BlockLimits {
    std::uint8_t write_same_non_zero;  ///< WSNZ: 0, a count of 0 means to the end
    std::uint8_t compare_and_write_length_max;
    be16 transfer_length_granularity;
    be32 transfer_length_max;
    be32 transfer_length_optimal;
    be32 prefetch_length_max;
    be32 unmap_block_count_max;
    be32 unmap_descriptor_count_max;
    be32 unmap_granularity_optimal;
    be32 unmap_granularity_alignment;  ///< bit 31: UGAVALID
    be64 write_same_length_max;
    be32 atomic_transfer_length_max;
    be32 atomic_alignment;
    be32 atomic_granularity;
    be32 atomic_transfer_length_max_with_boundary;
    be32 atomic_boundary_size_max;
};
static_assert(sizeof(BlockLimits) == 0x3c);

constexpr std::uint32_t optimal_transfer_bytes = 1U << 20;

void put_standard(const Unit& unit, DataIn& data) {
    data.put8(0);  // direct access block device, connected
    data.put8(unit.config.removable ? removable_medium : 0);
    data.put8(version_spc_4);
    data.put8(hierarchical_luns | response_data_format);
    data.put8(standard_inquiry_bytes - 5);
    data.put8(implicit_alua | third_party_copy);
    data.put8(0);
    data.put8(command_queuing);
    data.put_text(unit.config.vendor, 8);
    data.put_text(unit.config.product, 16);
    data.put_text(unit.config.revision, 4);
    data.put_zeros(58 - data.size());
    for (std::uint16_t descriptor : version_descriptors) {
        data.put16(descriptor);
    }
    data.put_zeros(standard_inquiry_bytes - data.size());
}

void put_serial(const Unit& unit, const Nexus&, DataIn& data) {
    data.put(bytes_of(unit.config.serial));
}

// Designation descriptor, SPC-4 section 7.8.6.
constexpr std::uint8_t code_set_binary = 0x01;
constexpr std::uint8_t code_set_ascii = 0x02;
constexpr std::uint8_t code_set_utf8 = 0x03;
constexpr std::uint8_t protocol_iscsi = 0x50;
constexpr std::uint8_t of_logical_unit = 0x00;
constexpr std::uint8_t of_target_port = 0x90;    ///< PIV, association 01b
constexpr std::uint8_t of_target_device = 0xa0;  ///< PIV, association 10b

void put_designator_header(DataIn& data, std::uint8_t code_set, std::uint8_t association,
                           std::uint8_t type, std::size_t length) {
    data.put8(association == of_logical_unit ? code_set : protocol_iscsi | code_set);
    data.put8(association | type);
    data.put8(0);
    data.put8(static_cast<std::uint8_t>(length));
}

/// SCSI name strings end with a NUL and fill up to a multiple of four (SPC-4 section 7.8.6.11).
void put_name_string(DataIn& data, std::uint8_t association, std::string_view name) {
    constexpr std::size_t name_max = 251;
    name = name.substr(0, name_max);
    const std::size_t length = round_up(name.size() + 1, 4);
    put_designator_header(data, code_set_utf8, association, 0x8, length);
    data.put(bytes_of(name));
    data.put_zeros(length - name.size());
}

void put_device_identification(const Unit& unit, const Nexus& nexus, DataIn& data) {
    put_designator_header(data, code_set_binary, of_logical_unit, 0x3, unit.config.naa.size());
    data.put(bytes_of_struct(unit.config.naa));
    const std::size_t serial_bytes = std::min<std::size_t>(unit.config.serial.size(), 128);
    put_designator_header(data, code_set_ascii, of_logical_unit, 0x1, 8 + serial_bytes);
    data.put_text(unit.config.vendor, 8);
    data.put_text(unit.config.serial, serial_bytes);
    put_designator_header(data, code_set_binary, of_target_port, 0x4, 4);
    data.put16(0);
    data.put16(nexus.info.relative_target_port);
    put_designator_header(data, code_set_binary, of_target_port, 0x5, 4);
    data.put16(0);
    data.put16(1);  // the one target port group
    const std::string& port = nexus.info.target_port_name.empty() ? unit.config.target_port_name
                                                                  : nexus.info.target_port_name;
    if (port.empty()) return;
    put_name_string(data, of_target_port, port);
    put_name_string(data, of_target_device, std::string_view(port).substr(0, port.find(',')));
}

/// SPC-4 section 7.8.7: no protection information, all task attributes but ACA, a volatile cache.
void put_extended_inquiry(const Unit&, const Nexus&, DataIn& data) {
    constexpr std::uint8_t task_attributes = 0x07;  // HEADSUP, ORDSUP, SIMPSUP
    constexpr std::uint8_t volatile_cache = 0x01;
    data.put8(0);
    data.put8(task_attributes);
    data.put8(volatile_cache);
    data.put_zeros(0x3c - 3);
}

void put_third_party_copy_page(const Unit&, const Nexus&, DataIn& data) {
    put_third_party_copy(data);
}

void put_block_limits(const Unit& unit, const Nexus&, DataIn& data) {
    const Geometry geometry = unit.geometry();
    const std::uint32_t block_size = geometry.block_size;
    const std::uint32_t unmap_blocks = std::max(cluster_size / block_size, 1U);
    constexpr std::uint32_t alignment_valid = 0x80000000;  // of blocks that begin at LBA 0
    BlockLimits limits{};
    limits.compare_and_write_length_max = compare_and_write_blocks_max;
    limits.transfer_length_granularity =
        static_cast<std::uint16_t>(geometry.physical_block_size / block_size);
    limits.transfer_length_max = unit.config.transfer_length_max / block_size;
    limits.transfer_length_optimal =
        std::min(optimal_transfer_bytes, unit.config.transfer_length_max) / block_size;
    if (unit.config.thin) {
        limits.unmap_block_count_max = unmap_blocks_max;
        limits.unmap_descriptor_count_max = unmap_descriptors_max;
        limits.unmap_granularity_optimal = unmap_blocks;
        limits.unmap_granularity_alignment = alignment_valid;
    }
    limits.write_same_length_max = write_same_blocks_max;
    limits.atomic_transfer_length_max = atomic_blocks_max;
    data.put_struct(limits);
}

void put_block_characteristics(const Unit&, const Nexus&, DataIn& data) {
    // After a sanitize operation blocks can be read before they are written.
    constexpr std::uint8_t readable_after_erase = 0x50;  // WABEREQ = WACEREQ = 01b
    data.put16(1);                                       // MEDIUM ROTATION RATE: non-rotating
    data.put8(0);
    data.put8(readable_after_erase);
    data.put_zeros(0x3c - 4);
}

void put_provisioning(const Unit& unit, const Nexus&, DataIn& data) {
    constexpr std::uint8_t unmap_and_write_same = 0xe0;  // LBPU, LBPWS, LBPWS10
    constexpr std::uint8_t reads_zeros = 0x04;           // LBPRZ
    constexpr std::uint8_t thin = 0x02;
    // A threshold set is 2^THRESHOLD EXPONENT blocks.
    const auto exponent = std::countr_zero(threshold_set_bytes / unit.device.geometry().block_size);
    data.put8(unit.config.thin ? static_cast<std::uint8_t>(exponent) : 0);
    data.put8(unit.config.thin ? unmap_and_write_same | reads_zeros : 0);
    data.put8(unit.config.thin ? thin : 0);
    data.put8(0);
}

void put_supported_pages(const Unit& unit, const Nexus& nexus, DataIn& data);

struct VpdPage {
    std::uint8_t code;
    void (*put)(const Unit& unit, const Nexus& nexus, DataIn& data);  ///< without the header
};
constexpr std::array vpd_pages = {
    VpdPage{0x00, put_supported_pages},       VpdPage{0x80, put_serial},
    VpdPage{0x83, put_device_identification}, VpdPage{0x86, put_extended_inquiry},
    VpdPage{0x8f, put_third_party_copy_page}, VpdPage{0xb0, put_block_limits},
    VpdPage{0xb1, put_block_characteristics}, VpdPage{0xb2, put_provisioning},
};

void put_supported_pages(const Unit&, const Nexus&, DataIn& data) {
    for (const VpdPage& page : vpd_pages) {
        data.put8(page.code);
    }
}

}  // namespace

Step start_inquiry(Unit& unit, Command& command) {
    constexpr std::uint8_t vital_product_data = 0x01;  // EVPD
    const std::uint64_t allocation = cdb_field<2>(command, 3);
    const std::uint8_t page_code = command.cdb[2];
    DataIn data(command.buffer);
    if ((command.cdb[1] & vital_product_data) == 0) {
        if (page_code != 0) return invalid_field(unit, 2);
        put_standard(unit, data);
        return data_in(data, allocation);
    }
    const auto* page = std::find_if(vpd_pages.begin(), vpd_pages.end(),
                                    [&](const VpdPage& p) { return p.code == page_code; });
    if (page == vpd_pages.end()) return invalid_field(unit, 2);
    data.put8(0);
    data.put8(page_code);
    data.put16(0);
    page->put(unit, unit.nexus(command), data);
    data.set16(2, data.size() - 4);
    return data_in(data, allocation);
}

void put_inquiry_without_logical_unit(DataIn& data) {
    data.put8(no_logical_unit);
    data.put8(0);
    data.put8(version_spc_4);
    data.put8(hierarchical_luns | response_data_format);
    data.put8(36 - 5);
    data.put_zeros(3);
    data.put_text("COWTGT", 8);
    data.put_text("", 16);
    data.put_text("", 4);
}

}  // namespace cowtgt::scsi
