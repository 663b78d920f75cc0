// What is written over iSCSI is what is read: through libiscsi (header digest, ImmediateData,
// InitialR2T) and through our own initiator (both digests, burst and segment lengths), in sizes
// from a block to the largest transfer.

#include <gtest/gtest.h>

// libiscsi's headers are C and name no lengths; this order is the one they need.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr std::uint64_t disk_bytes = 64U << 20;
constexpr std::array<std::uint32_t, 9> sizes = {
    512, 4096, 4096 + 512, 65536, 65536 + 512, 262144, 262144 + 512, 1U << 20, 8U << 20,
};

/// One daemon for all cases; each begins with content of its own.
class DataMatrix : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        daemon = std::make_unique<Daemon>();
        daemon->make_template("blank", disk_bytes);
        daemon->command({"clone", "blank", "web01"});
        daemon->start();
    }
    static void TearDownTestSuite() {
        daemon->stop();
        daemon.reset();
    }

    static std::vector<std::uint8_t> noise(std::size_t size, std::uint32_t seed) {
        std::mt19937 random(seed);
        std::vector<std::uint8_t> data(size);
        for (std::uint8_t& byte : data)
            byte = static_cast<std::uint8_t>(random());
        return data;
    }

    static std::unique_ptr<Daemon> daemon;
};
std::unique_ptr<Daemon> DataMatrix::daemon;

// ---- libiscsi

using LibiscsiCase = std::tuple<iscsi_header_digest, iscsi_immediate_data, iscsi_initial_r2t>;
class Libiscsi : public DataMatrix, public ::testing::WithParamInterface<LibiscsiCase> {};
INSTANTIATE_TEST_SUITE_P(
    Settings, Libiscsi,
    ::testing::Combine(::testing::Values(ISCSI_HEADER_DIGEST_NONE, ISCSI_HEADER_DIGEST_CRC32C),
                       ::testing::Values(ISCSI_IMMEDIATE_DATA_NO, ISCSI_IMMEDIATE_DATA_YES),
                       ::testing::Values(ISCSI_INITIAL_R2T_NO, ISCSI_INITIAL_R2T_YES)));

TEST_P(Libiscsi, WhatIsWrittenIsRead) {
    const auto [digest, immediate, initial_r2t] = GetParam();
    struct Destroy {
        void operator()(iscsi_context* context) const { iscsi_destroy_context(context); }
    };
    const std::unique_ptr<iscsi_context, Destroy> context(
        iscsi_create_context("iqn.2026-01.test:matrix"));
    iscsi_set_targetname(context.get(), daemon->target("web01").c_str());
    iscsi_set_session_type(context.get(), ISCSI_SESSION_NORMAL);
    iscsi_set_header_digest(context.get(), digest);
    iscsi_set_immediate_data(context.get(), immediate);
    iscsi_set_initial_r2t(context.get(), initial_r2t);
    iscsi_set_noautoreconnect(context.get(), 1);
    ASSERT_EQ(iscsi_full_connect_sync(context.get(), daemon->portal().c_str(), 0), 0)
        << iscsi_get_error(context.get());
    std::uint32_t seed = static_cast<std::uint32_t>(digest) * 100 +
                         static_cast<std::uint32_t>(immediate) * 10 +
                         static_cast<std::uint32_t>(initial_r2t);
    for (const std::uint32_t size : sizes) {
        SCOPED_TRACE(size);
        std::vector<std::uint8_t> data = noise(size, ++seed);
        const std::uint64_t lba = seed % 7;
        struct Free {
            void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
        };
        const std::unique_ptr<scsi_task, Free> written(iscsi_write16_sync(
            context.get(), 0, lba, data.data(), size, block_size, 0, 0, 0, 0, 0));
        ASSERT_TRUE(written);
        ASSERT_EQ(written->status, SCSI_STATUS_GOOD);
        const std::unique_ptr<scsi_task, Free> read(
            iscsi_read16_sync(context.get(), 0, lba, size, block_size, 0, 0, 0, 0, 0));
        ASSERT_TRUE(read);
        ASSERT_EQ(read->status, SCSI_STATUS_GOOD);
        ASSERT_EQ(read->datain.size, static_cast<int>(size));
        EXPECT_TRUE(std::equal(data.begin(), data.end(), read->datain.data));
    }
    iscsi_logout_sync(context.get());
}

