#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"

/// The text that describes a volume group, as far as an identity depends on it. No I/O.
namespace cowtgt::identity::lvm2 {

inline constexpr std::size_t id_digits = 32;       ///< as in the label
inline constexpr std::size_t id_text_length = 38;  ///< with dashes, as in the text

/// "3wVnaB-TcDu-..." out of 32 digits. Requires: id_digits digits.
std::string id_with_dashes(std::string_view digits);

/// One `id = "..."` of the text.
struct IdField {
    std::string where;   ///< "group vg0", "physical volume", "logical volume root"
    std::size_t offset;  ///< of the id in the text
    std::string id;      ///< with dashes
};

/// The ids of the group, of its physical volume and of all logical volumes, in the order of the
/// text. corrupt when it cannot be understood; refused when the group is one whose ids lie
/// elsewhere too: of several physical volumes, or with segments that are not linear or striped.
Result<std::vector<IdField>> find_ids(std::string_view text);

}  // namespace cowtgt::identity::lvm2
