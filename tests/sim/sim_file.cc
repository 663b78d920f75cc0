#include "tests/sim/sim_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt::sim {

std::uint64_t below(Random& random, std::uint64_t bound) {
    return random() % bound;
}

void Image::read(std::uint64_t offset, MutableBytes into) const {
    while (!into.empty()) {
        const std::uint64_t inside = offset % 4096;
        const std::size_t part = std::min<std::size_t>(into.size(), 4096 - inside);
        const auto page = pages_.find(offset / 4096);
        if (page == pages_.end()) {
            std::memset(into.data(), 0, part);
        } else {
            std::memcpy(into.data(), page->second->data() + inside, part);
        }
        into = into.subspan(part);
        offset += part;
    }
}

void Image::write(std::uint64_t offset, Bytes from) {
    size = std::max(size, offset + from.size());
    while (!from.empty()) {
        const std::uint64_t inside = offset % 4096;
        const std::size_t part = std::min<std::size_t>(from.size(), 4096 - inside);
        auto& slot = pages_[offset / 4096];
        auto page = slot ? std::make_shared<Page>(*slot) : std::make_shared<Page>();
        std::memcpy(page->data() + inside, from.data(), part);
        slot = std::move(page);
        from = from.subspan(part);
        offset += part;
    }
}

void File::step() {
    ++steps;
    if (on_step) on_step();
}

void File::arm(std::vector<Fault> faults) {
    faults_ = std::move(faults);
    seen_ = {};
}

const Fault* File::injected(FileOperation::Kind kind) {
    const std::uint64_t number = seen_[static_cast<std::size_t>(kind)]++;
    for (const Fault& fault : faults_) {
        if (fault.kind == kind && number >= fault.after && number - fault.after < fault.times) {
            ++faults_hit;
            return &fault;
        }
    }
    return nullptr;
}

int File::injected_errno(FileOperation::Kind kind) {
    const Fault* fault = injected(kind);
    return fault == nullptr ? 0 : fault->os_errno;
}

int File::injected_into_write(std::uint64_t offset, Bytes from) {
    const Fault* fault = injected(FileOperation::Kind::write);
    if (fault == nullptr) return 0;
    if (fault->partly) {
        land_partly(offset, from.first(below(random_, from.size() / sector_size) * sector_size));
    }
    return fault->os_errno;
}

void File::land_partly(std::uint64_t offset, Bytes part) {
    if (part.empty() || claim(offset, part.size()) != 0) return;
    land(offset, part);
    ++broken_off;
}

int File::claim(std::uint64_t offset, std::uint64_t length) {
    const std::uint64_t end = (offset + length + 4095) / 4096;
    std::uint64_t needed = 0;
    for (std::uint64_t page = offset / 4096; page < end; ++page) {
        needed += allocated_.contains(page) ? 0 : 1;
    }
    if (needed * 4096 + allocated_bytes() > capacity_bytes) return ENOSPC;
    for (std::uint64_t page = offset / 4096; page < end; ++page) {
        allocated_.insert(page);
    }
    return 0;
}

void File::disclaim(std::uint64_t offset, std::uint64_t length) {
    for (std::uint64_t page = offset / 4096; page < (offset + length) / 4096; ++page) {
        allocated_.erase(page);
    }
}

void File::land(std::uint64_t offset, Bytes bytes) {
    current_.write(offset, bytes);
    Landed landed{landed_count_++, {}};
    const std::uint64_t end = (offset + bytes.size() + sector_size - 1) / sector_size;
    for (std::uint64_t number = offset / sector_size; number < end; ++number) {
        Sector sector{number, {}};
        current_.read(number * sector_size, sector.bytes);
        landed.sectors.push_back(sector);
        lost_.erase(number);
    }
    landed_.push_back(std::move(landed));
}

