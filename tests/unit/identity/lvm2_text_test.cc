#include "cow-store/identity/lvm2_text.h"

#include <gtest/gtest.h>

namespace cowtgt::identity::lvm2 {
namespace {

constexpr std::string_view id_1 = "AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA";
constexpr std::string_view id_2 = "222222-2222-2222-2222-2222-2222-222222";
constexpr std::string_view id_3 = "zzzzzz-zzzz-zzzz-zzzz-zzzz-zzzz-zzzzzz";

/// A group as vgcfgbackup writes it.
std::string group(const std::string& type, const std::string& more_volumes = "") {
    return "vg0 {\nid = \"" + std::string(id_1) +
           "\"\nseqno = 2\nstatus = [\"RESIZEABLE\", \"READ\"]\nflags = []\n"
           "physical_volumes {\npv0 {\nid = \"" +
           std::string(id_2) + "\"\ndevice = \"/dev/\\\"}\\\"\"  # hint = {\n}\n" + more_volumes +
           "}\nlogical_volumes {\nroot {\nid = \"" + std::string(id_3) +
           "\"\nsegment1 {\ntype = \"" + type +
           "\"\nstripes = [\n\"pv0\", 0\n]\n}\n}\n}\n}\n# end\nversion = 1\n";
}

TEST(Lvm2Text, IdsOfGroupVolumeAndLogicalVolume) {
    const std::string text = group("striped");
    const auto ids = find_ids(text);
    ASSERT_TRUE(ids.has_value()) << ids.error().message;
    ASSERT_EQ(ids->size(), 3U);
    EXPECT_EQ(ids->at(0).where, "group vg0");
    EXPECT_EQ(ids->at(1).where, "physical volume");
    EXPECT_EQ(ids->at(2).where, "logical volume root");
    for (const IdField& field : *ids)
        EXPECT_EQ(text.substr(field.offset, field.id.size()), field.id);
}

TEST(Lvm2Text, WhatHasIdsElsewhereIsRefused) {
    for (const char* type : {"thin-pool", "thin", "raid1", "cache", "vdo", "snapshot", "mirror"}) {
        const auto ids = find_ids(group(type));
        ASSERT_FALSE(ids.has_value());
        EXPECT_EQ(ids.error().code, ErrorCode::refused);
        EXPECT_NE(ids.error().message.find(type), std::string::npos) << ids.error().message;
    }
    const auto two =
        find_ids(group("striped", "pv1 {\nid = \"BBBBBB-BBBB-BBBB-BBBB-BBBB-BBBB-BBBBBB\"\n}\n"));
    ASSERT_FALSE(two.has_value());
    EXPECT_NE(two.error().message.find("several physical volumes"), std::string::npos);
}

TEST(Lvm2Text, NoPrefixOfATextIsTakenForOne) {
    const std::string text = group("striped");
    const std::size_t last_brace = text.find("}\n# end");
    for (std::size_t length = 0; length <= last_brace; ++length) {
        EXPECT_FALSE(find_ids(std::string_view(text).substr(0, length)).has_value()) << length;
    }
}

TEST(Lvm2Text, DashesStandWhereLvmWritesThem) {
    EXPECT_EQ(id_with_dashes(std::string(32, '2')), id_2);
}

}  // namespace
}  // namespace cowtgt::identity::lvm2
