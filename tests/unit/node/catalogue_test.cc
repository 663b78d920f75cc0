#include "target/node/catalogue.h"

#include <gtest/gtest.h>

namespace cowtgt::node {
namespace {

Catalogue two_machines() {
    return Catalogue({{"iqn.2026-11.lab:web01", "iqn.2026-11.lab:mac-52-54-00-12-34-01", "web01",
                       "iqn.2026-11.lab:init:web01"},
                      {"iqn.2026-11.lab:open", "", "open", ""}});
}

bool admits(std::string_view target, std::string_view initiator) {
    const Catalogue catalogue = two_machines();
    return Catalogue::admits(catalogue.find(target), initiator);
}

TEST(Catalogue, AMachineWithAMacAdmitsItsOwnNameOnly) {
    EXPECT_TRUE(admits("iqn.2026-11.lab:web01", "iqn.2026-11.lab:init:web01"));
    EXPECT_FALSE(admits("iqn.2026-11.lab:web01", "iqn.2026-11.lab:init:web02"));
    EXPECT_FALSE(admits("iqn.2026-11.lab:web01", "iqn.2010-04.org.ipxe:web01"));
}

TEST(Catalogue, AMachineWithoutAMacAdmitsAnyone) {
    EXPECT_TRUE(admits("iqn.2026-11.lab:open", "iqn.1993-08.org.debian:01:abc"));
}

TEST(Catalogue, TheMacAliasAlsoAdmitsFirmwareThatHasNoNameYet) {
    EXPECT_TRUE(admits("iqn.2026-11.lab:mac-52-54-00-12-34-01", "iqn.2010-04.org.ipxe:host"));
    EXPECT_TRUE(admits("iqn.2026-11.lab:mac-52-54-00-12-34-01", "iqn.2026-11.lab:init:web01"));
    EXPECT_FALSE(admits("iqn.2026-11.lab:mac-52-54-00-12-34-01", "iqn.1993-08.org.debian:01:a"));
}

TEST(Catalogue, NamesCompareWithoutCase) {
    EXPECT_TRUE(admits("IQN.2026-11.Lab:WEB01", "iqn.2026-11.LAB:init:web01"));
}

TEST(Catalogue, UnknownTargetsAreAdmittedToNobody) {
    EXPECT_EQ(two_machines().find("iqn.2026-11.lab:web03").entry, nullptr);
    EXPECT_FALSE(admits("iqn.2026-11.lab:web03", "iqn.2026-11.lab:init:web03"));
}

TEST(Catalogue, DiscoveryShowsWhatTheInitiatorMayUse) {
    const Catalogue catalogue = two_machines();
    EXPECT_EQ(catalogue.visible_to("iqn.2026-11.lab:init:web01").size(), 2U);
    const auto others = catalogue.visible_to("iqn.1993-08.org.debian:01:abc");
    ASSERT_EQ(others.size(), 1U);
    EXPECT_EQ(others.front()->instance, "open");
}

}  // namespace
}  // namespace cowtgt::node
