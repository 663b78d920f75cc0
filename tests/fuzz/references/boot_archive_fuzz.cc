#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/identity/window.h"
#include "cow-store/references/boot_archive.h"

/// An initramfs as it is searched for UUIDs: whatever it is, unpacking ends, and only what was
/// asked for is found.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace cowtgt;
    constexpr std::size_t archive_max = 4096;
    const std::vector<std::string> texts = {"1b2c3d4e-5f60-4718-9a0b-c1d2e3f4a5b6", "c0ff-ee42",
                                            "5eed5eed"};
    const auto found = references::search_boot_archive(
        std::as_bytes(std::span(data, std::min(size, archive_max))), texts);
    if (!found) {
        CHECK(identity::is_reason_to_keep(found.error()) && !found.error().message.empty());
        return 0;
    }
    for (const std::string& text : *found)
        CHECK(std::ranges::find(texts, text) != texts.end());
    return 0;
}
