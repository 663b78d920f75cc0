#pragma once

#include <cstdint>
#include <list>
#include <string>

#include "cow-store/volume/volume.h"
#include "tests/sim/disk_model.h"

namespace cowtgt::sim {

/// What random requests are like.
struct RequestMix {
    bool flushes = true;          ///< false: only writes with FUA ask for durability
    bool large = false;           ///< writes of 32 KiB
    bool flushes_often = false;   ///< every second request is a flush
    bool whole_clusters = false;  ///< all that changes something
};

/// Random requests on a volume: reads, writes of all sizes, deallocations, flushes, some with FUA.
/// The model learns when each of them begins and ends.
///
/// Threads: those of the volume. Ownership: all that it is given outlives it.
class Requests {
public:
    Requests(DiskModel& model, Value& next_value, Random& random, RequestMix mix)
        : model_(model), next_value_(next_value), random_(random), mix_(mix) {}

    /// Submits one more.
    void ask(Volume& volume);
    std::size_t under_way() const { return asked_.size(); }

    std::uint64_t answered_good = 0;
    std::uint64_t answered_otherwise = 0;
    std::string problem;  ///< of a read; empty: as it should be

private:
    static constexpr std::size_t bytes_max = 32 * 1024;  ///< of one request
    struct PageAligned {
        alignas(4096) std::array<std::byte, bytes_max> bytes;
    };
    struct Asked {
        BlockRequest request;
        PageAligned data;
        Window range;
        Value value = 0;
        DiskModel::FlushPoint flush_point;
        bool changes = false;  ///< write or deallocate
        Requests* requests = nullptr;
    };

    Window pick_range();
    void answered(Asked& asked, const BlockOutcome& outcome);
    void check_read(const Asked& asked);

    DiskModel& model_;
    Value& next_value_;
    Random& random_;
    RequestMix mix_;
    std::list<Asked> asked_;
};

}  // namespace cowtgt::sim
