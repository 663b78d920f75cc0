#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t overwrite = 0x01;
constexpr std::uint8_t block_erase = 0x02;
constexpr std::uint8_t cryptographic_erase = 0x03;
constexpr std::uint8_t exit_failure_mode = 0x1f;
constexpr std::uint8_t immediate = 0x80;
constexpr std::uint8_t unrestricted_exit = 0x20;

constexpr std::string_view sanitize_failed =
    "70 00 03 00 00 00 00 0a 00 00 00 00 31 03 00 00 00 00";

Octets sanitize_cdb(unsigned action, std::size_t list_bytes = 0) {
    Octets cdb = hex("48 00 00 00 00 00 00 0000 00");
    cdb[1] = static_cast<std::uint8_t>(action);
    cdb[7] = static_cast<std::uint8_t>(list_bytes >> 8);
    cdb[8] = static_cast<std::uint8_t>(list_bytes);
    return cdb;
}

Octets pattern_list(std::uint8_t flags, const Octets& pattern) {
    Octets list{flags, 0, static_cast<std::uint8_t>(pattern.size() >> 8),
                static_cast<std::uint8_t>(pattern.size())};
    list.insert(list.end(), pattern.begin(), pattern.end());
    return list;
}

Answer send_overwrite(Driver& driver, std::uint8_t flags, const Octets& pattern,
                      unsigned cdb_flags = 0) {
    const Octets list = pattern_list(flags, pattern);
    return driver.send(sanitize_cdb(overwrite | cdb_flags, list.size()), list);
}

std::string in_progress(unsigned progress) {
    return "70 00 02 00 00 00 00 0a 00 00 00 00 04 1b 00 80 " +
           to_hex({static_cast<std::uint8_t>(progress >> 8), static_cast<std::uint8_t>(progress)});
}

TEST(Sanitize, OverwriteRepeatsThePatternFromBlockToBlock) {
    for (const Octets& pattern : {Octets{1, 2, 3, 4}, repeat(0xaa, 256), repeat(0xbb, 512)}) {
        Driver driver;
        driver.device.fill(100, 8, 0x77);
        const Answer answer = send_overwrite(driver, 1, pattern);
        EXPECT_TRUE(answer.good());
        EXPECT_EQ(answer.data_out_total, 4 + pattern.size());
        Octets expected;
        while (expected.size() < 512) {
            expected.insert(expected.end(), pattern.begin(), pattern.end());
        }
        for (std::uint64_t block : {0U, 100U, 8191U}) {
            EXPECT_EQ(driver.device.content(block, 1), expected) << block;
        }
        std::uint64_t position = 0;
        for (const BlockStep& step : answer.steps) {
            EXPECT_EQ(step.operation, BlockOperation::write);
            EXPECT_TRUE(step.force_unit_access);
            EXPECT_EQ(step.first_block.value, position);
            position += step.block_count.value;
        }
        EXPECT_EQ(position, 8192U);
    }
}

TEST(Sanitize, OverwriteMakesAsManyPassesAsAskedForAndInverts) {
    Driver driver;
    const Answer answer = send_overwrite(driver, 0x80 | 2, {0x0f});
    EXPECT_TRUE(answer.good());
    std::uint64_t blocks = 0;
    for (const BlockStep& step : answer.steps) {
        blocks += step.block_count.value;
    }
    EXPECT_EQ(blocks, 2 * 8192U);
    EXPECT_EQ(driver.device.content(5, 1), repeat(0xf0, 512));
}

TEST(Sanitize, OverwriteChecksItsList) {
    Driver driver;
    const auto refused = [&](const Octets& list) {
        return driver.send(sanitize_cdb(overwrite, list.size()), list).sense;
    };
    for (std::size_t bytes = 0; bytes <= 4; ++bytes) {
        EXPECT_EQ(refused(repeat(1, bytes)), invalid_field(7));
    }
    EXPECT_EQ(refused(repeat(1, 517)), invalid_field(7));
    EXPECT_EQ(refused(pattern_list(0, {1})), invalid_parameter(0, 4));
    EXPECT_EQ(refused(pattern_list(0x21, {1})), invalid_parameter(0, 6));
    EXPECT_EQ(refused({1, 0, 0, 0, 9}), invalid_parameter(2));
    EXPECT_EQ(refused({1, 0, 0, 2, 9}), invalid_parameter(2));
    EXPECT_EQ(driver.send(sanitize_cdb(overwrite, 8), repeat(1, 7)).sense,
              parameter_list_length_error);
    EXPECT_FALSE(driver.unit.has_background_work());
}

TEST(Sanitize, ErasingWritesZerosAndGivesTheSpaceBack) {
    for (std::uint8_t action : {block_erase, cryptographic_erase}) {
        Driver driver;
        driver.device.fill(8, 2000, 'a');
        driver.device.fill(8191, 1, 'a');
        const Answer answer = driver.send(sanitize_cdb(action));
        EXPECT_TRUE(answer.good());
        std::uint64_t written = 0;
        std::uint64_t given_back = 0;
        for (const BlockStep& step : answer.steps) {
            const bool writes = step.operation == BlockOperation::write;
            (writes ? written : given_back) += step.block_count.value;
        }
        EXPECT_EQ(written, 2001U);
        EXPECT_EQ(given_back, 8192U);
        EXPECT_EQ(driver.device.content(0, 8192), repeat(0, 8192 * 512));
        const ProvisioningRun run = driver.device.provisioning(Lba{0}, BlockCount{8192});
        EXPECT_EQ(run.block_count.value, 8192U);
        EXPECT_EQ(run.state, Provisioning::deallocated);
        EXPECT_EQ(driver.send(sanitize_cdb(action, 8), repeat(0, 8)).sense, invalid_field(7));
    }
}

