// A device that is exchanged under its users.

#include "cow-store/volume/device_gate.h"

#include <gtest/gtest.h>

#include <vector>

namespace cowtgt {
namespace {

class Device final : public BlockDevice {
public:
    explicit Device(std::uint64_t blocks) : blocks_(blocks) {}
    Geometry geometry() const override { return {512, 4096, BlockCount{blocks_}}; }
    void submit(BlockRequest& request) override { taken.push_back(&request); }
    ProvisioningRun provisioning(Lba, BlockCount) const override {
        return {BlockCount{1}, Provisioning::deallocated};
    }
    std::vector<BlockRequest*> taken;

private:
    std::uint64_t blocks_;
};

TEST(DeviceGate, RequestsWaitInTheirOrderForTheNextDevice) {
    Device before(8);
    Device after(16);
    DeviceGate gate(before);
    BlockRequest first, second, third, fourth;
    gate.submit(first);
    gate.close();
    gate.submit(second);
    gate.submit(third);
    EXPECT_EQ(before.taken, std::vector<BlockRequest*>{&first});
    EXPECT_EQ(gate.geometry().block_count.value, 8U);
    EXPECT_EQ(gate.provisioning(Lba{0}, BlockCount{5}).state, Provisioning::mapped);
    EXPECT_EQ(gate.provisioning(Lba{0}, BlockCount{5}).block_count.value, 5U);
    gate.open(after);
    gate.submit(fourth);
    EXPECT_EQ(after.taken, (std::vector<BlockRequest*>{&second, &third, &fourth}));
    EXPECT_EQ(gate.geometry().block_count.value, 16U);
    EXPECT_EQ(gate.provisioning(Lba{0}, BlockCount{5}).state, Provisioning::deallocated);
}

TEST(DeviceGate, AGateThatIsGivenUpAnswersErrorsLater) {
    Device device(8);
    DeviceGate gate(device);
    gate.close();
    std::vector<BlockStatus> answers;
    BlockRequest request;
    request.owner = &answers;
    request.done = [](BlockRequest& asked, const BlockOutcome& outcome) {
        static_cast<std::vector<BlockStatus>*>(asked.owner)->push_back(outcome.status);
    };
    gate.submit(request);
    EXPECT_FALSE(gate.answer_refused());
    gate.give_up();
    EXPECT_TRUE(answers.empty());
    EXPECT_TRUE(gate.answer_refused());
    EXPECT_EQ(answers, std::vector<BlockStatus>{BlockStatus::io_error});
    EXPECT_FALSE(gate.answer_refused());
}

}  // namespace
}  // namespace cowtgt