// ---- our own initiator

struct OwnCase {
    const char* header_digest;
    const char* data_digest;
    const char* initial_r2t;
    const char* immediate_data;
    std::uint32_t segment, first_burst, max_burst;  ///< bytes
};
class OwnInitiator : public DataMatrix, public ::testing::WithParamInterface<OwnCase> {};

std::vector<OwnCase> own_cases() {
    constexpr std::uint32_t max = (1U << 24) - 1;
    std::vector<OwnCase> cases;
    for (const char* header : {"None", "CRC32C"}) {
        for (const char* data : {"None", "CRC32C"}) {
            for (const char* r2t : {"Yes", "No"}) {
                for (const char* immediate : {"Yes", "No"}) {
                    cases.push_back({header, data, r2t, immediate, 512, 512, 512});
                    cases.push_back({header, data, r2t, immediate, 1536, 2048, 10240});
                    cases.push_back({header, data, r2t, immediate, 8192, 65536, 262144});
                    cases.push_back({header, data, r2t, immediate, 262144, 262144, 16776192});
                    cases.push_back({header, data, r2t, immediate, max, max, max});
                }
            }
        }
    }
    return cases;
}
INSTANTIATE_TEST_SUITE_P(Settings, OwnInitiator, ::testing::ValuesIn(own_cases()));

std::vector<std::uint8_t> cdb16(std::uint8_t operation, std::uint64_t lba, std::uint32_t blocks) {
    std::vector<std::uint8_t> cdb(16);
    cdb[0] = operation;
    for (std::size_t i = 0; i < 8; ++i)
        cdb[2 + i] = static_cast<std::uint8_t>(lba >> (56 - 8 * i));
    for (std::size_t i = 0; i < 4; ++i)
        cdb[10 + i] = static_cast<std::uint8_t>(blocks >> (24 - 8 * i));
    return cdb;
}

TEST_P(OwnInitiator, WhatIsWrittenIsRead) {
    constexpr std::uint8_t read_16 = 0x88, write_16 = 0x8a;
    // Thousands of PDUs are enough.
    constexpr std::uint32_t small_segment_max = 1536, small_pdus_size_max = 262144 + 512;
    const OwnCase& row = GetParam();
    test::InitiatorSettings settings;
    settings.target_name = daemon->target("web01");
    settings.header_digest = row.header_digest;
    settings.data_digest = row.data_digest;
    settings.initial_r2t = row.initial_r2t;
    settings.immediate_data = row.immediate_data;
    settings.max_recv_data_segment_length = row.segment;
    settings.first_burst_length = row.first_burst;
    settings.max_burst_length = row.max_burst;
    SocketInitiator initiator(daemon->portal(), settings);
    ASSERT_EQ(initiator.log_in(), 0);
    test::IscsiInitiator& protocol = initiator.protocol();
    // The first command of a nexus may be answered with a unit attention.
    initiator.run({.cdb = std::vector<std::uint8_t>(6)});
    std::uint32_t seed = row.segment + row.first_burst;
    for (const std::uint32_t size : sizes) {
        if (row.segment <= small_segment_max && size > small_pdus_size_max) continue;
        SCOPED_TRACE(size);
        const std::vector<std::uint8_t> data = noise(size, ++seed);
        const Bytes bytes = std::as_bytes(std::span(data));
        const std::uint64_t lba = seed % 11;
        const auto written = initiator.run({.cdb = cdb16(write_16, lba, size / block_size),
                                            .data_out = {bytes.begin(), bytes.end()}});
        ASSERT_EQ(written.status, 0);
        EXPECT_FALSE(written.underflow || written.overflow);
        const auto read =
            initiator.run({.cdb = cdb16(read_16, lba, size / block_size), .read_length = size});
        ASSERT_EQ(read.status, 0);
        EXPECT_TRUE(
            std::equal(bytes.begin(), bytes.end(), read.data_in.begin(), read.data_in.end()));
    }
    EXPECT_TRUE(protocol.violations().empty()) << protocol.violations().front();
    protocol.send_logout(0);
    EXPECT_TRUE(initiator.run_until([&] { return initiator.is_closed(); }));
}

}  // namespace
}  // namespace cowtgt::e2e
