#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// Whether files can name this value: UUIDs and serials of file systems and partitions can, ids of
/// LVM2 cannot.
bool can_be_named(const Finding& finding);

/// What a text names: in small letters, and with the dashes that systemd writes as "\x2d" in the
/// names of units.
std::string value_named_by(std::string_view text);

/// What the texts in the image mean for one clone: which values stay because of them, and which
/// texts follow their values.
///
/// Ownership: refers to the recipe, which outlives it. Pure.
class ReferencePlan {
public:
    /// Reads every text again: one that is not what the recipe says cannot be rewritten.
    static Result<ReferencePlan> make(const Recipe& recipe, const BlockSource& image,
                                      const IdentityChoice& choice);
    /// The same with every text as the recipe says, to tell people what clones will do.
    static ReferencePlan expected(const Recipe& recipe, References wish);

    /// Why this value of the disk has to stay; empty: it may change.
    std::string reason_to_keep(const Finding& finding) const;

    /// Adds the texts of all values that were changed, and a note for people to their findings.
    void rewrite(Patching& patching) const;

private:
    struct Entry {
        const Reference* reference;
        bool is_as_found;  ///< the text is still there
    };

    ReferencePlan(const Recipe& recipe, References wish) : recipe_(recipe), wish_(wish) {}

    std::vector<Entry> naming(const Finding& finding) const;
    bool is_shared(const Finding& finding) const;

    const Recipe& recipe_;
    References wish_;
    std::vector<Entry> entries_;
};

}  // namespace cowtgt::identity
