// What one session does or an operator changes, and what the others hear of it: unit attentions on
// every nexus, reservations that outlive the daemon.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::uint8_t good = 0x00, reservation_conflict = 0x18;
const Octets test_unit_ready(6);
const Octets read_first_block = {0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0};
const Octets write_first_block = {0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0};

class NexusEvents : public ::testing::Test {
protected:
    NexusEvents() {
        daemon.configure("rings = 2");
        daemon.make_template("blank", 16U << 20);
        daemon.command({"clone", "blank", "web01"});
        daemon.start();
    }
    /// A session whose first unit attentions have been read.
    std::unique_ptr<SocketInitiator> log_in(const std::string& name, std::uint8_t isid = 1) {
        test::InitiatorSettings settings;
        settings.initiator_name = "iqn.2026-01.test:" + name;
        settings.target_name = daemon.target("web01");
        settings.isid[5] = isid;
        auto initiator = std::make_unique<SocketInitiator>(daemon.portal(), settings);
        EXPECT_EQ(initiator->log_in(), 0);
        EXPECT_EQ(attentions(*initiator), "2900");
        return initiator;
    }
    /// ASC and ASCQ, "2900"; empty: it did not end with a unit attention.
    static std::string attention_of(const test::InitiatorCompletion& completion) {
        constexpr std::string_view digits = "0123456789abcdef";
        constexpr std::byte unit_attention{6};
        const std::span sense(completion.sense);  // fixed format
        if (completion.status == good || sense.size() < 14) return "";
        if ((sense[2] & std::byte{0xf}) != unit_attention) return "";
        std::string code;
        for (const std::size_t at : {12U, 13U}) {
            const auto value = std::to_integer<std::size_t>(sense[at]);
            code += digits[value >> 4];
            code += digits[value & 15];
        }
        return code;
    }
    /// Codes of the unit attentions that are pending, in their order.
    static std::string attentions(SocketInitiator& initiator) {
        constexpr std::size_t attentions_max = 16;
        std::string codes;
        for (std::size_t i = 0; i < attentions_max; ++i) {
            const std::string code = attention_of(initiator.run({.cdb = test_unit_ready}));
            if (code.empty()) return codes;
            if (!codes.empty()) codes += ' ';
            codes += code;
        }
        return codes + " ...";
    }

    static test::InitiatorCompletion reserve_out(SocketInitiator& initiator, std::uint8_t action,
                                                 std::uint8_t type, std::uint8_t key,
                                                 std::uint8_t new_key, bool persists) {
        std::vector<std::byte> parameters(24);
        parameters[7] = std::byte{key};
        parameters[15] = std::byte{new_key};
        parameters[20] = std::byte{persists};  // APTPL
        return initiator.run(
            {.cdb = {0x5f, action, type, 0, 0, 0, 0, 0, 24, 0}, .data_out = parameters});
    }
    static std::uint8_t write_block(SocketInitiator& initiator) {
        return initiator.run({.cdb = write_first_block, .data_out = std::vector<std::byte>(512)})
            .status;
    }
    static std::uint8_t read_block(SocketInitiator& initiator) {
        return initiator.run({.cdb = read_first_block, .read_length = 512}).status;
    }

    Daemon daemon;
};

