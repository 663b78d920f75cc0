// Import and export of the command with no daemon there.

#include "tools/cowtgt_images.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cow-store/store/store.h"
#include "tests/unit/tools/temporary_folder.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {
namespace {

constexpr std::uint64_t disk_bytes = 1 << 20;
constexpr auto raw = control::ExportFormat::raw;

class ImagesTest : public ::testing::Test {
protected:
    ImagesTest() {
        config_.iqn_prefix = "iqn.2026-01.test";
        config_.store = folder_.path() / "store";
        config_.machines_file = folder_.path() / "machines.toml";
        config_.control_socket = config_.store / "control.sock";
        EXPECT_TRUE(store::Store::create(config_.store));
        std::ofstream(image()) << "the content of a disk";
        std::filesystem::resize_file(image(), disk_bytes);
    }

    std::filesystem::path image() const { return folder_.path() / "disk.raw"; }
    nlohmann::json import() const {
        return import_image(config_, {image(), "debian", "", ""}, {}).value();
    }

    TemporaryFolder folder_;
    config::Config config_;
};

TEST_F(ImagesTest, TheSameContentAgainNamesItsTwin) {
    const auto first = import();
    EXPECT_EQ(first.at("ref"), "debian@1");
    EXPECT_TRUE(first.at("twin").is_null());
    const auto second = import();
    EXPECT_EQ(second.at("ref"), "debian@2");
    EXPECT_EQ(second.at("twin"), "debian@1");
}

TEST_F(ImagesTest, TemplatesAndInstancesAreExportedByName) {
    import();
    const std::string out = folder_.path() / "out.raw";
    for (const char* name : {"debian", "debian@1"}) {
        ASSERT_TRUE(export_disk(config_, name, out, raw)) << name;
        EXPECT_TRUE(folder_.content("out.raw") == folder_.content("disk.raw"));
    }
    {
        auto site = open_site(config_);
        ASSERT_TRUE(site);
        EXPECT_FALSE(site->daemon);
        // With the name of the template: the instance comes first.
        ASSERT_TRUE(
            ask(*site, "clone", {{"template", "debian"}, {"name", "debian"}, {"size", "2M"}}));
    }
    EXPECT_EQ(export_disk(config_, "debian", out, raw).value().at("size_bytes"), 2 * disk_bytes);
    EXPECT_EQ(folder_.content("out.raw").size(), 2 * disk_bytes);
    EXPECT_EQ(export_disk(config_, "debian@1", out, raw).value().at("size_bytes"), disk_bytes);
}

TEST_F(ImagesTest, WhatDoesNotExistIsNotFoundAndLeavesNoFile) {
    const auto unknown = export_disk(config_, "none", folder_.path() / "none.raw", raw);
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "none.raw"));
    const auto absent =
        import_image(config_, {folder_.path() / "absent.raw", "debian", "", ""}, {});
    ASSERT_FALSE(absent);
    EXPECT_EQ(absent.error().code, ErrorCode::not_found);
    EXPECT_EQ(import_image(config_, {folder_.path(), "debian", "", ""}, {}).error().code,
              ErrorCode::failed);
    EXPECT_EQ(import_image(config_, {image(), "Bad_Name", "", ""}, {}).error().code,
              ErrorCode::usage);
}

TEST_F(ImagesTest, AStoreThatSomebodyElseHoldsIsInUseButTemplatesCanBeRead) {
    import();
    const auto holder = store::Store::open(config_.store, store::Locking::exclusive);
    ASSERT_TRUE(holder);
    const auto site = open_site(config_);
    ASSERT_FALSE(site);
    EXPECT_EQ(site.error().code, ErrorCode::in_use);
    EXPECT_TRUE(export_disk(config_, "debian@1", folder_.path() / "out.raw", raw));
}

}  // namespace
}  // namespace cowtgt::tools
