#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>

#include "tests/sim/store_history.h"

/// Whole stores, cut at every step of random histories of operations and requests.
namespace cowtgt::sim {
namespace {

constexpr std::size_t operation_kinds = 13;

class StoreSim : public testing::Test {
protected:
    void SetUp() override {
        // In memory if possible: a store syncs often, and here nothing else depends on it.
        const std::filesystem::path memory = "/dev/shm";
        const bool has_memory = ::access(memory.c_str(), W_OK) == 0;
        std::string pattern =
            (has_memory ? memory : std::filesystem::temp_directory_path()) / "cowtgt-sim-XXXXXX";
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        folder_ = pattern;
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    StoreStatistics cut(const StoreHistoryOptions& options) const {
        const std::filesystem::path folder = folder_ / std::to_string(options.seed);
        const StoreStatistics statistics = cut_store_history(folder, options);
        std::filesystem::remove_all(folder);
        return statistics;
    }

private:
    std::filesystem::path folder_;
};

/// The long run of the same program asks for more of them.
std::uint64_t history_count() {
    constexpr std::uint64_t usual = 60;
    const char* wanted = std::getenv("COWTGT_HISTORIES");
    return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

TEST_F(StoreSim, EveryCutOfRandomHistoriesKeepsThePromises) {
    StoreStatistics sum;
    const std::uint64_t histories = history_count();
    for (std::uint64_t seed = 1; seed <= histories; ++seed) {
        StoreHistoryOptions options;
        options.seed = seed;
        const StoreStatistics statistics = cut(options);
        ASSERT_EQ(statistics.first_problem, "");
        sum.cuts += statistics.cuts;
        sum.cuts_in_recovery += statistics.cuts_in_recovery;
        sum.second_histories += statistics.second_histories;
        for (const auto& [name, count] : statistics.operations)
            sum.operations[name] += count;
    }
    std::cout << sum.cuts << " cuts, " << sum.cuts_in_recovery << " in a recovery, "
              << sum.second_histories << " second histories\n";
    for (const auto& [name, count] : sum.operations)
        std::cout << "  " << name << ": " << count << "\n";
    EXPECT_GT(sum.cuts, histories * 60);
    EXPECT_GT(sum.second_histories, histories);
    EXPECT_EQ(sum.operations.size(), operation_kinds);
}

/// The simulator proves itself: without the syncs of folders something that was answered is lost.
TEST_F(StoreSim, AFolderThatIsNotSyncedIsFound) {
    std::string finding;
    for (std::uint64_t seed = 1; seed <= 10 && finding.empty(); ++seed) {
        StoreHistoryOptions options;
        options.seed = seed;
        options.syncs = StoreDisk::Syncs::folders_lie;
        finding = cut(options).first_problem;
    }
    EXPECT_NE(finding, "");
}

}  // namespace
}  // namespace cowtgt::sim
