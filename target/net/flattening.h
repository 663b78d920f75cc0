#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "cow-store/volume/volume.h"

namespace cowtgt::net {

/// Gives the live layer of an instance all that it still reads from below, so that it can do
/// without. Beside everything else that the volume does: one request at a time, at a bounded rate,
/// from the first byte to the last.
///
/// Each step reads what lies below and fills it in where it is inherited still, so what a machine
/// writes in between stays, and nothing has to wait for anything but its own blocks.
/// Threads: the ring's. Ownership: outlives the requests of the volume that it was given.
class Flattening {
public:
    /// Called once, at the end of the disk or with what failed; not after stop().
    using Ended = std::function<void(const BlockOutcome&)>;
    static constexpr std::uint64_t bytes_per_second_max = 128U << 20;

    Flattening();
    ~Flattening();

    /// From the beginning of the disk; what was filled in before is passed over.
    void begin(Volume& volume, Ended ended);
    /// The volume is about to close. The request that it has is done again with the next one, since
    /// what it was about may have moved below meanwhile.
    void pause();
    /// With the volume that came instead. Nothing to do for one that was not begun, or has ended.
    void go_on(Volume& volume);
    void stop();
    void second_passed();

    bool is_under_way() const { return is_under_way_; }
    std::uint64_t done_bytes() const { return position_; }

private:
    struct Buffer;
    static constexpr std::uint64_t step_bytes = 1U << 20;
    static constexpr std::uint64_t look_cost = 1U << 20;  ///< bytes of the budget

    bool may_step() const;
    void step();
    void read(const Volume::Stretch& stretch);
    static void read_done(BlockRequest& request, const BlockOutcome& outcome);
    static void fill_done(BlockRequest& request, const BlockOutcome& outcome);
    bool take_back(const BlockOutcome& outcome);
    void end(const BlockOutcome& outcome);

    Ended ended_;
    Volume* volume_ = nullptr;  ///< null: paused
    std::unique_ptr<Buffer> buffer_;
    BlockRequest request_;
    bool is_under_way_ = false;
    bool in_volume_ = false;                       ///< the request
    bool discards_ = false;                        ///< what becomes of it
    std::uint64_t position_ = 0;                   ///< bytes
    std::uint64_t length_ = 0;                     ///< of the step, bytes
    std::uint64_t budget_ = bytes_per_second_max;  ///< left of this second
};

}  // namespace cowtgt::net
