#include "boot-helper/core/command_line.h"

#include <gtest/gtest.h>

#include "tests/unit/boot-helper/sample_fleet.h"

namespace cowtgt::boot {
namespace {

CommandLineSite site() {
    return {"iqn.2026-01.lan.example", {"10.0.0.1", 3260, false}, "", DiskSource::ibft, false};
}

std::string line_of(const Machine& machine, const CommandLineSite& where) {
    const Result<std::string> line = command_line(machine, where);
    return line ? *line : line.error().message;
}

TEST(CommandLine, RootByLabelElseByUuidElseRefused) {
    Machine machine = sample_machine();
    EXPECT_TRUE(line_of(machine, site()).starts_with("root=LABEL=root rw "));
    machine.root_label.clear();
    machine.root_uuid = "1d1f";
    EXPECT_TRUE(line_of(machine, site()).starts_with("root=UUID=1d1f rw "));
    machine.root_uuid.clear();
    EXPECT_NE(line_of(machine, site()).find("neither label nor UUID"), std::string::npos);
    machine.extra_words = "root=/dev/vg/root quiet";
    EXPECT_TRUE(line_of(machine, site()).starts_with("rw iscsi_auto"));
}

TEST(CommandLine, ReadOnlyWhenAsked) {
    Machine machine = sample_machine();
    for (const char* words : {"ro", "ro quiet", "quiet ro", "quiet ro splash"}) {
        machine.extra_words = words;
        EXPECT_EQ(line_of(machine, site()).find(" rw "), std::string::npos) << words;
    }
    machine.extra_words = "root=LABEL=x rootfstype=ext4";
    EXPECT_TRUE(line_of(machine, site()).starts_with("rw "));
}

TEST(CommandLine, LongestIsOneLessThanTheKernelsBuffer) {
    Machine machine = sample_machine();
    const std::size_t without = line_of(machine, site()).size();
    machine.extra_words = std::string(command_line_bytes_max - 1 - without - 1, 'x');
    EXPECT_EQ(line_of(machine, site()).size(), command_line_bytes_max - 1);
    machine.extra_words += 'x';
    EXPECT_NE(line_of(machine, site()).find("has 2048 bytes"), std::string::npos);
}

TEST(CommandLine, WordsThatIpxeWouldTakeAreRefused) {
    for (const char* words :
         {"a || b", "a && b", "${net0/mac}", "#a", "a #b", "a\nb", "a\tb", "\xc3\xa9"}) {
        EXPECT_FALSE(check_extra_words(words)) << words;
    }
    for (const char* words : {"", "quiet", "ds=nocloud;s=http://a/", "a=\"b c\" d#e", "$a"}) {
        EXPECT_TRUE(check_extra_words(words)) << words;
    }
}

TEST(CommandLine, InitramfsToolsGetsALinkLocalAddressWhereThereIsNoDhcpV4) {
    CommandLineSite where = site();
    where.source = DiskSource::explicitly;
    where.portal = {"fd00::1", 3260, true};
    EXPECT_NE(line_of(sample_machine(), where).find(" ip=dhcp "), std::string::npos);
    where.ipv6_only = true;
    EXPECT_NE(line_of(sample_machine(), where).find(" ip=169.254.53.2:::255.255.0.0:web1::none "),
              std::string::npos);
}

TEST(MachineId, FollowsFromPrefixAndName) {
    const std::string id = machine_id("iqn.2026-01.lan.example", "web1");
    EXPECT_EQ(id.size(), 32U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_EQ(id, machine_id("iqn.2026-01.lan.example", "web1"));
    EXPECT_NE(id, machine_id("iqn.2026-01.lan.example", "web2"));
    EXPECT_NE(id, machine_id("iqn.2026-01.lan.other", "web1"));
}

TEST(ChoosePortal, TheAddressThatTheClientReachedComesFirst) {
    Fleet fleet = sample_fleet();
    const auto chosen = [&](const Reached& reached, Network network) {
        const Result<config::Endpoint> portal = choose_portal(fleet, reached, network);
        return portal ? to_string(*portal) : portal.error().message;
    };
    EXPECT_EQ(chosen(reached_by_ipv4(), Network::as_firmware), "10.0.0.1:3260");
    EXPECT_EQ(chosen(reached_by_ipv6(), Network::as_firmware), "[fd00::1]:3260");
    EXPECT_NE(chosen(reached_by_ipv4(), Network::ipv6).find("no iSCSI portal"), std::string::npos)
        << "which IPv6 address of ours the machine could reach is not known";
    fleet.portals = {{"10.0.0.9", 3261, false}, {"10.0.0.1", 3262, false}, {"fd00::1", 3263, true}};
    EXPECT_EQ(chosen(reached_by_ipv4(), Network::as_firmware), "10.0.0.1:3262");
    EXPECT_EQ(chosen(reached_by_ipv4(), Network::ipv6), "[fd00::1]:3263");
    EXPECT_EQ(chosen(reached_by_ipv6(), Network::ipv4), "10.0.0.9:3261");
    fleet.portals = {{"0.0.0.0", 3260, false}};
    EXPECT_NE(chosen(reached_by_ipv6(), Network::as_firmware).find("IPv6"), std::string::npos);
}

}  // namespace
}  // namespace cowtgt::boot
