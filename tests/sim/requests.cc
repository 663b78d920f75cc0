#include "tests/sim/requests.h"

#include <algorithm>
#include <array>

namespace cowtgt::sim {

void Requests::ask(Volume& volume) {
    asked_.emplace_back();
    Asked& asked = asked_.back();
    asked.requests = this;
    asked.request.owner = &asked;
    asked.request.done = [](BlockRequest& request, const BlockOutcome& outcome) {
        auto& answered = *static_cast<Asked*>(request.owner);
        answered.requests->answered(answered, outcome);
    };
    const bool must_flush = mix_.flushes_often && below(random_, 2) == 0;
    const std::uint64_t choice = must_flush ? 0 : below(random_, 20);
    if (mix_.flushes && choice < 2) {
        asked.request.operation = BlockOperation::flush;
        asked.flush_point = model_.flush_begins();
        volume.submit(asked.request);
        return;
    }
    asked.range = pick_range();
    asked.request.first_block = Lba{asked.range.offset / sector_size};
    asked.request.block_count = BlockCount{asked.range.length / sector_size};
    asked.request.data = MutableBytes(asked.data.bytes).first(asked.range.length);
    if (choice < 5) {
        asked.request.operation = BlockOperation::read;
    } else if (choice < 8) {
        asked.request.operation = BlockOperation::deallocate;
        asked.request.data = {};
        asked.changes = true;
        asked.value = zeros_mark | next_value_++;
    } else {
        asked.request.operation = BlockOperation::write;
        asked.request.force_unit_access = choice == 8;
        asked.changes = true;
        asked.value = next_value_++;
        for (std::uint64_t at = 0; at < asked.range.length; at += sector_size) {
            fill_sector(asked.request.data.subspan(at, sector_size), asked.value,
                        asked.range.offset + at);
        }
    }
    if (asked.changes) model_.begin_write(asked.range, asked.value);
    volume.submit(asked.request);
}

Window Requests::pick_range() {
    const auto& windows = model_.windows();
    const Window& window = windows[below(random_, windows.size())];
    const std::uint64_t sectors = window.length / sector_size;
    std::uint64_t first = below(random_, sectors);
    std::uint64_t count = 1 + below(random_, below(random_, 3) == 0 ? 56 : 9);
    if (mix_.large) count = 64;
    if (below(random_, 2) == 0 || mix_.whole_clusters) {
        const std::uint64_t offset = (window.offset + first * sector_size) / 4096 * 4096;
        first = offset < window.offset ? 0 : (offset - window.offset) / sector_size;
        count = (count + 7) / 8 * 8;
    }
    count = std::min(count, sectors - first);
    return {window.offset + first * sector_size, count * sector_size};
}

void Requests::answered(Asked& asked, const BlockOutcome& outcome) {
    const bool good = outcome.status == BlockStatus::good;
    ++(good ? answered_good : answered_otherwise);
    if (good && asked.changes) {
        model_.answered(asked.range, asked.value);
        if (asked.request.force_unit_access) model_.durable(asked.range, asked.value);
    } else if (good && asked.request.operation == BlockOperation::flush) {
        model_.flush_answered(asked.flush_point);
    } else if (good) {
        check_read(asked);
    }
    asked_.remove_if([&asked](const Asked& other) { return &other == &asked; });
}

/// A read may see each write that was not yet followed by an answered one when it began; the
/// model only knows today, so what it can say is that the bytes are some write's to this place.
void Requests::check_read(const Asked& asked) {
    for (std::uint64_t at = 0; at < asked.range.length; at += sector_size) {
        const std::uint64_t offset = asked.range.offset + at;
        const auto value = value_in(Bytes(asked.request.data).subspan(at, sector_size), offset);
        if (!value) problem = "a read gave foreign bytes at " + std::to_string(offset);
    }
}

}  // namespace cowtgt::sim