TEST_F(NexusEvents, GrowthIsToldToEveryNexusOnce) {
    auto one = log_in("one"), two = log_in("two"), same_with_another_isid = log_in("two", 2);
    daemon.command({"resize", "web01", "32M"});
    for (SocketInitiator* each : {one.get(), two.get(), same_with_another_isid.get()}) {
        EXPECT_EQ(attentions(*each), "2a09");
        const auto capacity =
            each->run({.cdb = {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, .read_length = 8});
        const std::vector<std::byte> last_block = {std::byte{0}, std::byte{0}, std::byte{0xff},
                                                   std::byte{0xff}};
        ASSERT_EQ(capacity.data_in.size(), 8U);
        EXPECT_TRUE(std::equal(last_block.begin(), last_block.end(), capacity.data_in.begin()));
        EXPECT_TRUE(each->protocol().violations().empty());
    }
}

TEST_F(NexusEvents, SettingsAreToldToEveryNexus) {
    struct Row {
        std::string setting, attentions;
    };
    const std::vector<Row> rows = {
        {"read-only=yes", "2a01"},  {"read-only=no", "2a01"},  {"write-cache=off", "2a01"},
        {"write-cache=on", "2a01"}, {"removable=yes", "3f03"}, {"physical-block=512", "2a09 3f03"},
    };
    auto one = log_in("one"), two = log_in("two");
    for (const Row& row : rows) {
        SCOPED_TRACE(row.setting);
        daemon.command({"set", "web01", row.setting});
        EXPECT_EQ(attentions(*one), row.attentions);
        EXPECT_EQ(attentions(*two), row.attentions);
    }
}

TEST_F(NexusEvents, AQuotaThatIsNearlyUsedIsToldAndWhatIsBeyondItFails) {
    constexpr std::uint8_t check_condition = 0x02;
    constexpr std::uint32_t blocks = 128;
    constexpr std::size_t disk_writes = (128U << 20) / (blocks * 512);
    daemon.stop();
    daemon.configure("low_water = 50");
    daemon.start();
    daemon.command({"resize", "web01", "128M"});
    daemon.command({"set", "web01", "quota=32M"});
    auto one = log_in("one"), two = log_in("two");
    std::string told;  // what the writer hears on the way
    const auto write_at = [&](std::size_t index) {
        const auto lba = static_cast<std::uint32_t>(index * blocks);
        const auto high = static_cast<std::uint8_t>(lba >> 16);
        const auto middle = static_cast<std::uint8_t>(lba >> 8);
        const auto low = static_cast<std::uint8_t>(lba);
        while (true) {
            const auto completion =
                one->run({.cdb = {0x2a, 0, 0, high, middle, low, 0, 0, blocks, 0},
                          .data_out = std::vector<std::byte>(blocks * 512, std::byte{5})});
            const std::string code = attention_of(completion);
            if (code.empty()) return completion;
            told += code;
        }
    };
    std::size_t written = 0;
    while (written < disk_writes && write_at(written).status == good) {
        ++written;
    }
    EXPECT_GT(written, (24U << 20) / (blocks * 512));
    ASSERT_LT(written, disk_writes);
    // It became low when half of it was used; the ring looks once a second.
    for (int i = 0; i < 600 && told.empty(); ++i) {
        told = attentions(*one);
        if (told.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_EQ(told, "3807");
    EXPECT_EQ(attentions(*two), "3807");
    const auto refused = write_at(written);
    EXPECT_EQ(refused.status, check_condition);
    ASSERT_GE(refused.sense.size(), 14U);
    EXPECT_EQ(refused.sense[2] & std::byte{0xf}, std::byte{7});  // DATA PROTECT
    EXPECT_EQ(refused.sense[12], std::byte{0x27});
    EXPECT_EQ(refused.sense[13], std::byte{0x07});
    EXPECT_EQ(write_at(0).status, good);
    daemon.command({"set", "web01", "quota=none"});
    EXPECT_EQ(write_at(written).status, good);
}

TEST_F(NexusEvents, AResetIsToldToTheOneThatAskedForItToo) {
    constexpr std::uint8_t logical_unit_reset = 5;
    auto one = log_in("one"), two = log_in("two");
    one->protocol().send_task_management(logical_unit_reset, 0, 0xffffffff);
    EXPECT_TRUE(one->run_until([&] { return !one->protocol().inbox().empty(); }));
    EXPECT_EQ(attentions(*one), "2903");
    EXPECT_EQ(attentions(*two), "2903");
}

TEST_F(NexusEvents, APersistentReservationOutlivesTheDaemon) {
    constexpr std::uint8_t register_key = 0, reserve = 1, release = 2;
    constexpr std::uint8_t write_exclusive_registrants_only = 5;
    {
        auto holder = log_in("holder");
        EXPECT_EQ(reserve_out(*holder, register_key, 0, 0, 0x11, true).status, good);
        EXPECT_EQ(
            reserve_out(*holder, reserve, write_exclusive_registrants_only, 0x11, 0, false).status,
            good);
    }
    for (const bool killed : {false, true}) {
        SCOPED_TRACE(killed);
        if (killed) {
            daemon.kill();
        } else {
            daemon.stop();
        }
        daemon.start();
        auto other = log_in("other");
        EXPECT_EQ(write_block(*other), reservation_conflict);
        EXPECT_EQ(read_block(*other), good);
        auto holder = log_in("holder");
        EXPECT_EQ(write_block(*holder), good) << "it is registered still";
        // Another ISID is another initiator port.
        auto another_port = log_in("holder", 9);
        EXPECT_EQ(write_block(*another_port), reservation_conflict);
    }
    auto holder = log_in("holder");
    EXPECT_EQ(
        reserve_out(*holder, release, write_exclusive_registrants_only, 0x11, 0, false).status,
        good);
    holder.reset();
    daemon.kill();
    daemon.start();
    auto other = log_in("other");
    EXPECT_EQ(write_block(*other), good);
}

TEST_F(NexusEvents, WithoutAptplARestartEndsTheReservation) {
    constexpr std::uint8_t register_key = 0, reserve = 1, write_exclusive = 1;
    {
        auto holder = log_in("holder");
        EXPECT_EQ(reserve_out(*holder, register_key, 0, 0, 0x11, false).status, good);
        EXPECT_EQ(reserve_out(*holder, reserve, write_exclusive, 0x11, 0, false).status, good);
        auto other = log_in("other");
        EXPECT_EQ(write_block(*other), reservation_conflict);
    }
    daemon.stop();
    daemon.start();
    auto other = log_in("other");
    EXPECT_EQ(write_block(*other), good);
}

}  // namespace
}  // namespace cowtgt::e2e
