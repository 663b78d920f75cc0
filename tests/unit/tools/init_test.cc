// cowtgt init: what it writes can be loaded, nothing is overwritten, a failure leaves nothing.

#include "tools/cowtgt_init.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/machines_file.h"
#include "tests/unit/tools/temporary_folder.h"

namespace cowtgt::tools {
namespace {

class InitTest : public ::testing::Test {
protected:
    InitTest() {
        options_.config_file = folder_.path() / "etc" / "cowtgt.toml";
        options_.iqn_prefix = "iqn.2026-01.test";
        options_.store = folder_.path() / "data" / "store";
        // No host has these addresses.
        options_.listen = {"192.0.2.1:3260", "[2001:db8::1]:3260"};
    }

    ErrorCode error_code() const {
        const auto result = init_site(options_);
        EXPECT_FALSE(result);
        return result ? ErrorCode::failed : result.error().code;
    }

    TemporaryFolder folder_;
    InitOptions options_;
};

TEST_F(InitTest, WhatItWritesCanBeLoaded) {
    options_.http = {"192.0.2.1:8080"};
    options_.store = folder_.path() / "data/./store/";
    const auto result = init_site(options_);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->at("config"), options_.config_file.string());
    const auto config = config::load_config(options_.config_file);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->iqn_prefix, "iqn.2026-01.test");
    EXPECT_EQ(config->store, folder_.path() / "data" / "store");
    EXPECT_EQ(config->listen.size(), 2U);
    EXPECT_EQ(config->http, std::vector{config::parse_endpoint("192.0.2.1:8080").value()});
    EXPECT_EQ(config->control_socket, config->store / "control.sock");
    EXPECT_TRUE(config::MachinesFile::load(config->machines_file)->machines().empty());
    EXPECT_TRUE(store::Store::open(config->store, store::Locking::exclusive));
}

TEST_F(InitTest, HttpIsServedUnlessToldOtherwise) {
    ASSERT_TRUE(init_site(options_));
    const auto usual = config::load_config(options_.config_file);
    ASSERT_TRUE(usual) << usual.error().message;
    EXPECT_EQ(usual->http, std::vector{config::parse_endpoint("[::]:8080").value()});
    options_.config_file = folder_.path() / "other" / "cowtgt.toml";
    options_.store = folder_.path() / "other" / "store";
    options_.http = {"none"};
    ASSERT_TRUE(init_site(options_));
    EXPECT_TRUE(config::load_config(options_.config_file)->http.empty());
}

TEST_F(InitTest, NothingIsOverwritten) {
    ASSERT_TRUE(init_site(options_));
    const std::string before = folder_.content("etc/cowtgt.toml");
    options_.store = folder_.path() / "other";
    EXPECT_EQ(error_code(), ErrorCode::exists);
    EXPECT_FALSE(std::filesystem::exists(options_.store));
    options_.config_file = folder_.path() / "etc2" / "cowtgt.toml";
    options_.store = folder_.path() / "data" / "store";
    EXPECT_EQ(error_code(), ErrorCode::exists);
    EXPECT_EQ(folder_.content("etc/cowtgt.toml"), before);
}

TEST_F(InitTest, BadWordsLeaveNothing) {
    options_.iqn_prefix = "not-an-iqn";
    EXPECT_EQ(error_code(), ErrorCode::usage);
    options_.iqn_prefix = "iqn.2026-01.test";
    options_.listen = {"host:3260"};
    EXPECT_EQ(error_code(), ErrorCode::usage);
    options_.listen = {"192.0.2.1:1", "192.0.2.1:1"};
    EXPECT_EQ(error_code(), ErrorCode::usage);
    options_.listen.clear();
    options_.http = {"8080"};
    EXPECT_EQ(error_code(), ErrorCode::usage);
    EXPECT_EQ(folder_.entries(), 0);
}

TEST_F(InitTest, AConfigurationThatCannotBeWrittenLeavesNoStore) {
    std::ofstream(folder_.path() / "etc") << "a file where the folder should be";
    EXPECT_FALSE(init_site(options_));
    EXPECT_FALSE(std::filesystem::exists(options_.store));
    EXPECT_EQ(folder_.content("etc"), "a file where the folder should be");
}

}  // namespace
}  // namespace cowtgt::tools
