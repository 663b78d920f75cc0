#include <gtest/gtest.h>

#include <cstdint>
#include <variant>
#include <vector>

#include "cow-store/map/cluster_map.h"
#include "tests/unit/volume/machine.h"

/// How many syncs a flush takes, and what has to wait for one (FORMAT.md, "Commits with hashes").
namespace cowtgt {
namespace {

constexpr std::uint64_t disk_bytes = 64 << 20;
constexpr std::uint64_t whole = 8;  ///< blocks of a cluster

std::uint64_t syncs_of_flush(Machine& machine) {
    const std::uint64_t before = machine.file.asked_for(FileOperation::Kind::sync_data);
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    return machine.file.asked_for(FileOperation::Kind::sync_data) - before;
}

void write(Machine& machine, std::uint64_t block, std::uint64_t blocks, int fill) {
    ASSERT_EQ(machine.write(block, blocks, static_cast<std::byte>(fill)), BlockStatus::good);
}

TEST(Flush, OfNewClustersIsOneSync) {
    Machine machine(disk_bytes);
    for (std::uint64_t i = 0; i < 20; ++i) {
        write(machine, i * 80, whole, 1);
        write(machine, i * 80 + whole, whole, 2);
        EXPECT_EQ(syncs_of_flush(machine), 1U) << i;
    }
    EXPECT_EQ(machine.volume->statistics().hashed_commits, 20U);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 0U);
}

TEST(Flush, OfADeallocationIsOneSync) {
    Machine machine(disk_bytes);
    write(machine, 0, 16, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, 16).status, BlockStatus::good);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
}

TEST(Flush, OfAnOverwriteBeforeItHashesWhatIsThereInTheEnd) {
    Machine machine(disk_bytes);
    write(machine, 0, whole, 1);
    write(machine, 0, whole, 2);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    write(machine, 80, whole, 1);
    write(machine, 81, 1, 2);  // nobody has the whole cluster at hand
    EXPECT_EQ(syncs_of_flush(machine), 2U);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 0U);
}

TEST(Flush, OfPartsOfClustersIsTwoSyncs) {
    Machine machine(disk_bytes);
    write(machine, 3, 1, 1);
    EXPECT_EQ(syncs_of_flush(machine), 2U);
}

TEST(Flush, OfManyClustersIsTwoSyncs) {
    Machine machine(disk_bytes);
    for (std::uint64_t i = 0; i < 128; ++i)
        write(machine, i * whole, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    for (std::uint64_t i = 0; i < 129; ++i)
        write(machine, 8192 + i * whole, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 2U);
}

/// Write, flush, overwrite, flush: three syncs with and without hashes, so for a while without.
TEST(Flush, AnOverwriteOfWhatWasJustFlushedWaitsForOneSync) {
    Machine machine(disk_bytes);
    write(machine, 0, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    const std::uint64_t before = machine.file.asked_for(FileOperation::Kind::sync_data);
    write(machine, 0, 1, 2);
    EXPECT_EQ(machine.file.asked_for(FileOperation::Kind::sync_data) - before, 1U);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 1U);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    for (std::uint64_t i = 1; i <= VolumeOptions{}.commits_without_hashes; ++i) {
        write(machine, i * 80, whole, 1);
        EXPECT_EQ(syncs_of_flush(machine), 2U) << i;
        write(machine, i * 80, whole, 2);
    }
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 1U);
    write(machine, 8000, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
}

TEST(Flush, TheNextFlushConfirmsTheLastOne) {
    Machine machine(disk_bytes);
    write(machine, 0, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    write(machine, 80, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    write(machine, 0, whole, 2);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 0U);
    write(machine, 80, whole, 2);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 1U);
}

TEST(Flush, PartOfAClusterThatIsDeallocatedWaitsToo) {
    Machine machine(disk_bytes);
    write(machine, 0, whole, 1);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, 4).status, BlockStatus::good);
    EXPECT_EQ(machine.volume->statistics().held_overwrites, 1U);
    EXPECT_EQ(machine.first_byte(3), std::byte{0});
    EXPECT_EQ(machine.first_byte(4), std::byte{1});
}

