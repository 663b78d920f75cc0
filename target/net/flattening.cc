#include "target/net/flattening.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt::net {

struct alignas(4096) Flattening::Buffer {
    std::array<std::byte, step_bytes> bytes;
};

Flattening::Flattening() = default;

Flattening::~Flattening() {
    CHECK(!in_volume_);
}

void Flattening::begin(Volume& volume, Ended ended) {
    ended_ = std::move(ended);
    if (!buffer_) buffer_ = std::make_unique<Buffer>();
    is_under_way_ = true;
    position_ = 0;
    discards_ = in_volume_;
    volume_ = &volume;
    step();
}

void Flattening::pause() {
    volume_ = nullptr;
    discards_ = in_volume_;
}

void Flattening::go_on(Volume& volume) {
    if (!is_under_way_) return;
    volume_ = &volume;
    step();
}

void Flattening::stop() {
    pause();
    is_under_way_ = false;
}

void Flattening::second_passed() {
    budget_ = bytes_per_second_max;
    step();
}

bool Flattening::may_step() const {
    return is_under_way_ && volume_ != nullptr && !in_volume_ && budget_ > 0;
}

void Flattening::step() {
    while (may_step()) {
        const Volume::Stretch stretch = volume_->below_live(position_, step_bytes);
        position_ = stretch.offset;
        if (stretch.length > 0) {
            read(stretch);
            return;
        }
        const Geometry geometry = volume_->geometry();
        if (position_ >= geometry.block_count.value * geometry.block_size) {
            end({});
            return;
        }
        budget_ -= std::min(budget_, look_cost);
    }
}

void Flattening::read(const Volume::Stretch& stretch) {
    const std::uint64_t block_size = volume_->geometry().block_size;
    length_ = stretch.length;
    budget_ -= std::min(budget_, length_);
    request_.operation = BlockOperation::read;
    request_.first_block = Lba{position_ / block_size};
    request_.block_count = BlockCount{length_ / block_size};
    request_.data = MutableBytes(buffer_->bytes).first(length_);
    request_.owner = this;
    request_.done = read_done;
    in_volume_ = true;
    volume_->submit(request_);
}

/// Whether the step goes on with this outcome.
bool Flattening::take_back(const BlockOutcome& outcome) {
    in_volume_ = false;
    if (std::exchange(discards_, false)) {
        step();
        return false;
    }
    if (outcome.status == BlockStatus::good) return true;
    end(outcome);
    return false;
}

void Flattening::read_done(BlockRequest& request, const BlockOutcome& outcome) {
    Flattening& self = *static_cast<Flattening*>(request.owner);
    if (!self.take_back(outcome)) return;
    request.operation = BlockOperation::write;
    request.done = fill_done;
    self.in_volume_ = true;
    self.volume_->fill(request);
}

void Flattening::fill_done(BlockRequest& request, const BlockOutcome& outcome) {
    Flattening& self = *static_cast<Flattening*>(request.owner);
    if (!self.take_back(outcome)) return;
    self.position_ += self.length_;
    self.step();
}

void Flattening::end(const BlockOutcome& outcome) {
    is_under_way_ = false;
    ended_(outcome);
}

}  // namespace cowtgt::net