void File::make_durable(std::uint64_t landed_before, std::uint64_t size) {
    std::size_t count = 0;
    for (; count < landed_.size() && landed_[count].order < landed_before; ++count) {
        for (const Sector& sector : landed_[count].sectors) {
            durable_.write(sector.number * sector_size, sector.bytes);
        }
    }
    landed_.erase(landed_.begin(), landed_.begin() + static_cast<std::ptrdiff_t>(count));
    durable_.size = std::max(durable_.size, size);
}

void File::lose_some(std::uint64_t landed_before, std::uint64_t size) {
    std::size_t count = 0;
    for (; count < landed_.size() && landed_[count].order < landed_before; ++count) {
        for (const Sector& sector : landed_[count].sectors) {
            if (below(random_, 2) == 0) {
                durable_.write(sector.number * sector_size, sector.bytes);
                lost_.erase(sector.number);
            } else {
                lost_.insert(sector.number);
            }
        }
    }
    for (std::size_t later = count; later < landed_.size(); ++later) {
        for (const Sector& sector : landed_[later].sectors) {
            lost_.erase(sector.number);
        }
    }
    landed_.erase(landed_.begin(), landed_.begin() + static_cast<std::ptrdiff_t>(count));
    durable_.size = std::max(durable_.size, size);
}

Result<void> File::drop_cache() {
    for (const std::uint64_t number : lost_) {
        std::array<std::byte, sector_size> bytes{};
        durable_.read(number * sector_size, bytes);
        current_.write(number * sector_size, bytes);
    }
    lost_.clear();
    return {};
}

Result<void> File::read_at(std::uint64_t offset, MutableBytes into) {
    current_.read(offset, into);
    return {};
}

Result<void> File::write_at(std::uint64_t offset, Bytes from) {
    step();
    int os_errno = injected_into_write(offset, from);
    if (os_errno == 0) os_errno = claim(offset, from.size());
    if (os_errno != 0) return system_error("write", os_errno);
    land(offset, from);
    return {};
}

Result<void> File::allocate(std::uint64_t offset, std::uint64_t length) {
    step();
    int os_errno = injected_errno(FileOperation::Kind::allocate);
    if (os_errno == 0) os_errno = claim(offset, length);
    if (os_errno != 0) return system_error("allocate", os_errno);
    current_.size = std::max(current_.size, offset + length);
    return {};
}

Result<void> File::punch_hole(std::uint64_t offset, std::uint64_t length) {
    step();
    land(offset, std::vector<std::byte>(length));
    disclaim(offset, length);
    return {};
}

Result<void> File::sync_data() {
    step();
    if (const int os_errno = injected_errno(FileOperation::Kind::sync_data); os_errno != 0) {
        if (failed_syncs_lose) lose_some(landed_count_, current_.size);
        return system_error("sync", os_errno);
    }
    make_durable(landed_count_, current_.size);
    return {};
}

void File::submit(FileOperation& operation) {
    Flight flight{&operation, {}, landed_count_, current_.size};
    if (operation.kind == FileOperation::Kind::write) {
        CHECK(operation.offset % alignment_wanted.offset == 0 &&
              operation.data.size() % alignment_wanted.offset == 0 &&
              reinterpret_cast<std::uintptr_t>(operation.data.data()) % alignment_wanted.memory ==
                  0);
        flight.data.assign(operation.data.begin(), operation.data.end());
    }
    flights_.push_back(std::move(flight));
    step();
}

bool File::read_now(std::uint64_t offset, MutableBytes into) {
    if (!cached || below(random_, 2) == 0) return false;
    current_.read(offset, into);
    return true;
}

LentBytes File::lend(std::uint64_t offset, std::uint64_t length) {
    return lends ? LentBytes{nullptr, -1, offset, length} : LentBytes{};
}

int File::append_now(std::uint64_t offset, Bytes from) {
    step();
    if (appends_left == 0) {
        ++faults_hit;
        if (appends_fail_partly) land_partly(offset, from.first(below(random_, from.size())));
        return EIO;
    }
    --appends_left;
    if (const int os_errno = claim(offset, from.size()); os_errno != 0) return os_errno;
    land(offset, from);
    return 0;
}

