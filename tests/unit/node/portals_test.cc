#include "target/node/portals.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cowtgt::node {
namespace {

using Texts = std::vector<std::string>;

TEST(TargetAddresses, AreThePortalThatWorksAndTheOthers) {
    const Texts two = {"10.0.0.1:3260", "10.1.0.1:3261"};
    EXPECT_EQ(target_addresses("10.0.0.1:3260", two),
              (Texts{"10.0.0.1:3260,1", "10.1.0.1:3261,1"}));
    EXPECT_EQ(target_addresses("10.1.0.1:3261", two),
              (Texts{"10.1.0.1:3261,1", "10.0.0.1:3260,1"}));
    EXPECT_EQ(target_addresses("[fd00::1]:3260", {"[fd00::1]:3260", "[fd00::2]:3260"}),
              (Texts{"[fd00::1]:3260,1", "[fd00::2]:3260,1"}));
}

TEST(TargetAddresses, AWildcardNamesNoAddress) {
    EXPECT_EQ(target_addresses("10.0.0.1:3260", {"[::]:3260", "0.0.0.0:3260"}),
              Texts{"10.0.0.1:3260,1"});
    EXPECT_EQ(target_addresses("10.0.0.1:3260", {"[::]:3260", "10.0.0.2:3262"}),
              (Texts{"10.0.0.1:3260,1", "10.0.0.2:3262,1"}));
}

TEST(TargetAddresses, LoopbackIsForThoseWhoCameByIt) {
    const Texts mixed = {"127.0.0.1:3260", "[::1]:3260", "10.0.0.1:3260"};
    EXPECT_EQ(target_addresses("10.0.0.1:3260", mixed), Texts{"10.0.0.1:3260,1"});
    EXPECT_EQ(target_addresses("127.0.0.1:3260", mixed),
              (Texts{"127.0.0.1:3260,1", "[::1]:3260,1", "10.0.0.1:3260,1"}));
}

}  // namespace
}  // namespace cowtgt::node
