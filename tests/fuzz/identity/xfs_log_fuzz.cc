#include <algorithm>
#include <span>

#include "cow-store/base/check.h"
#include "cow-store/identity/xfs_dirty_log.h"
#include "cow-store/identity/xfs_log_items.h"
#include "tests/unit/identity/xfs_log_image.h"

/// The log of an XFS. Input: where the first record begins (one byte) and how many operations each
/// has (one byte); the rest is what they hold, 4 KiB each. Whatever they say, items end, what they
/// name lies in the log, and with another UUID the log says the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace cowtgt;
    using namespace cowtgt::identity;
    constexpr std::size_t record_max = 4096;
    constexpr std::size_t text_max = 40 * record_max;
    if (size < 2) return 0;
    XfsLogImage image(std::uint64_t{data[0]} * 2);
    Bytes text = std::as_bytes(std::span(data + 2, std::min(size - 2, text_max)));
    do {
        const Bytes part = text.first(std::min(text.size(), record_max));
        image.append(part);
        image.end_record_of(data[1], XfsLogImage::Checksum::right);
        text = text.subspan(part.size());
    } while (!text.empty());
    const Window window(image, 0, image.size());
    auto log = xfs::read_dirty_log(xfs::Log(window, 0, image.size()), XfsLogImage::uuid());
    CHECK(log.has_value());
    std::vector<std::byte> copy = log->text;
    const auto items = committed_items(*log, copy);
    for (std::size_t i = 0; items && i < items->size(); ++i) {
        CHECK(!(*items)[i].regions.empty());
        if ((*items)[i].type != xfs::buffer_item) continue;
        const auto changes = changes_of((*items)[i]);
        for (std::size_t run = 0; changes && run < changes->runs.size(); ++run) {
            CHECK(xfs::joined(*changes->runs[run].region).size() >= changes->runs[run].length);
        }
    }
    std::array<std::byte, 16> other{};
    other.fill(std::byte{1});
    image.apply(xfs::rewritten_records(*log, other, log->text));
    const auto again = xfs::read_dirty_log(xfs::Log(window, 0, image.size()), other);
    CHECK(again.has_value() && again->text == log->text);
    return 0;
}
