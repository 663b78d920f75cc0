#include "boot-helper/image/initrd.h"

#include <algorithm>
#include <array>

#include "boot-helper/image/cpio_names.h"
#include "cow-store/compression/decompressor.h"

namespace cowtgt::boot {

namespace {

using compression::Compression;
using compression::compression_of;

constexpr std::uint64_t initrd_bytes_max = 1U << 30;
/// Decompressed; an initrd that is larger does not fit into the memory of the machines anyway.
constexpr std::uint64_t content_bytes_max = 8ULL << 30;

/// What one name in an initrd tells.
struct Marks {
    bool dracut = false;
    bool dracut_iscsi = false;
    bool initramfs_tools = false;
    bool initramfs_tools_iscsi = false;
    bool iscsistart = false;
};

struct MarkRow {
    std::string_view text;
    enum class Match : std::uint8_t { beginning, end } match;
    bool Marks::*mark;
};

constexpr std::array mark_rows = {
    MarkRow{"usr/lib/dracut/", MarkRow::Match::beginning, &Marks::dracut},
    MarkRow{"lib/dracut/", MarkRow::Match::beginning, &Marks::dracut},
    MarkRow{"/dracut-lib.sh", MarkRow::Match::end, &Marks::dracut},
    MarkRow{"/iscsiroot", MarkRow::Match::end, &Marks::dracut_iscsi},
    MarkRow{"-parse-iscsiroot.sh", MarkRow::Match::end, &Marks::dracut_iscsi},
    MarkRow{"conf/initramfs.conf", MarkRow::Match::beginning, &Marks::initramfs_tools},
    MarkRow{"scripts/init-top", MarkRow::Match::beginning, &Marks::initramfs_tools},
    MarkRow{"scripts/local-top/iscsi", MarkRow::Match::beginning, &Marks::initramfs_tools_iscsi},
    MarkRow{"bin/iscsistart", MarkRow::Match::end, &Marks::iscsistart},
};

/// "usr/lib/modules/6.1/kernel/drivers/scsi/iscsi_tcp.ko.xz" is iscsi_tcp; else empty.
std::string module_name(std::string_view path) {
    if (path.find("lib/modules/") == std::string_view::npos) return {};
    const std::string_view file = path.substr(path.rfind('/') + 1);
    const std::size_t end = file.find(".ko");
    if (end == std::string_view::npos) return {};
    std::string name(file.substr(0, end));
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
}

/// What the names of all archives of one initrd come to.
class NameCollector {
public:
    void see(std::string_view name) {
        for (const MarkRow& row : mark_rows) {
            const bool matches = row.match == MarkRow::Match::beginning ? name.starts_with(row.text)
                                                                        : name.ends_with(row.text);
            if (matches) marks_.*row.mark = true;
        }
        std::string module = module_name(name);
        if (!module.empty()) report_.modules.insert(std::move(module));
    }

    void add_layer(Compression kind) { report_.layers.emplace_back(to_string(kind)); }
    void unread(std::string why) { report_.unread_because = std::move(why); }

    InitrdReport finish() {
        if (marks_.dracut) {
            report_.dialect = Dialect::dracut;
            report_.has_login = marks_.dracut_iscsi;
        } else if (marks_.initramfs_tools) {
            report_.dialect = Dialect::initramfs_tools;
            report_.has_login = marks_.iscsistart && marks_.initramfs_tools_iscsi;
        } else if (marks_.iscsistart) {
            report_.dialect = Dialect::ibft;
            report_.has_login = true;
        }
        return std::move(report_);
    }

private:
    Marks marks_;
    InitrdReport report_;
};

/// Reads the archives that lie one behind another in decompressed bytes.
class ArchiveReader {
public:
    explicit ArchiveReader(NameCollector& names) : names_(names), archive_(make()) {}

    /// False once it has read more than any initrd holds, or what is no archive.
    bool feed(Bytes bytes) {
        total_bytes_ += bytes.size();
        if (total_bytes_ > content_bytes_max) return false;
        while (!bytes.empty()) {
            bytes = bytes.subspan(archive_.feed(bytes));
            if (archive_.state() == CpioNames::State::broken) return false;
            if (archive_.state() == CpioNames::State::ended) archive_ = make();
        }
        return true;
    }
    bool is_whole() const { return archive_.is_whole(); }

private:
    CpioNames make() {
        return CpioNames([this](std::string_view name) { names_.see(name); });
    }

    NameCollector& names_;
    std::uint64_t total_bytes_ = 0;
    CpioNames archive_;
};

Bytes without_zeros(Bytes bytes) {
    const auto begin = std::find_if(bytes.begin(), bytes.end(),
                                    [](std::byte byte) { return byte != std::byte{}; });
    return bytes.subspan(static_cast<std::size_t>(begin - bytes.begin()));
}

/// Reads one archive that is not compressed. Returns how many bytes it has; 0: it is no whole one.
std::size_t read_plain(Bytes bytes, NameCollector& names) {
    CpioNames archive([&names](std::string_view name) { names.see(name); });
    const std::size_t taken = archive.feed(bytes);
    return archive.is_whole() ? taken : 0;
}

/// Takes one stream off the front of `bytes`.
Result<void> read_compressed(Compression kind, Bytes& bytes, NameCollector& names) {
    ArchiveReader reader(names);
    Result<void> done =
        decompress(kind, bytes, [&reader](Bytes more) { return reader.feed(more); });
    if (done && !reader.is_whole()) {
        return Error{ErrorCode::corrupt, "what is compressed in it is no whole cpio archive"};
    }
    return done;
}

}  // namespace

InitrdReport read_initrd(Bytes initrd) {
    NameCollector names;
    for (Bytes rest = without_zeros(initrd); !rest.empty(); rest = without_zeros(rest)) {
        const Compression kind = compression_of(rest);
        names.add_layer(kind);
        if (kind == Compression::none) {
            const std::size_t taken = read_plain(rest, names);
            if (taken == 0) {
                names.unread("a part of it is neither compressed nor a whole cpio archive");
                break;
            }
            rest = rest.subspan(taken);
        } else if (const auto read = read_compressed(kind, rest, names); !read) {
            names.unread(read.error().message);
            break;
        }
    }
    return names.finish();
}

Result<InitrdReport> read_initrd(FileTree& tree, std::string_view path) {
    const std::optional<FileEntry> entry = tree.find(path);
    if (!entry) return Error{ErrorCode::not_found, std::string(path) + " is not in the image"};
    if (entry->size_bytes > initrd_bytes_max) {
        return Error{ErrorCode::refused, std::string(path) + " is too large for an initrd"};
    }
    std::vector<std::byte> bytes;
    bytes.reserve(entry->size_bytes);
    const Result<void> done = tree.read(path, [&bytes](Bytes more) -> Result<void> {
        bytes.insert(bytes.end(), more.begin(), more.end());
        return {};
    });
    if (!done) return done.error();
    return read_initrd(bytes);
}

}  // namespace cowtgt::boot
