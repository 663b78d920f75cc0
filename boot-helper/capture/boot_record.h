#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/core/fleet.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

/// A kernel or an initrd beside its record: a file that is named by its hash.
struct KeptBlob {
    std::string sha256;
    std::string name;
    std::uint64_t size_bytes = 0;
    friend bool operator==(const KeptBlob&, const KeptBlob&) = default;
};

/// A finding of the lint, as it was when the image was looked at.
struct KeptFinding {
    std::string code, severity, what, breaks, mend;
    friend bool operator==(const KeptFinding&, const KeptFinding&) = default;
};

/// What the machines of a template version boot with: the file boot.json in the version's boot
/// folder, beside the blobs. A plain value.
struct BootRecord {
    BootMode mode = BootMode::kernel;
    Dialect dialect = Dialect::unknown;
    std::string kernel_version;
    std::optional<KeptBlob> kernel;
    std::optional<KeptBlob> initrd;
    std::string no_kernel_because;  ///< empty when there is one
    std::string root_label;
    std::string root_uuid;    ///< on the template; a clone has its own
    std::string extra_words;  ///< for the kernel's command line
    std::string efi_program;  ///< what sanboot starts when there is no BOOTX64.EFI
    std::vector<KeptFinding> findings;
    friend bool operator==(const BootRecord&, const BootRecord&) = default;
};

inline constexpr const char* boot_record_file = "boot.json";

std::string encode(const BootRecord& record);
/// corrupt, naming `where`; unsupported for a newer format.
Result<BootRecord> decode_boot_record(std::string_view text, const std::string& where);
/// not_found when the folder has none.
Result<BootRecord> read_boot_record(const std::filesystem::path& folder);
/// Replaces the record of a version that has one, durably.
Result<void> write_boot_record(const std::filesystem::path& folder, const BootRecord& record);

/// {mode, initramfs, kernel_version, kernel {name, size_bytes, sha256} (null), initrd (null),
/// no_kernel_because, root_label, words, efi_program, findings [{code, severity, what, breaks,
/// mend}]}
nlohmann::json describe(const BootRecord& record);

/// "mode", "initramfs", "words", "efi": the settings of a template by their names; usage for
/// others. Setting mode=kernel where no kernel was taken is refused.
Result<void> change_boot_setting(BootRecord& record, std::string_view name, std::string_view value);

/// "kernel" or "disk"; "dracut", "debian", "ibft" or "unknown".
Result<BootMode> parse_boot_mode(std::string_view word);
Result<Dialect> parse_dialect(std::string_view word);

}  // namespace cowtgt::boot
