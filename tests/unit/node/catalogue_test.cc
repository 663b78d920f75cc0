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
    return Catalogue::refusal(catalogue.find(target), {initiator, {}}) == Refusal::none;
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

TEST(Catalogue, UnknownTargetsAreNotFound) {
    EXPECT_EQ(two_machines().find("iqn.2026-11.lab:web03").entry, nullptr);
}

TEST(Catalogue, DiscoveryShowsWhatTheInitiatorMayUse) {
    const Catalogue catalogue = two_machines();
    EXPECT_EQ(catalogue.visible_to({"iqn.2026-11.lab:init:web01", {}}).size(), 2U);
    const auto others = catalogue.visible_to({"iqn.1993-08.org.debian:01:abc", {}});
    ASSERT_EQ(others.size(), 1U);
    EXPECT_EQ(others.front()->instance, "open");
}

IpAddress address(const std::string& text) {
    return parse_address_range(text).value().first;
}

TEST(Catalogue, AddressesAreAdmittedByRangeBesideTheName) {
    CatalogueEntry entry{"iqn.2026-11.lab:web01", "", "web01", "iqn.2026-11.lab:init:web01"};
    entry.admitted_addresses = {parse_address_range("10.0.0.0/24").value(),
                                parse_address_range("fd00::/64").value()};
    const Catalogue catalogue({entry});
    const auto refusal = [&](const std::string& name, const std::string& from) {
        return Catalogue::refusal(catalogue.find(entry.target_name), {name, address(from)});
    };
    EXPECT_EQ(refusal("iqn.2026-11.lab:init:web01", "10.0.0.7"), Refusal::none);
    EXPECT_EQ(refusal("iqn.2026-11.lab:init:web01", "fd00::1:7"), Refusal::none);
    EXPECT_EQ(refusal("iqn.2026-11.lab:init:web01", "10.0.1.7"), Refusal::address);
    EXPECT_EQ(refusal("iqn.2026-11.lab:init:web01", "fd00:0:0:1::7"), Refusal::address);
    EXPECT_EQ(refusal("iqn.2026-11.lab:init:web02", "10.0.0.7"), Refusal::name);
    EXPECT_TRUE(catalogue.visible_to({"iqn.2026-11.lab:init:web01", address("10.0.1.7")}).empty());
    EXPECT_EQ(catalogue.visible_to({"iqn.2026-11.lab:init:web01", address("10.0.0.7")}).size(), 1U);
}

TEST(Catalogue, DiscoveryShowsWhatTheAddressHasASessionTo) {
    Catalogue catalogue = two_machines();
    const Initiator system{"iqn.1993-08.org.debian:01:abc", address("10.0.0.7")};
    const Initiator other{"iqn.1993-08.org.debian:01:abc", address("10.0.0.8")};
    EXPECT_EQ(catalogue.visible_to(system).size(), 1U);
    catalogue.session_began("web01", address("10.0.0.7"));  // of the firmware
    catalogue.session_began("web01", address("10.0.0.7"));  // of the initramfs
    EXPECT_EQ(catalogue.visible_to(system).size(), 2U);
    EXPECT_TRUE(catalogue.shows(catalogue.find("iqn.2026-11.lab:web01"), system));
    EXPECT_EQ(catalogue.visible_to(other).size(), 1U);
    EXPECT_EQ(Catalogue::refusal(catalogue.find("iqn.2026-11.lab:web01"), system), Refusal::name)
        << "to be shown is not to be admitted";
    catalogue.session_ended("web01", address("10.0.0.7"));
    EXPECT_EQ(catalogue.visible_to(system).size(), 2U);
    catalogue.session_ended("web01", address("10.0.0.7"));
    EXPECT_EQ(catalogue.visible_to(system).size(), 1U);
    catalogue.session_ended("web01", address("10.0.0.7"));  // nothing is left to end
    EXPECT_EQ(catalogue.visible_to(system).size(), 1U);
}

TEST(Catalogue, ASessionDoesNotShowWhatTheRangeOfAddressesForbids) {
    CatalogueEntry entry{"iqn.2026-11.lab:web01", "", "web01", "iqn.2026-11.lab:init:web01"};
    Catalogue catalogue({entry});
    catalogue.session_began("web01", address("10.0.1.7"));
    EXPECT_EQ(catalogue.visible_to({"iqn.x", address("10.0.1.7")}).size(), 1U);
    entry.admitted_addresses = {parse_address_range("10.0.0.0/24").value()};
    catalogue.put(std::make_shared<const CatalogueEntry>(entry));
    EXPECT_TRUE(catalogue.visible_to({"iqn.x", address("10.0.1.7")}).empty());
}

TEST(AddressRange, IsReadAndWritten) {
    struct Row {
        std::string text, written;  ///< empty: refused
    };
    const Row rows[] = {
        {"10.0.0.0/24", "10.0.0.0/24"},
        {"10.0.0.7", "10.0.0.7"},
        {"10.0.0.7/32", "10.0.0.7"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"10.0.0.4/30", "10.0.0.4/30"},
        {"fd00::/8", "fd00::/8"},
        {"FD00:0::1", "fd00::1"},
        {"::/0", "::/0"},
        {"10.0.0.1/24", ""},
        {"10.0.0.6/30", ""},
        {"10.0.0.0/33", ""},
        {"fd00::/129", ""},
        {"fd00::1/64", ""},
        {"10.0.0/24", ""},
        {"10.0.0.0/", ""},
        {"10.0.0.0/2x", ""},
        {"10.0.0.0/-1", ""},
        {"web01", ""},
        {"", ""},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.text);
        const auto range = parse_address_range(row.text);
        ASSERT_EQ(range.has_value(), !row.written.empty());
        if (range) {
            EXPECT_EQ(to_string(*range), row.written);
        } else {
            EXPECT_EQ(range.error().code, ErrorCode::usage);
        }
    }
    EXPECT_NE(parse_address_range("10.0.0.1/24").error().message.find("10.0.0.0/24"),
              std::string::npos);
}

TEST(AddressRange, ContainsByTheBit) {
    const auto range = parse_address_range("10.0.0.4/30").value();
    EXPECT_FALSE(range.contains(address("10.0.0.3")));
    EXPECT_TRUE(range.contains(address("10.0.0.4")));
    EXPECT_TRUE(range.contains(address("10.0.0.7")));
    EXPECT_FALSE(range.contains(address("10.0.0.8")));
    EXPECT_TRUE(parse_address_range("::/0").value().contains(address("10.0.0.8")));
    EXPECT_TRUE(parse_address_range("0.0.0.0/0").value().contains(address("10.0.0.8")));
    EXPECT_FALSE(parse_address_range("0.0.0.0/0").value().contains(address("fd00::1")));
}

}  // namespace
}  // namespace cowtgt::node
