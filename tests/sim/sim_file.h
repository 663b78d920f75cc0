#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "cow-store/file.h"

namespace cowtgt::sim {

inline constexpr std::uint64_t sector_size = 512;  ///< what a device writes atomically, bytes

using Random = std::mt19937_64;
/// A number below `bound`, the same with every standard library.
std::uint64_t below(Random& random, std::uint64_t bound);

/// The content of a file. Copies share their pages.
class Image {
public:
    void read(std::uint64_t offset, MutableBytes into) const;
    void write(std::uint64_t offset, Bytes from);
    std::uint64_t size = 0;

private:
    using Page = std::array<std::byte, 4096>;
    std::map<std::uint64_t, std::shared_ptr<const Page>> pages_;
};

enum class CutKind {
    process_death,  ///< what was written stays; requests under way land later or never
    power_loss,     ///< what was not synced is kept, dropped or torn, sector by sector
};

/// The first operation of this kind from number `after` on fails; `times` of them do.
struct Fault {
    FileOperation::Kind kind = FileOperation::Kind::write;
    std::uint64_t after = 0;
    std::uint64_t times = 1;
    int os_errno = 5;
    bool partly = false;  ///< a write: some of its first sectors land, as of a short write whose
                          ///< rest fails
};

/// One file on a simulated disk: both interfaces over the same bytes.
///
/// Asynchronous operations are under way until complete_one() picks one at random; a write lands
/// when it completes, and becomes durable with a sync that was submitted after that.
/// Steps: every submission, completion and direct call is one; `on_step` sees the disk at each.
class File final : public cowtgt::File, public AsyncFile {
public:
    explicit File(std::uint64_t seed) : random_(seed) {}
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    // cowtgt::File
    Result<void> read_at(std::uint64_t offset, MutableBytes into) override;
    Result<void> write_at(std::uint64_t offset, Bytes from) override;
    Result<void> allocate(std::uint64_t offset, std::uint64_t length) override;
    Result<void> punch_hole(std::uint64_t offset, std::uint64_t length) override;
    Result<void> sync_data() override;
    Result<void> drop_cache() override;
    Result<std::uint64_t> size() override { return current_.size; }
    std::uint64_t inode() const override { return inode_number; }

    // AsyncFile
    void submit(FileOperation& operation) override;
    bool read_now(std::uint64_t offset, MutableBytes into) override;
    LentBytes lend(std::uint64_t offset, std::uint64_t length) override;
    int append_now(std::uint64_t offset, Bytes from) override;
    DirectIoAlignment alignment() const override { return alignment_wanted; }

    bool idle() const { return flights_.empty(); }
    /// Requires: not idle().
    void complete_one();

    /// What is found after a cut at this moment, with its own randomness.
    std::unique_ptr<File> after_cut(CutKind kind, std::uint64_t seed) const;
    /// For tests that damage what lies there: changes it as if it had always been so.
    void overwrite(std::uint64_t offset, Bytes bytes);
    std::uint64_t allocated_bytes() const { return allocated_.size() * 4096; }

    std::function<void()> on_step;
    /// Counts operations from now on, and lets some of them fail.
    void arm(std::vector<Fault> faults);
    /// Operations of this kind since arm(), or from the beginning.
    std::uint64_t asked_for(FileOperation::Kind kind) const {
        return seen_[static_cast<std::size_t>(kind)];
    }
    std::uint64_t faults_hit = 0;
    std::uint64_t appends_left = ~std::uint64_t{0};    ///< append_now() fails after so many
    bool appends_fail_partly = false;                  ///< and then some of its bytes land
    std::uint64_t broken_off = 0;                      ///< failed writes of which some landed
    std::uint64_t capacity_bytes = ~std::uint64_t{0};  ///< of the host file system
    std::uint64_t inode_number = 17;
    DirectIoAlignment alignment_wanted;
    /// A failed sync loses some of what it was for, which stays in the page cache all the same.
    bool failed_syncs_lose = false;
    bool cached = false;  ///< read_now() succeeds every second time
    bool lends = false;   ///< all of it is in memory and never changes
    std::uint64_t steps = 0;

private:
    struct Sector {
        std::uint64_t number = 0;
        std::array<std::byte, sector_size> bytes{};
    };
    /// A write that is in the kernel or the device but not certainly durable.
    struct Landed {
        std::uint64_t order = 0;
        std::vector<Sector> sectors;  ///< as a whole, after the write
    };
    struct Flight {
        FileOperation* operation = nullptr;
        std::vector<std::byte> data;      ///< of a write, as submitted
        std::uint64_t landed_before = 0;  ///< of a sync: what it covers
        std::uint64_t size_before = 0;
    };

    void step();
    const Fault* injected(FileOperation::Kind kind);  ///< null: it works
    int injected_errno(FileOperation::Kind kind);
    /// The same for a write, which may land in part.
    int injected_into_write(std::uint64_t offset, Bytes from);
    void land_partly(std::uint64_t offset, Bytes part);
    int claim(std::uint64_t offset, std::uint64_t length);
    void disclaim(std::uint64_t offset, std::uint64_t length);
    void land(std::uint64_t offset, Bytes bytes);
    void make_durable(std::uint64_t landed_before, std::uint64_t size);
    void lose_some(std::uint64_t landed_before, std::uint64_t size);
    int perform(Flight& flight);

    Random random_;
    std::vector<Fault> faults_;
    Image current_, durable_;
    std::vector<Landed> landed_;
    std::uint64_t landed_count_ = 0;
    std::vector<Flight> flights_;
    std::set<std::uint64_t> lost_;         ///< sectors that the page cache only has, written or not
    std::set<std::uint64_t> allocated_;    ///< pages of 4096 bytes
    std::array<std::uint64_t, 5> seen_{};  ///< operations, by kind
};

}  // namespace cowtgt::sim
