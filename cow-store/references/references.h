#pragma once

#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/references/text_search.h"

/// Which files of an image name its identities, and whether they can be rewritten.
namespace cowtgt::references {

/// Fills in Recipe::references and Recipe::unsearchable: looks up who owns each text that was
/// found on `image`, and unpacks the boot archives. Offsets that name nothing of the recipe (any
/// more) are passed over, so those of an earlier look may be given too.
///
/// An Error means that the image could not be read; what is damaged or not understood is a
/// reference that cannot be rewritten.
Result<void> find_references(identity::Recipe& recipe, const identity::BlockSource& image,
                             const std::vector<Occurrence>& found,
                             const std::vector<std::string>& too_often);

}  // namespace cowtgt::references
