#include "target/node/buffer_pool.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace cowtgt::node {
namespace {

TEST(BufferPool, GivesAlignedPowersOfTwo) {
    BufferPool pool(1U << 20);
    for (const std::size_t bytes : {1U, 4096U, 4097U, 65536U, 65537U}) {
        const MutableBytes buffer = pool.take(bytes);
        EXPECT_GE(buffer.size(), bytes);
        EXPECT_TRUE(is_power_of_two(buffer.size()));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0U);
        pool.give_back(buffer);
    }
    EXPECT_EQ(pool.taken_bytes(), 0U);
}

TEST(BufferPool, RefusesBeyondItsLimit) {
    BufferPool pool(8192);
    const MutableBytes first = pool.take(4096);
    const MutableBytes second = pool.take(4096);
    EXPECT_TRUE(pool.take(1).empty());
    pool.give_back(second);
    const MutableBytes third = pool.take(1);
    EXPECT_FALSE(third.empty());
    pool.give_back(first);
    pool.give_back(third);
}

TEST(BufferPool, KeptMemoryOfOtherSizesDoesNotCountAgainstTheLimit) {
    BufferPool pool(8192);
    const MutableBytes large = pool.take(8192);
    pool.give_back(large);
    const MutableBytes small = pool.take(4096);
    EXPECT_EQ(small.size(), 4096U);
    pool.give_back(small);
}

TEST(BufferPool, ServesWhoWaitsInOrder) {
    BufferPool pool(4096);
    const MutableBytes held = pool.take(4096);
    std::vector<int> served;
    struct Named {
        BufferPool::Waiter waiter;
        int number = 0;
        std::vector<int>* order = nullptr;
        MutableBytes got;
    };
    std::vector<Named> named(3);
    for (int i = 0; i < 3; ++i) {
        Named& each = named[static_cast<std::size_t>(i)];
        each.number = i;
        each.order = &served;
        each.waiter = {4096,
                       [](BufferPool::Waiter& waiter, MutableBytes granted) {
                           Named& waiting = *static_cast<Named*>(waiter.owner);
                           waiting.got = granted;
                           waiting.order->push_back(waiting.number);
                       },
                       &each};
        pool.wait(each.waiter);
    }
    pool.leave(named[1].waiter);
    pool.give_back(held);
    EXPECT_EQ(served, (std::vector<int>{0}));
    pool.give_back(named[0].got);
    EXPECT_EQ(served, (std::vector<int>{0, 2}));
    pool.give_back(named[2].got);
}

}  // namespace
}  // namespace cowtgt::node
