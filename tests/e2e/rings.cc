// Sessions, control commands and rings at the same time: with 2 and with 4 rings, logins cross from
// ring to ring while instances open, are snapshotted, change and close. What is written is read
// back. In a build with the thread sanitizer a race fails it: the daemon then ends with another
// status than 0.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr int instances = 4, initiators = 8, rounds = 12;
constexpr std::uint32_t blocks_each = 64;  ///< of the disk, for each initiator

std::vector<std::uint8_t> cdb10(std::uint8_t operation, int initiator) {
    const auto first = static_cast<std::uint32_t>(initiator) * blocks_each;
    return {operation,
            0,
            0,
            0,
            static_cast<std::uint8_t>(first >> 8),
            static_cast<std::uint8_t>(first & 0xff),
            0,
            0,
            blocks_each,
            0};
}

/// One session: reads what the last one wrote, writes anew. False if anything was not as it has to
/// be.
bool run_session(Daemon& daemon, int initiator, int round) {
    constexpr std::uint8_t read_10 = 0x28, write_10 = 0x2a, close_session = 0;
    test::InitiatorSettings settings;
    settings.initiator_name = "iqn.2026-01.test:" + std::to_string(initiator);
    settings.target_name = daemon.target("web" + std::to_string(initiator % instances));
    settings.data_digest = round % 2 == 0 ? "CRC32C" : "None";
    SocketInitiator session(daemon.portal(), settings);
    if (session.log_in() != 0) return false;
    // Unit attentions are told first, when a setting changes in between as well.
    const auto run = [&](const test::InitiatorCommand& command) {
        test::InitiatorCompletion completion;
        for (int i = 0; i < 8; ++i) {
            completion = session.run(command);
            if (completion.status == 0) break;
        }
        return completion;
    };
    const std::vector<std::byte> old(blocks_each * block_size, static_cast<std::byte>(round));
    const auto read =
        run({.cdb = cdb10(read_10, initiator), .read_length = blocks_each * block_size});
    if (read.data_in != old) return false;
    const std::vector<std::byte> fresh(blocks_each * block_size, static_cast<std::byte>(round + 1));
    if (run({.cdb = cdb10(write_10, initiator), .data_out = fresh}).status != 0) return false;
    const bool just_hangs_up = round % 3 != 0;
    if (just_hangs_up) return true;
    session.protocol().send_logout(close_session);
    return session.run_until([&] { return session.is_closed(); });
}

class Rings : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Counts, Rings, ::testing::Values(2, 4));

TEST_P(Rings, SessionsAndCommandsGoOnBesideEachOther) {
    Daemon daemon;
    daemon.configure("rings = " + std::to_string(GetParam()));
    daemon.make_template("blank", 16U << 20);
    for (int i = 0; i < instances; ++i)
        daemon.command({"clone", "blank", "web" + std::to_string(i)});
    daemon.start();
    std::atomic<int> failed = 0, running = initiators;
    std::vector<std::thread> threads;
    for (int i = 0; i < initiators; ++i) {
        threads.emplace_back([&, i] {
            for (int round = 0; round < rounds; ++round) {
                if (!run_session(daemon, i, round)) ++failed;
            }
            --running;
        });
    }
    constexpr int snapshots_max = 10 * instances;
    for (int i = 0; running > 0; ++i) {
        const std::string name = "web" + std::to_string(i % instances);
        daemon.command({"set", name, i % 2 == 0 ? "write-cache=off" : "write-cache=on"});
        if (i < snapshots_max) daemon.command({"snapshot", name, "at" + std::to_string(i)});
        daemon.command({"clone", "blank", "more" + std::to_string(i)});
        daemon.command({"show", name});
        daemon.command({"rm", "more" + std::to_string(i)});
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(failed, 0);
    daemon.stop();
}

}  // namespace
}  // namespace cowtgt::e2e