int File::perform(Flight& flight) {
    FileOperation& operation = *flight.operation;
    const int failure = operation.kind == FileOperation::Kind::write
                            ? injected_into_write(operation.offset, flight.data)
                            : injected_errno(operation.kind);
    if (failure != 0 && operation.kind == FileOperation::Kind::sync_data && failed_syncs_lose) {
        lose_some(flight.landed_before, flight.size_before);
    }
    if (failure != 0) return failure;
    switch (operation.kind) {
        case FileOperation::Kind::read:
            current_.read(operation.offset, operation.data);
            return 0;
        case FileOperation::Kind::write: {
            const int os_errno = claim(operation.offset, flight.data.size());
            if (os_errno == 0) land(operation.offset, flight.data);
            return os_errno;
        }
        case FileOperation::Kind::sync_data:
            make_durable(flight.landed_before, flight.size_before);
            return 0;
        case FileOperation::Kind::allocate: {
            const int os_errno = claim(operation.offset, operation.length);
            if (os_errno == 0) {
                current_.size = std::max(current_.size, operation.offset + operation.length);
            }
            return os_errno;
        }
        case FileOperation::Kind::punch_hole:
            land(operation.offset, std::vector<std::byte>(operation.length));
            disclaim(operation.offset, operation.length);
            return 0;
    }
    return EINVAL;
}

void File::complete_one() {
    CHECK(!flights_.empty());
    const auto at = static_cast<std::ptrdiff_t>(below(random_, flights_.size()));
    Flight flight = std::move(flights_[static_cast<std::size_t>(at)]);
    flights_.erase(flights_.begin() + at);
    const int os_errno = perform(flight);
    step();
    flight.operation->done(*flight.operation, os_errno);
}

std::unique_ptr<File> File::after_cut(CutKind kind, std::uint64_t seed) const {
    Random random(seed);
    auto found = std::make_unique<File>(random());
    found->capacity_bytes = capacity_bytes;
    found->inode_number = inode_number;
    found->alignment_wanted = alignment_wanted;
    found->cached = cached;
    found->failed_syncs_lose = failed_syncs_lose;
    found->allocated_ = allocated_;
    found->current_ = kind == CutKind::process_death ? current_ : durable_;
    // Everything, nothing, whole writes or single sectors: each of them finds other mistakes.
    const std::uint64_t mood = below(random, 4);
    const auto survives = [&random, mood] {
        return mood == 0 || (mood != 1 && below(random, 2) == 0);
    };
    if (kind == CutKind::power_loss) {
        for (const Landed& landed : landed_) {
            const bool whole = survives();
            for (const Sector& sector : landed.sectors) {
                if (mood == 3 ? survives() : whole) {
                    found->current_.write(sector.number * sector_size, sector.bytes);
                }
            }
        }
    }
    for (const Flight& flight : flights_) {
        const bool whole = survives();
        for (std::uint64_t at = 0; at < flight.data.size(); at += sector_size) {
            if (mood == 3 ? survives() : whole) {
                found->current_.write(flight.operation->offset + at,
                                      Bytes(flight.data).subspan(at, sector_size));
            }
        }
    }
    if (kind == CutKind::process_death) {
        // Still not durable: a power loss may follow.
        found->durable_ = durable_;
        found->landed_ = landed_;
        found->landed_count_ = landed_count_;
        found->lost_ = lost_;
        Image whole;
        whole = found->current_;
        for (const Flight& flight : flights_) {
            std::vector<std::byte> now(flight.data.size());
            whole.read(flight.operation->offset, now);
            if (!now.empty()) found->land(flight.operation->offset, now);
        }
    } else {
        found->durable_ = found->current_;
    }
    return found;
}

void File::overwrite(std::uint64_t offset, Bytes bytes) {
    current_.write(offset, bytes);
    durable_.write(offset, bytes);
}

}  // namespace cowtgt::sim
