#include "cow-store/store/space.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cow-store/store/catalogue.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t stat_block = 512;  ///< bytes, of st_blocks

/// A file as the host counts it.
struct HostFile {
    std::uint64_t inode = 0;
    std::uint64_t bytes = 0;  ///< allocated
    std::uint64_t names = 0;
};

/// The files of a folder; one that is gone by now is none.
std::vector<HostFile> files_in(const std::filesystem::path& folder) {
    std::vector<HostFile> files;
    const Result<std::vector<std::string>> names = list_directory(folder);
    if (!names) return files;
    for (const std::string& name : *names) {
        struct stat status {};
        if (::lstat((folder / name).c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
        files.push_back({status.st_ino, static_cast<std::uint64_t>(status.st_blocks) * stat_block,
                         status.st_nlink});
    }
    return files;
}

SpaceInfo measure(const Context& context, std::string_view name, const InstanceDocument& document) {
    const std::filesystem::path folder = context.layout.instance(name);
    SpaceInfo info;
    info.name = name;
    info.own_bytes = allocated_bytes_of(folder / document.live_file);
    for (const LayerEntry& layer : document.sealed) {
        const std::uint64_t bytes = allocated_bytes_of(folder / layer.file);
        (layer.owner == document.uuid ? info.sealed_bytes : info.shared_bytes) += bytes;
    }
    info.own_bytes += info.sealed_bytes;
    const std::filesystem::path below =
        context.layout.version(document.template_name, document.template_version);
    for (const HostFile& file : files_in(below))
        info.shared_bytes += file.bytes;
    info.freed_bytes = bytes_freed_with(folder);
    return info;
}

/// All of a template version is its own; what it shares are files with another name elsewhere.
SpaceInfo measure_version(const Context& context, std::string_view name, std::uint32_t version) {
    SpaceInfo info;
    info.name = template_text(name, version);
    for (const HostFile& file : files_in(context.layout.version(name, version))) {
        (file.names == 1 ? info.own_bytes : info.shared_bytes) += file.bytes;
    }
    info.freed_bytes = info.own_bytes;
    return info;
}

/// Counts each file once, however many names it has.
class Total {
public:
    void add(const std::filesystem::path& folder) {
        for (const HostFile& file : files_in(folder)) {
            if (seen_.insert(file.inode).second) bytes_ += file.bytes;
        }
    }
    std::uint64_t bytes() const { return bytes_; }

private:
    std::set<std::uint64_t> seen_;
    std::uint64_t bytes_ = 0;
};

}  // namespace

std::uint64_t bytes_freed_with(const std::filesystem::path& folder) {
    std::uint64_t bytes = 0;
    for (const HostFile& file : files_in(folder))
        bytes += file.names == 1 ? file.bytes : 0;
    return bytes;
}

Result<SpaceInfo> measure_instance(const Context& context, std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    return measure(context, name, *document);
}

Result<PoolSpace> measure_pool(const Context& context) {
    struct statvfs status {};
    if (::statvfs(context.layout.root.c_str(), &status) != 0) {
        return system_error("looking at the file system of " + context.layout.root.string(), errno);
    }
    const Result<std::uint64_t> free = context.free_bytes();
    if (!free) return free.error();
    return PoolSpace{*free, std::uint64_t{status.f_blocks} * status.f_frsize};
}

Result<StoreSpace> measure_store(const Context& context) {
    StoreSpace space;
    Total total;
    const Result<std::vector<std::string>> instances = instance_names(context);
    if (!instances) return instances.error();
    for (const std::string& name : *instances) {
        total.add(context.layout.instance(name));
        // One that cannot be read still takes space, which the total has.
        if (Result<SpaceInfo> info = measure_instance(context, name)) {
            space.instances.push_back(std::move(*info));
        }
    }
    const Result<std::vector<std::string>> templates = template_names(context);
    if (!templates) return templates.error();
    for (const std::string& name : *templates) {
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) return versions.error();
        for (const std::uint32_t version : *versions) {
            total.add(context.layout.version(name, version));
            space.templates.push_back(measure_version(context, name, version));
        }
    }
    const Result<std::uint64_t> free = context.free_bytes();
    if (!free) return free.error();
    space.total_bytes = total.bytes();
    space.free_bytes = *free;
    return space;
}

}  // namespace cowtgt::store
