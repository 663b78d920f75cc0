#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "cow-store/volume/volume.h"
#include "tests/sim/history.h"

namespace cowtgt {

/// A volume over a simulated file, driven request by request.
class Machine {
public:
    explicit Machine(std::uint64_t virtual_size, sim::File* base = nullptr,
                     std::uint64_t base_size = 0)
        : file(7), base_(base), base_size_(base_size) {
        LayerSpec spec;
        spec.uuid.bytes = {8};
        spec.virtual_size = virtual_size;
        spec.parent.overlap_limit = base_size;
        EXPECT_TRUE(create_layer(file, spec));
        open();
    }

    void open(std::uint64_t space_max = no_space_limit) {
        OpenContext context;
        context.boot_id = sim::boot_id_of(1);
        Result<RecoveredLayer> layer = open_layer(file, context);
        ASSERT_TRUE(layer) << layer.error().message;
        VolumeOptions options;
        options.space_max_bytes = space_max;
        volume = std::make_unique<Volume>(std::move(*layer), file, SealedLayers{},
                                          BaseImage{base_, base_size_}, options);
    }

    /// As somebody who has read `count` blocks that hold `read` and then fills them in.
    BlockStatus fill_in(std::uint64_t first_block, std::uint64_t count, std::byte read) {
        return run(BlockOperation::write, first_block, count, read, &Volume::fill).status;
    }
    BlockOutcome run(BlockOperation operation, std::uint64_t first_block, std::uint64_t count,
                     std::byte fill = std::byte{0},
                     void (Volume::*submit)(BlockRequest&) = &Volume::submit) {
        BlockRequest request;
        request.operation = operation;
        request.first_block = Lba{first_block};
        request.block_count = BlockCount{count};
        if (operation == BlockOperation::read || operation == BlockOperation::write) {
            request.data = MutableBytes(buffer->bytes).first(count * 512);
        }
        if (operation == BlockOperation::write) std::ranges::fill(request.data, fill);
        struct Answer {
            bool given = false;
            BlockOutcome outcome;
        } answer;
        request.owner = &answer;
        request.may_be_lent = may_be_lent;
        request.done = [](BlockRequest& done, const BlockOutcome& outcome) {
            *static_cast<Answer*>(done.owner) = {true, outcome};
        };
        ((*volume).*submit)(request);
        EXPECT_FALSE(answer.given);
        turn_until([&] { return answer.given; });
        lent = request.lent;
        return answer.outcome;
    }
    BlockStatus write(std::uint64_t block, std::uint64_t count, std::byte fill) {
        return run(BlockOperation::write, block, count, fill).status;
    }
    std::byte first_byte(std::uint64_t block) {
        EXPECT_EQ(run(BlockOperation::read, block, 1).status, BlockStatus::good);
        return buffer->bytes[0];
    }
    BlockStatus close() {
        BlockStatus status = BlockStatus::io_error;
        bool closed = false;
        volume->close([&](const BlockOutcome& outcome) {
            status = outcome.status;
            closed = true;
        });
        turn_until([&] { return closed; });
        return status;
    }
    template <typename Done>
    void turn_until(Done done) {
        while (!done()) {
            while (volume->run_ready()) {
            }
            if (done()) return;
            if (!file.idle()) {
                file.complete_one();
            } else if (base_ != nullptr && !base_->idle()) {
                base_->complete_one();
            }
        }
    }

    sim::File file;
    sim::File* base_;
    std::uint64_t base_size_;
    std::unique_ptr<Volume> volume;
    bool may_be_lent = false;  ///< of what run() asks for
    LentBytes lent;            ///< by the last one
    struct alignas(4096) Buffer {
        std::array<std::byte, 64 * 1024> bytes{};
    };
    std::unique_ptr<Buffer> buffer = std::make_unique<Buffer>();
};

}  // namespace cowtgt
