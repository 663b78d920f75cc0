#include "target/node/name_holders.h"

#include <gtest/gtest.h>

namespace cowtgt::node {
namespace {

constexpr iscsi::Isid linux_isid{0x00, 0x02, 0x3d, 0, 0, 1};
constexpr iscsi::Isid ipxe_isid{0x40, 0x00, 0x27, 0x23, 7, 7};

iscsi::LoginRequestInfo login(std::uint32_t cmd_sn, const iscsi::Isid& isid = linux_isid) {
    iscsi::LoginRequestInfo info;
    info.initiator_name = "iqn.2026-01.test:init:web01";
    info.isid = isid;
    info.cmd_sn = cmd_sn;
    return info;
}

bool nobody(const std::string&, const iscsi::Isid&) {
    return false;
}
bool everybody(const std::string&, const iscsi::Isid&) {
    return true;
}

TEST(NameHolders, TheMachineThatBootedLastHasTheName) {
    NameHolders holders;
    holders.take(login(0), "10.0.0.1");
    EXPECT_EQ(holders.held_against(login(1366), "10.0.0.1"), "");  // iscsid takes over
    holders.take(login(1366), "10.0.0.1");
    EXPECT_EQ(holders.held_against(login(0), "10.0.0.2"), "");  // another one boots
    holders.take(login(0), "10.0.0.2");
    EXPECT_EQ(holders.held_against(login(9000), "10.0.0.1"), "10.0.0.2");  // the first comes back
    EXPECT_EQ(holders.held_against(login(40), "10.0.0.2"), "");
    EXPECT_EQ(holders.held_against(login(0), "10.0.0.1"), "");  // it may boot
}

TEST(NameHolders, FirmwareAndOtherSessionsOfTheMachineAreNoMatter) {
    NameHolders holders;
    holders.take(login(0), "10.0.0.1");
    EXPECT_EQ(holders.held_against(login(5, ipxe_isid), "10.0.0.2"), "");
    holders.take(login(0, ipxe_isid), "10.0.0.2");
    EXPECT_EQ(holders.held_against(login(5), "10.0.0.1"), "");
    const iscsi::Isid second_path{0x00, 0x02, 0x3d, 0, 0, 2};
    EXPECT_EQ(holders.held_against(login(5, second_path), "10.0.1.1"), "");  // multipath
}

TEST(NameHolders, AreForgottenAWhileAfterTheirSession) {
    NameHolders holders;
    holders.take(login(0), "10.0.0.1");
    for (std::uint32_t i = 0; i < 2 * NameHolders::memory_seconds; ++i)
        holders.second_passed(everybody);
    EXPECT_EQ(holders.held_against(login(7), "10.0.0.2"), "10.0.0.1");
    for (std::uint32_t i = 1; i < NameHolders::memory_seconds; ++i)
        holders.second_passed(nobody);
    EXPECT_EQ(holders.held_against(login(7), "10.0.0.2"), "10.0.0.1");
    holders.second_passed(nobody);
    EXPECT_EQ(holders.held_against(login(7), "10.0.0.2"), "");
    EXPECT_TRUE(holders.empty());
}

TEST(NameHolders, AreBounded) {
    NameHolders holders;
    holders.take(login(0), "10.0.0.1");
    holders.second_passed(nobody);
    for (std::size_t i = 0; i < NameHolders::holders_max; ++i) {
        iscsi::LoginRequestInfo info = login(0);
        info.initiator_name += std::to_string(i);
        holders.take(info, "10.0.0.9");
    }
    EXPECT_EQ(holders.held_against(login(7), "10.0.0.2"), "");  // the oldest made room
}

}  // namespace
}  // namespace cowtgt::node
