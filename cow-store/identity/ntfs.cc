#include "cow-store/identity/ntfs.h"

#include <algorithm>
#include <array>
#include <vector>

#include "cow-store/base/endian.h"

namespace cowtgt::identity {

namespace {

/// With the names of Linux (fs/ntfs3).
struct BootSector {
    std::array<std::byte, 3> jump;
    std::array<std::byte, 8> system_id;  ///< "NTFS    "
    le16 bytes_per_sector;
    std::uint8_t sectors_per_cluster;
    std::array<std::byte, 26> unused_0e;
    le64 sectors_per_volume;  ///< without the last one, which holds the copy
    le64 mft_cluster;
    le64 mft_mirror_cluster;
    std::array<std::byte, 8> record_sizes;
    le64 serial;
    le32 checksum;
    std::array<std::byte, 426> boot_code;
    le16 magic;
};
static_assert(sizeof(BootSector) == 512 && alignof(BootSector) == 1);
static_assert(offsetof(BootSector, sectors_per_volume) == 0x28);
static_assert(offsetof(BootSector, serial) == 0x48);

constexpr std::string_view ntfs_name = "NTFS    ";
constexpr std::uint16_t boot_magic = 0xaa55;
constexpr unsigned serial_digits = 16;

struct NtfsVolume {
    BootSector boot;
    std::uint64_t copy_offset;  ///< bytes from the start of the window
};

bool is_ntfs(const BootSector& boot) {
    return std::ranges::equal(boot.system_id, bytes_of(ntfs_name));
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
Result<NtfsVolume> read_volume(const Window& window) {
    const Result<BootSector> boot = window.read_struct<BootSector>(0);
    if (!boot) return boot.error();
    if (!is_ntfs(*boot)) return Error{ErrorCode::corrupt, "the NTFS file system is gone"};
    const std::uint64_t sector_size = boot->bytes_per_sector.get();
    const std::uint64_t sectors = boot->sectors_per_volume.get();
    if (boot->magic.get() != boot_magic || !is_power_of_two(sector_size) || sector_size < 512 ||
        sector_size > 4096 || sectors == 0) {
        return Error{ErrorCode::corrupt, "its boot sector is damaged: run chkdsk on it"};
    }
    if (sectors >= window.length() / sector_size) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    NtfsVolume volume{*boot, sectors * sector_size};
    const Result<BootSector> copy = window.read_struct<BootSector>(volume.copy_offset);
    if (!copy) return copy.error();
    constexpr std::size_t compared = offsetof(BootSector, boot_code);
    if (!std::ranges::equal(bytes_of_struct(*boot).first(compared),
                            bytes_of_struct(*copy).first(compared))) {
        return Error{ErrorCode::corrupt,
                     "its boot sector and the copy of it differ: run chkdsk on it"};
    }
    return volume;
}

std::vector<Place> places_of(const Window& window, const NtfsVolume& volume) {
    return {{.role = "boot sector",
             .offset = window.begin(),
             .length = sizeof(BootSector),
             .number = 0},
            {.role = "boot sector",
             .offset = window.begin() + volume.copy_offset,
             .length = sizeof(BootSector),
             .number = 1}};
}

Finding serial_finding(const std::string& where, const BootSector& boot) {
    return found(where, "fs-uuid", serial_text(boot.serial.get(), serial_digits));
}

}  // namespace

Result<std::optional<Structure>> examine_ntfs(const Window& window, const std::string& place) {
    if (!window.contains(0, sizeof(BootSector))) return std::optional<Structure>();
    const Result<BootSector> boot = window.read_struct<BootSector>(0);
    if (!boot) return boot.error();
    if (!is_ntfs(*boot)) return std::optional<Structure>();
    Structure structure = structure_in(window, "ntfs", "NTFS", place);
    structure.findings.push_back(serial_finding(structure.where, *boot));
    const Result<NtfsVolume> volume = read_volume(window);
    if (!volume) return with_places(std::move(structure), volume.error());
    return with_places(std::move(structure), places_of(window, *volume));
}

Result<Patching> patch_ntfs(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<NtfsVolume> volume = read_volume(window);
    if (!volume) return volume.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *volume)); !same) {
        return same.error();
    }
    if (Result<void> none = check_no_label(request, "it is a file of NTFS"); !none) {
        return none.error();
    }
    const Result<std::uint64_t> serial =
        chosen_serial(request, serial_digits, volume->boot.serial.get());
    if (!serial) return serial.error();
    const le64 on_disk = *serial;
    Patching patching;
    for (const std::uint64_t begin : {std::uint64_t{0}, volume->copy_offset}) {
        patching.patches.push_back(
            patch_at(window, begin + offsetof(BootSector, serial), bytes_of_struct(on_disk)));
    }
    patching.findings.push_back(changed(serial_finding(request.structure.where, volume->boot),
                                        serial_text(*serial, serial_digits)));
    return patching;
}

}  // namespace cowtgt::identity
