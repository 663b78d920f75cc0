#include "cow-store/references/grub.h"

#include <cstdint>
#include <cstring>

#include "cow-store/base/endian.h"

namespace cowtgt::references {

bool refuses_checksum_seed(Bytes module) {
    // The code tests the features of the superblock against a constant: those that it does not
    // know. Filetype, recover, meta_bg, extents, 64bit and flex_bg have been known for ever; of the
    // others it depends on the version. No other constant of the module looks like this.
    constexpr std::uint32_t known_for_ever = 0x000002d6;
    constexpr std::uint32_t known_since =
        0x00017d00;  // mmp, csum_seed, large_dir, encrypt and such
    constexpr std::uint32_t csum_seed = 0x00002000;
    bool is_refused = false;
    for (std::size_t at = 0; at + sizeof(le32) <= module.size(); ++at) {
        le32 word;
        std::memcpy(&word, module.data() + at, sizeof(word));
        if ((word.get() | known_since) != ~known_for_ever) continue;
        if ((word.get() & csum_seed) == 0) return false;
        is_refused = true;
    }
    return is_refused;
}

}  // namespace cowtgt::references