/// A fill leaves alone what the guest wrote meanwhile; its own data is not what lies there.
TEST(Flush, OfAWriteThatAFillPassesOverSurvivesAPowerLoss) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 1 << 20);
    write(machine, whole, whole, 1);
    EXPECT_EQ(machine.fill_in(0, 4 * whole, std::byte{7}), BlockStatus::good);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    const auto found = machine.file.after_cut(sim::CutKind::power_loss, 1);
    OpenContext context;
    context.boot_id = sim::boot_id_of(2);
    const Result<RecoveredLayer> layer = open_layer(*found, context);
    ASSERT_TRUE(layer) << layer.error().message;
    const Extent extent = layer->map().find(ClusterIndex{0}, ClusterCount{4});
    EXPECT_TRUE(std::holds_alternative<InLayer>(extent.place));
    const Chain chain{1 << 20, {{&layer->map(), found.get(), 1 << 20}}, &base, 1 << 20};
    std::array<std::byte, 1> byte{};
    ASSERT_TRUE(read_chain(chain, cluster_size, byte));
    EXPECT_EQ(byte[0], std::byte{1});
}

/// The sync makes the size of the file durable too, and zeros are what is read behind its end.
TEST(Flush, OfAUnitBehindTheEndOfTheFileNeverCameBack) {
    Machine machine(disk_bytes);
    for (std::uint64_t i = 0; i < 512; ++i)
        write(machine, i * 128, 128, 1);  // past the ring, which is made with the first write
    syncs_of_flush(machine);
    const std::uint64_t last = disk_bytes / cluster_size - 1;
    write(machine, last * whole, whole, 0);
    EXPECT_EQ(syncs_of_flush(machine), 1U);
    OpenContext context;
    context.boot_id = sim::boot_id_of(2);
    const auto place_in = [&context](sim::File& file, std::uint64_t cluster) {
        const Result<RecoveredLayer> layer = open_layer(file, context);
        EXPECT_TRUE(layer) << layer.error().message;
        return layer->map().find(ClusterIndex{cluster}, ClusterCount{1}).place;
    };
    const auto intact = machine.file.after_cut(sim::CutKind::power_loss, 1);
    const auto place = place_in(*intact, last);
    ASSERT_TRUE(std::holds_alternative<InLayer>(place));

    std::vector<std::byte> bytes(byte_offset(std::get<InLayer>(place).unit));
    ASSERT_TRUE(machine.file.read_at(0, bytes));
    sim::File shorter(2);
    shorter.overwrite(0, bytes);
    EXPECT_FALSE(std::holds_alternative<InLayer>(place_in(shorter, last)));
    EXPECT_TRUE(std::holds_alternative<InLayer>(place_in(shorter, 0)));
}

/// Old programs read a layer that is closed.
TEST(Flush, TheFeatureIsInTheSuperblockWhileTheLayerIsOpen) {
    Machine machine(disk_bytes);
    const auto incompatible = [&machine] {
        DiskSuperblock disk;
        EXPECT_TRUE(machine.file.read_at(
            0, MutableBytes(reinterpret_cast<std::byte*>(&disk), sizeof disk)));
        return disk.incompatible_features.get();
    };
    EXPECT_EQ(incompatible(), 0U);
    write(machine, 0, whole, 1);
    EXPECT_EQ(incompatible(), feature_hashed_commits);
    machine.open();  // after a death
    EXPECT_EQ(incompatible(), 0U);
    write(machine, 0, whole, 2);
    EXPECT_EQ(incompatible(), feature_hashed_commits);
    EXPECT_EQ(machine.close(), BlockStatus::good);
    EXPECT_EQ(incompatible(), 0U);
}

}  // namespace
}  // namespace cowtgt
