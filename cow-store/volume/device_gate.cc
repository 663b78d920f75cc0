#include "cow-store/volume/device_gate.h"

#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

DeviceGate::DeviceGate(BlockDevice& device) : device_(&device), geometry_(device.geometry()) {}

DeviceGate::~DeviceGate() {
    CHECK(first_ == nullptr);
}

void DeviceGate::close() {
    CHECK(device_ != nullptr);
    geometry_ = device_->geometry();
    device_ = nullptr;
}

void DeviceGate::open(BlockDevice& device) {
    CHECK(device_ == nullptr && !given_up_);
    device_ = &device;
    BlockRequest* waiting = std::exchange(first_, nullptr);
    last_ = nullptr;
    while (waiting != nullptr) {
        BlockRequest& request = *waiting;
        waiting = std::exchange(request.device_slot.next, nullptr);
        device.submit(request);
    }
}

void DeviceGate::give_up() {
    CHECK(device_ == nullptr);
    given_up_ = true;
}

bool DeviceGate::answer_refused() {
    if (!given_up_ || first_ == nullptr) return false;
    BlockRequest* waiting = std::exchange(first_, nullptr);
    last_ = nullptr;
    while (waiting != nullptr) {
        BlockRequest& request = *waiting;
        waiting = std::exchange(request.device_slot.next, nullptr);
        request.done(request, {BlockStatus::io_error, 0});
    }
    return true;
}

Geometry DeviceGate::geometry() const {
    return device_ == nullptr ? geometry_ : device_->geometry();
}

void DeviceGate::submit(BlockRequest& request) {
    if (device_ != nullptr) {
        device_->submit(request);
        return;
    }
    request.device_slot.next = nullptr;
    (first_ == nullptr ? first_ : last_->device_slot.next) = &request;
    last_ = &request;
}

ProvisioningRun DeviceGate::provisioning(Lba first, BlockCount wanted) const {
    if (device_ == nullptr) return {wanted, Provisioning::mapped};
    return device_->provisioning(first, wanted);
}

std::optional<std::uint64_t> DeviceGate::available_bytes() const {
    return device_ == nullptr ? std::nullopt : device_->available_bytes();
}

std::optional<std::uint64_t> DeviceGate::allocated_bytes() const {
    return device_ == nullptr ? std::nullopt : device_->allocated_bytes();
}

}  // namespace cowtgt
