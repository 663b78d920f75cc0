#include "cow-store/identity/formats.h"

#include <array>

#include "cow-store/identity/ext.h"

namespace cowtgt::identity {

namespace {

constexpr std::array rows = {
    FileSystemFormat{"ext", examine_ext, patch_ext},
};

}  // namespace

std::span<const FileSystemFormat> file_system_formats() {
    return rows;
}

const FileSystemFormat* find_file_system_format(std::string_view name) {
    for (const FileSystemFormat& row : rows) {
        if (row.name == name) return &row;
    }
    return nullptr;
}

Uuid derived_uuid(const IdentityChoice& choice, std::string_view where, std::string_view kind) {
    const std::string name = std::string(where) + "/" + std::string(kind);
    // The digest is as good as random for whoever does not know the seed, so it is marked as a
    // random UUID: the guest need not learn that it was derived.
    return make_random_uuid(make_name_uuid(choice.seed, name).bytes);
}

Structure kept(Structure structure, const std::string& reason) {
    structure.kept_because = reason;
    structure.places.clear();
    for (Finding& finding : structure.findings) {
        finding.new_value.clear();
        finding.note.clear();
        finding.kept_because = reason;
    }
    return structure;
}

Result<void> check_places(const Structure& structure, const std::vector<Place>& now) {
    if (structure.places == now) return {};
    return Error{ErrorCode::corrupt,
                 structure.where +
                     " is not where it was when the template was imported: import "
                     "the image again"};
}

}  // namespace cowtgt::identity
