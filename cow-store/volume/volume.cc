#include "cow-store/volume/volume.h"

#include <utility>

#include "cow-store/volume/engine.h"

namespace cowtgt {

Volume::Volume(RecoveredLayer layer, AsyncFile& live, SealedLayers below, BaseImage base,
               VolumeOptions options)
    : engine_(std::make_unique<Engine>(*this, std::move(layer), live, std::move(below), base,
                                       options)) {}
Volume::~Volume() = default;

Geometry Volume::geometry() const {
    return engine_->geometry();
}
void Volume::submit(BlockRequest& request) {
    engine_->submit(request, Engine::WriteKind::anywhere);
}
void Volume::fill(BlockRequest& request) {
    engine_->submit(request, Engine::WriteKind::where_inherited);
}
Volume::Stretch Volume::below_live(std::uint64_t offset, std::uint64_t most) const {
    return engine_->below_live(offset, most);
}
ProvisioningRun Volume::provisioning(Lba first, BlockCount wanted) const {
    return engine_->provisioning(first, wanted);
}
bool Volume::run_ready() {
    return engine_->run_ready();
}
void Volume::close(CloseDone done) {
    engine_->close(std::move(done));
}
std::optional<std::uint64_t> Volume::allocated_bytes() const {
    return engine_->allocated_bytes();
}

std::optional<std::uint64_t> Volume::available_bytes() const {
    return engine_->available_bytes();
}
void Volume::set_space_max(std::uint64_t bytes) {
    engine_->set_space_max(bytes);
}

VolumeStatistics Volume::statistics() const {
    return engine_->statistics();
}
const LayerSummary& Volume::layer() const {
    return engine_->summary();
}

}  // namespace cowtgt
