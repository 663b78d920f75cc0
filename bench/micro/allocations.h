#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace cowtgt::bench {

/// Calls of operator new since the program began.
std::uint64_t allocation_count();

/// Reports "allocs": calls of operator new per operation, from construction to destruction. Made
/// right before the loop, so that what came before does not count.
class CountAllocations {
public:
    explicit CountAllocations(benchmark::State& state, std::uint64_t operations_per_turn = 1)
        : state_(state), per_turn_(operations_per_turn), before_(allocation_count()) {}
    ~CountAllocations() {
        const auto operations =
            static_cast<double>(state_.iterations()) * static_cast<double>(per_turn_);
        state_.counters["allocs"] = static_cast<double>(allocation_count() - before_) / operations;
        state_.SetItemsProcessed(
            static_cast<std::int64_t>(static_cast<std::uint64_t>(state_.iterations()) * per_turn_));
    }
    CountAllocations(const CountAllocations&) = delete;
    CountAllocations& operator=(const CountAllocations&) = delete;

private:
    benchmark::State& state_;
    std::uint64_t per_turn_;
    std::uint64_t before_;
};

}  // namespace cowtgt::bench
