// 64 instances, one session each, mixed reads and writes with verification, on 1, 2 and 4 rings;
// afterwards the daemon, with all sessions still there, uses no CPU.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr std::size_t instance_count = 64;
constexpr std::size_t commands_per_session = 300;
constexpr std::size_t depth = 4;            ///< commands in flight per session
constexpr std::uint32_t slot_blocks = 128;  ///< 64 KiB, the largest command
constexpr std::size_t slot_count = 32;      ///< 2 MiB of each disk are used

/// One session and what its disk must hold. Two commands in flight are never in the same slot.
class Worker {
public:
    Worker(std::uint64_t seed, Initiator& initiator)
        : random_(seed), initiator_(initiator), content_(slot_count * slot_blocks * block_size) {}

    void keep_busy() {
        while (sent_ < commands_per_session && initiator_.in_flight() < depth)
            send();
    }
    bool is_done() const { return sent_ == commands_per_session && initiator_.in_flight() == 0; }

private:
    std::uint64_t draw(std::uint64_t from, std::uint64_t to) {
        return std::uniform_int_distribution<std::uint64_t>(from, to)(random_);
    }

    void send() {
        std::size_t slot = draw(0, slot_count - 1);
        while (busy_[slot])
            slot = (slot + 1) % slot_count;
        const auto blocks = static_cast<std::uint32_t>(draw(1, slot_blocks));
        const std::uint64_t lba = slot * slot_blocks + draw(0, slot_blocks - blocks);
        busy_[slot] = true;
        ++sent_;
        if (draw(0, 1) == 0) {
            write(slot, lba, blocks);
        } else {
            read(slot, lba, blocks);
        }
    }

    void write(std::size_t slot, std::uint64_t lba, std::uint32_t blocks) {
        std::vector<std::uint8_t> data(std::size_t{blocks} * block_size);
        for (std::uint8_t& byte : data)
            byte = static_cast<std::uint8_t>(random_());
        std::copy(data.begin(), data.end(), place(lba));
        initiator_.write(lba, std::move(data), [this, slot](Answer answer) {
            busy_[slot] = false;
            EXPECT_EQ(answer, Answer::good);
        });
    }

    void read(std::size_t slot, std::uint64_t lba, std::uint32_t blocks) {
        initiator_.read(lba, blocks,
                        [this, slot, lba](Answer answer, std::span<const std::uint8_t> data) {
                            busy_[slot] = false;
                            ASSERT_EQ(answer, Answer::good);
                            EXPECT_TRUE(std::equal(data.begin(), data.end(), place(lba)))
                                << "other content at block " << lba;
                        });
    }

    std::vector<std::uint8_t>::iterator place(std::uint64_t lba) {
        return content_.begin() + static_cast<std::ptrdiff_t>(lba * block_size);
    }

    std::mt19937_64 random_;
    Initiator& initiator_;
    std::vector<std::uint8_t> content_;
    std::array<bool, slot_count> busy_{};
    std::size_t sent_ = 0;
};

class RingsTest : public ::testing::TestWithParam<int> {};

TEST_P(RingsTest, SixtyFourSessionsReadWhatTheyWroteAndIdleCostsNothing) {
    const char* given = std::getenv("COWTGT_SEED");
    const std::uint64_t seed =
        given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "COWTGT_SEED=" << seed << std::endl;
    std::signal(SIGPIPE, SIG_IGN);
    Daemon daemon;
    daemon.configure("rings = " + std::to_string(GetParam()));
    daemon.make_template("blank", 16U << 20);
    daemon.start();

    std::vector<std::unique_ptr<Initiator>> initiators;
    std::vector<std::unique_ptr<Worker>> workers;
    for (std::size_t i = 0; i < instance_count; ++i) {
        const std::string name = "web" + std::to_string(i);
        daemon.command({"clone", "blank", name});
        initiators.push_back(std::make_unique<Initiator>("iqn.2026-01.test:" + name,
                                                         daemon.portal(), daemon.target(name)));
        workers.push_back(std::make_unique<Worker>(seed + i, *initiators.back()));
    }
    const auto is_done = [](const auto& worker) { return worker->is_done(); };
    while (!std::all_of(workers.begin(), workers.end(), is_done)) {
        for (const auto& worker : workers)
            worker->keep_busy();
        ASSERT_TRUE(step_all(initiators)) << "a session was lost";
        ASSERT_FALSE(HasFailure());
    }

    // Two seconds of measuring, once what follows a burst (flushes, closing) is over.
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const std::uint64_t before = daemon.cpu_ticks();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    const std::uint64_t used = daemon.cpu_ticks() - before;
    EXPECT_LE(used, 1U) << "ticks of " << ::sysconf(_SC_CLK_TCK) << " per second";
    initiators.clear();
    daemon.stop();
}

INSTANTIATE_TEST_SUITE_P(Rings, RingsTest, ::testing::Values(1, 2, 4));

}  // namespace
}  // namespace cowtgt::e2e
