#pragma once

#include <cstdint>
#include <optional>

#include "cow-store/block/block_device.h"

namespace cowtgt {

/// A device behind which the real one can be exchanged, so that its users notice a pause at most:
/// while the gate is closed requests wait in it, in their order.
///
/// Ownership: the device behind outlives its time behind the gate.
/// Threads: the ring's.
class DeviceGate final : public BlockDevice {
public:
    /// The gate is open.
    explicit DeviceGate(BlockDevice& device);
    /// Requires: no request waits.
    ~DeviceGate() override;

    /// From now on requests wait. Those that the device has already are its own matter.
    void close();
    /// Lets everything through that waited, and whatever comes.
    void open(BlockDevice& device);
    /// There will be no device any more: everything is answered io_error, by answer_refused().
    void give_up();
    /// Answers what give_up() refused; true: there was something.
    bool answer_refused();
    bool is_open() const { return device_ != nullptr; }

    /// While the gate is closed, as it was before.
    Geometry geometry() const override;
    void submit(BlockRequest& request) override;
    /// While the gate is closed everything counts as mapped, which is always allowed.
    ProvisioningRun provisioning(Lba first, BlockCount wanted) const override;
    std::optional<std::uint64_t> allocated_bytes() const override;
    std::optional<std::uint64_t> available_bytes() const override;

private:
    BlockDevice* device_;  ///< null: closed
    Geometry geometry_;
    bool given_up_ = false;
    BlockRequest* first_ = nullptr;  ///< waiting, linked by device_slot.next
    BlockRequest* last_ = nullptr;
};

}  // namespace cowtgt