TEST(Sanitize, AFullyProvisionedUnitCanOnlyBeOverwritten) {
    LogicalUnitConfig config = test_config();
    config.thin = false;
    Driver driver(config);
    EXPECT_EQ(driver.send(sanitize_cdb(block_erase)).sense, invalid_field(1, 4));
    EXPECT_TRUE(send_overwrite(driver, 1, {0x55}).good());
}

TEST(Sanitize, LetsLittleThroughWhileItRuns) {
    Driver driver;
    EXPECT_TRUE(send_overwrite(driver, 1, {0}, immediate).good());
    EXPECT_EQ(driver.send_hex("00 00 00 00 00 00").sense, in_progress(0));
    driver.run_background(4);  // of eight
    EXPECT_EQ(driver.send_hex("1b 01 00 00 01 00").sense, in_progress(0x8000));
    for (const char* cdb : {"00 00 00 00 00 00", "28 00 00000000 00 0001 00",
                            "25 00 00000000 0000 00 00", "48 02 00 00 00 00 00 0000 00"}) {
        EXPECT_EQ(driver.send_hex(cdb).sense.substr(0, 41), in_progress(0).substr(0, 41)) << cdb;
    }
    for (const char* cdb : {"12 00 00 0024 00", "a0 00 00 000000 00001000 00 00",
                            "a3 0c 00 00 0000 0000ffff 00 00", "4d 00 00 00 00 00 00 00ff 00"}) {
        EXPECT_TRUE(driver.send_hex(cdb).good()) << cdb;
    }
    EXPECT_EQ(to_hex(driver.send_hex("03 00 00 00 12 00").data).substr(0, 41),
              in_progress(0).substr(0, 41));
    driver.run_background();
    EXPECT_TRUE(driver.send_hex("00 00 00 00 00 00").good());
    EXPECT_TRUE(driver.send_hex("28 00 00000000 00 0001 00").good());
}

TEST(Sanitize, GoesOnThroughResetsAndTheLossOfItsNexus) {
    Driver driver;
    EXPECT_TRUE(send_overwrite(driver, 1, {0x11}, immediate).good());
    driver.run_background(1);
    driver.unit.reset(ResetKind::target_cold, {});
    driver.unit.remove_nexus(driver.first_nexus());
    EXPECT_TRUE(driver.unit.has_background_work());
    driver.run_background();
    EXPECT_EQ(driver.device.content(8191, 1), repeat(0x11, 512));
}

TEST(Sanitize, AfterAFailureTheMediumIsClosedUntilItIsSanitized) {
    Driver driver;
    driver.device.fail_at = 2;
    EXPECT_EQ(send_overwrite(driver, 1, {0}).sense, sanitize_failed);
    EXPECT_EQ(driver.send_hex("28 00 00000000 00 0001 00").sense, sanitize_failed);
    EXPECT_TRUE(driver.send_hex("1a 08 0a 00 ff 00").good());
    EXPECT_EQ(driver.send(sanitize_cdb(exit_failure_mode)).sense, invalid_field(1, 4));
    EXPECT_TRUE(send_overwrite(driver, 1, {0}).good());
    EXPECT_TRUE(driver.send_hex("28 00 00000000 00 0001 00").good());
}

TEST(Sanitize, ExitFailureModeEndsAnUnrestrictedFailure) {
    Driver driver;
    EXPECT_TRUE(driver.send(sanitize_cdb(exit_failure_mode)).good());
    EXPECT_EQ(driver.send(sanitize_cdb(exit_failure_mode, 8), repeat(0, 8)).sense,
              invalid_field(7));
    driver.device.fail_at = 2;
    EXPECT_EQ(send_overwrite(driver, 1, {0}, unrestricted_exit).sense, sanitize_failed);
    EXPECT_TRUE(driver.send(sanitize_cdb(exit_failure_mode)).good());
    EXPECT_TRUE(driver.send_hex("28 00 00000000 00 0001 00").good());
}

TEST(Sanitize, ARestartInTheMiddleIsAFailure) {
    LogicalUnitConfig config = test_config();
    config.keeps_state = true;
    Driver before(config);
    EXPECT_TRUE(send_overwrite(before, 1, {0}, immediate | unrestricted_exit).good());
    EXPECT_TRUE(before.unit.take_state_changed());
    config.kept_state = before.unit.state_to_keep();
    before.run_background();
    EXPECT_TRUE(before.unit.take_state_changed());
    EXPECT_EQ(before.unit.state_to_keep(), "cowtgt-unit 1\n");

    MemoryDevice device(test_geometry());
    LogicalUnit after(config, device);
    EXPECT_FALSE(after.has_background_work());
    EXPECT_EQ(after.state_to_keep(), "cowtgt-unit 1\nsanitize unrestricted\n");
}

TEST(Sanitize, ObeysReservationsAndWriteProtection) {
    Driver driver;
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    EXPECT_TRUE(driver.send_from(other, hex("16 00 00 00 00 00")).good());
    EXPECT_EQ(driver.send(sanitize_cdb(block_erase)).status, 0x18);
    LogicalUnitConfig config = test_config();
    config.read_only = true;
    Driver protected_driver(config);
    EXPECT_EQ(protected_driver.send(sanitize_cdb(block_erase)).sense,
              "70 00 07 00 00 00 00 0a 00 00 00 00 27 01 00 00 00 00");
}

}  // namespace
}  // namespace cowtgt::scsi::test
