// Promise 1: a write answered GOOD survives kill -9 of the daemon, flushed or not.

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>
#include <random>

#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr int usual_rounds = 20;
constexpr std::size_t in_flight_min = 16;  ///< writes when the daemon is killed
constexpr std::size_t in_flight_max = 32;
constexpr std::uint32_t slot_blocks = 128;  ///< 64 KiB, the largest write
constexpr std::size_t slot_count = 512;     ///< 32 MiB of the disk are written to

/// What one 512-byte block may hold: the number of the write that put it there, 0 for never.
struct BlockModel {
    std::uint64_t answered = 0;  ///< the last write that was answered GOOD
    std::uint64_t sent = 0;      ///< a write sent later and not answered, or 0
};

/// A block tells which write and which place it belongs to, so that old content, content of a
/// neighbour and torn content are all told apart.
void fill_block(std::uint8_t* block, std::uint64_t write_number, std::uint64_t lba) {
    for (std::size_t i = 0; i < block_size; i += 16) {
        const std::uint64_t words[2] = {write_number, lba * block_size + i};
        std::memcpy(block + i, words, sizeof words);
    }
}

bool holds(const std::uint8_t* block, std::uint64_t write_number, std::uint64_t lba) {
    std::uint8_t expected[block_size] = {};
    if (write_number != 0) fill_block(expected, write_number, lba);
    return std::memcmp(block, expected, block_size) == 0;
}

class KillTest : public ::testing::Test {
protected:
    void SetUp() override {
        const char* given = std::getenv("COWTGT_SEED");
        seed_ = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
        std::cout << "COWTGT_SEED=" << seed_ << std::endl;
        random_.seed(seed_);
        std::signal(SIGPIPE, SIG_IGN);
        daemon_.make_template("blank", 64U << 20);
        daemon_.command({"clone", "blank", "web01"});
        daemon_.start();
    }

    std::uint64_t draw(std::uint64_t from, std::uint64_t to) {
        return std::uniform_int_distribution<std::uint64_t>(from, to)(random_);
    }

    std::unique_ptr<Initiator> log_in() {
        return std::make_unique<Initiator>("iqn.2026-01.test:initiator", daemon_.portal(),
                                           daemon_.target("web01"));
    }

    /// Sends one write of 512 bytes to 64 KiB into a slot that no other write is in.
    void send_write(Initiator& initiator) {
        std::size_t slot = draw(0, slot_count - 1);
        while (busy_[slot])
            slot = (slot + 1) % slot_count;
        // small ones as often as large ones
        const auto blocks =
            static_cast<std::uint32_t>(draw(0, 1) == 0 ? draw(1, 8) : draw(1, slot_blocks));
        const std::uint64_t lba = slot * slot_blocks + draw(0, slot_blocks - blocks);
        const std::uint64_t number = ++last_write_;
        std::vector<std::uint8_t> data(std::size_t{blocks} * block_size);
        for (std::uint32_t i = 0; i < blocks; ++i) {
            fill_block(data.data() + std::size_t{i} * block_size, number, lba + i);
            model_[lba + i].sent = number;
        }
        busy_[slot] = true;
        initiator.write(lba, std::move(data), [this, slot, lba, blocks, number](Answer answer) {
            busy_[slot] = false;
            ASSERT_NE(answer, Answer::check_condition);
            if (answer == Answer::connection_lost) return;
            ++answered_writes_;
            for (std::uint32_t i = 0; i < blocks; ++i)
                model_[lba + i] = {number, 0};
        });
    }

    /// Writes until `count` more have been answered, then kills the daemon under the rest.
    void write_and_kill(Initiator& initiator, std::uint64_t count) {
        const std::uint64_t enough = answered_writes_ + count;
        while (answered_writes_ < enough || initiator.in_flight() < in_flight_min) {
            while (initiator.in_flight() < in_flight_max)
                send_write(initiator);
            ASSERT_TRUE(initiator.step()) << "the connection was lost before the kill";
        }
        ASSERT_GE(initiator.in_flight(), in_flight_min);
        daemon_.kill();
        // Answers that the daemon sent before it died count too.
        while (initiator.step()) {
        }
        ASSERT_EQ(initiator.in_flight(), 0U);
    }

    /// Every block holds its last answered write, or one that was sent after it.
    void check_blocks(std::uint64_t first_lba, std::span<const std::uint8_t> data) {
        ASSERT_EQ(data.size(), std::size_t{slot_blocks} * block_size);
        for (std::uint32_t i = 0; i < slot_blocks; ++i) {
            const std::uint8_t* block = data.data() + std::size_t{i} * block_size;
            BlockModel& model = model_[first_lba + i];
            if (model.sent != 0 && holds(block, model.sent, first_lba + i)) {
                model.answered = model.sent;
            }
            model.sent = 0;
            std::uint64_t found = 0;
            std::memcpy(&found, block, sizeof found);
            ASSERT_TRUE(holds(block, model.answered, first_lba + i))
                << "block " << first_lba + i << " should hold write " << model.answered
                << ", begins like write " << found;
        }
    }

    /// What a block is found to hold now, it must hold for ever: the model keeps it.
    void check_all() {
        auto initiator = log_in();
        for (std::size_t slot = 0; slot < slot_count; ++slot) {
            const std::uint64_t lba = slot * slot_blocks;
            bool done = false;
            initiator->read(lba, slot_blocks,
                            [&](Answer answer, std::span<const std::uint8_t> data) {
                                done = true;
                                ASSERT_EQ(answer, Answer::good);
                                check_blocks(lba, data);
                            });
            while (!done)
                ASSERT_TRUE(initiator->step());
            if (HasFatalFailure()) return;
        }
    }

    std::uint64_t seed_ = 0;
    std::mt19937_64 random_;
    Daemon daemon_;
    std::vector<BlockModel> model_ = std::vector<BlockModel>(slot_count * slot_blocks);
    std::vector<bool> busy_ = std::vector<bool>(slot_count);
    std::uint64_t last_write_ = 0;
    std::uint64_t answered_writes_ = 0;
};

/// The long run of the same program asks for more of them.
int rounds_wanted() {
    const char* wanted = std::getenv("COWTGT_KILLS");
    return wanted == nullptr ? usual_rounds : std::atoi(wanted);
}

TEST_F(KillTest, EveryAnsweredWriteIsThereAfterTheRestart) {
    const int rounds = rounds_wanted();
    for (int round = 0; round < rounds; ++round) {
        SCOPED_TRACE("round " + std::to_string(round));
        auto initiator = log_in();
        write_and_kill(*initiator, draw(1, 1500));
        ASSERT_FALSE(HasFatalFailure());
        initiator.reset();
        daemon_.start();
        check_all();
        ASSERT_FALSE(HasFatalFailure());
    }
    daemon_.stop();
    daemon_.start();
    check_all();
    daemon_.stop();
    daemon_.command({"check"});  // ends with 1 if anything is damaged
    std::cout << answered_writes_ << " answered writes survived " << rounds << " kills\n";
}

}  // namespace
}  // namespace cowtgt::e2e
