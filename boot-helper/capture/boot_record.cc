#include "boot-helper/capture/boot_record.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "boot-helper/core/command_line.h"
#include "cow-store/base/bytes.h"
#include "cow-store/base/checksum.h"
#include "cow-store/store/documents.h"
#include "target/config/text_file.h"

namespace cowtgt::boot {

namespace {

using nlohmann::json;

constexpr std::uint32_t record_format = 1;
constexpr std::string_view kind = "boot";
constexpr std::size_t sha256_hex_digits = 64;

std::string compact(const json& fields) {
    return fields.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string checksum_of(const json& fields) {
    return store::hex_text(xxh3_64(bytes_of(compact(fields))));
}

/// What an iPXE script can carry as one word.
bool is_efi_path(std::string_view path) {
    constexpr std::string_view marks = "\\-._";
    return path.starts_with('\\') && std::all_of(path.begin(), path.end(), [marks](char c) {
               const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
               return letter || (c >= '0' && c <= '9') || marks.find(c) != std::string_view::npos;
           });
}

Error corrupt(const std::string& where, std::string_view what) {
    return {ErrorCode::corrupt,
            where + " is damaged (" + std::string(what) + "); restore it from a backup"};
}

json to_json(const std::optional<KeptBlob>& blob) {
    if (!blob) return nullptr;
    return {{"sha256", blob->sha256}, {"name", blob->name}, {"size_bytes", blob->size_bytes}};
}

json to_json(const std::vector<KeptFinding>& findings) {
    json list = json::array();
    for (const KeptFinding& finding : findings) {
        list.push_back({{"code", finding.code},
                        {"severity", finding.severity},
                        {"what", finding.what},
                        {"breaks", finding.breaks},
                        {"mend", finding.mend}});
    }
    return list;
}

/// A name of the file system comes of it, so it must be nothing but a hash.
bool is_sha256(std::string_view text) {
    return text.size() == sha256_hex_digits &&
           text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<KeptBlob> blob_from(const json& fields) {
    if (fields.is_null()) return std::nullopt;
    return KeptBlob{fields.at("sha256").get<std::string>(), fields.at("name").get<std::string>(),
                    fields.at("size_bytes").get<std::uint64_t>()};
}

std::vector<KeptFinding> findings_from(const json& list) {
    std::vector<KeptFinding> findings;
    for (const json& fields : list) {
        findings.push_back(
            {fields.at("code").get<std::string>(), fields.at("severity").get<std::string>(),
             fields.at("what").get<std::string>(), fields.at("breaks").get<std::string>(),
             fields.at("mend").get<std::string>()});
    }
    return findings;
}

BootRecord record_from(const json& fields) {
    BootRecord record;
    record.mode = parse_boot_mode(fields.at("mode").get<std::string>()).value();
    record.dialect = parse_dialect(fields.at("initramfs").get<std::string>()).value();
    fields.at("kernel_version").get_to(record.kernel_version);
    record.kernel = blob_from(fields.at("kernel"));
    record.initrd = blob_from(fields.at("initrd"));
    fields.at("no_kernel_because").get_to(record.no_kernel_because);
    fields.at("root_label").get_to(record.root_label);
    fields.at("root_uuid").get_to(record.root_uuid);
    fields.at("words").get_to(record.extra_words);
    fields.at("efi_program").get_to(record.efi_program);
    record.findings = findings_from(fields.at("findings"));
    return record;
}

bool is_possible(const BootRecord& record) {
    return (!record.kernel || is_sha256(record.kernel->sha256)) &&
           (!record.initrd || is_sha256(record.initrd->sha256));
}

}  // namespace

Result<BootMode> parse_boot_mode(std::string_view word) {
    for (const BootMode mode : {BootMode::kernel, BootMode::disk}) {
        if (word == to_string(mode)) return mode;
    }
    return Error{ErrorCode::usage, "mode is kernel or disk, not '" + std::string(word) + "'"};
}

Result<Dialect> parse_dialect(std::string_view word) {
    for (const Dialect dialect :
         {Dialect::unknown, Dialect::dracut, Dialect::initramfs_tools, Dialect::ibft}) {
        if (word == to_string(dialect)) return dialect;
    }
    return Error{ErrorCode::usage,
                 "initramfs is dracut, debian, ibft or unknown, not '" + std::string(word) + "'"};
}

json describe(const BootRecord& record) {
    return {{"mode", to_string(record.mode)},
            {"initramfs", to_string(record.dialect)},
            {"kernel_version", record.kernel_version},
            {"kernel", to_json(record.kernel)},
            {"initrd", to_json(record.initrd)},
            {"no_kernel_because", record.no_kernel_because},
            {"root_label", record.root_label},
            {"root_uuid", record.root_uuid},
            {"words", record.extra_words},
            {"efi_program", record.efi_program},
            {"findings", to_json(record.findings)}};
}

std::string encode(const BootRecord& record) {
    json fields = describe(record);
    fields["format"] = record_format;
    fields["kind"] = kind;
    // The sum is over what a reader will see: bytes that are no UTF-8 have been replaced.
    fields = json::parse(compact(fields));
    fields["checksum"] = checksum_of(fields);
    return fields.dump(2) + "\n";
}

Result<BootRecord> decode_boot_record(std::string_view text, const std::string& where) {
    json fields = json::parse(text, nullptr, false);
    if (!fields.is_object()) return corrupt(where, "it is not the JSON that was written");
    const json format = fields.value("format", json());
    if (format.is_number_unsigned() && format.get<std::uint64_t>() > record_format) {
        return Error{ErrorCode::unsupported,
                     where + " has format " + std::to_string(format.get<std::uint64_t>()) +
                         ", which is newer than this cowtgt; use a newer one"};
    }
    const json sum = fields.value("checksum", json());
    fields.erase("checksum");
    if (!sum.is_string() || checksum_of(fields) != sum.get<std::string>()) {
        return corrupt(where, "its checksum does not match");
    }
    if (format != json(record_format) || fields.value("kind", json()) != json(kind)) {
        return corrupt(where, "it is not what belongs there");
    }
    try {
        BootRecord record = record_from(fields);
        if (!is_possible(record)) return corrupt(where, "a field has an impossible value");
        return record;
    } catch (const json::exception&) {
        return corrupt(where, "a field is missing or of another type");
    }
}

Result<BootRecord> read_boot_record(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / boot_record_file;
    auto text = config::read_text_file(file);
    if (!text) return text.error();
    return decode_boot_record(*text, file.string());
}

Result<void> write_boot_record(const std::filesystem::path& folder, const BootRecord& record) {
    return config::replace_text_file(folder / boot_record_file, encode(record));
}

Result<void> change_boot_setting(BootRecord& record, std::string_view name,
                                 std::string_view value) {
    if (name == "mode") {
        const Result<BootMode> mode = parse_boot_mode(value);
        if (!mode) return mode.error();
        if (*mode == BootMode::kernel && !record.kernel) {
            return Error{ErrorCode::refused, "no kernel was taken from it (" +
                                                 record.no_kernel_because +
                                                 "); import it again with --kernel and --initrd"};
        }
        record.mode = *mode;
        return {};
    }
    if (name == "initramfs") {
        const Result<Dialect> dialect = parse_dialect(value);
        if (!dialect) return dialect.error();
        record.dialect = *dialect;
        return {};
    }
    if (name == "words") {
        if (auto fine = check_extra_words(value); !fine) return fine;
        record.extra_words = value;
        return {};
    }
    if (name == "efi") {
        if (value != "none" && !is_efi_path(value)) {
            return Error{ErrorCode::usage,
                         "efi is a path on the EFI system partition, of letters, digits and -._, "
                         "such as \\EFI\\debian\\grubx64.efi, or none"};
        }
        record.efi_program = value == "none" ? "" : value;
        return {};
    }
    return Error{ErrorCode::usage, "unknown setting '" + std::string(name) +
                                       "'; a template has mode, initramfs, words and efi"};
}

}  // namespace cowtgt::boot
