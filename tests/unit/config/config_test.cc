// cowtgt.toml: defaults, places of errors, and that what is written can be read.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "target/config/config.h"

namespace cowtgt::config {
namespace {

constexpr const char* file = "/etc/site/cowtgt.toml";

std::string error_of(const std::string& text) {
    const auto config = parse_config(text, file);
    EXPECT_FALSE(config) << text;
    if (config) return "";
    EXPECT_EQ(config.error().code, ErrorCode::usage);
    return config.error().message;
}

/// The error is at this place of the file and has these words.
void expect_error(const std::string& text, const std::string& place, const std::string& words) {
    const std::string message = error_of(text);
    EXPECT_EQ(message.find(std::string(file) + ":" + place + ": "), 0U) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

TEST(Config, OnlyThePrefixIsNeeded) {
    const auto config = parse_config("iqn = \"iqn.2026-01.lan.example\"\n", file);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->file, file);
    EXPECT_EQ(config->iqn_prefix, "iqn.2026-01.lan.example");
    EXPECT_EQ(config->store, "/var/lib/cowtgt");
    EXPECT_EQ(config->machines_file, "/etc/site/machines.toml");
    EXPECT_EQ(config->control_socket, "/var/lib/cowtgt/control.sock");
    ASSERT_EQ(config->listen.size(), 1U);
    EXPECT_EQ(to_string(config->listen[0]), "[::]:3260");
    EXPECT_TRUE(config->http.empty());
    EXPECT_EQ(config->rings, 0U);
    EXPECT_EQ(config->log_level, LogLevel::info);
    EXPECT_FALSE(config->chap_over_http);
}

TEST(Config, EverySettingIsTaken) {
    const auto config = parse_config(
        "iqn = 'iqn.2026-01.lan'\nstore = \"../data\"\nlisten = [\"10.0.0.1:3260\", \"[::1]:1\"]\n"
        "http = \"0.0.0.0:8080\"\nsocket = \"admin.sock\"\nrings = 4\nlog = \"debug\"\n"
        "chap_over_http = true\n",
        file);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->store, "/etc/data");
    EXPECT_EQ(config->control_socket, "/etc/site/admin.sock");
    ASSERT_EQ(config->listen.size(), 2U);
    EXPECT_EQ(to_string(config->listen[1]), "[::1]:1");
    EXPECT_EQ(config->http, std::vector{parse_endpoint("0.0.0.0:8080").value()});
    EXPECT_EQ(config->rings, 4U);
    EXPECT_EQ(config->log_level, LogLevel::debug);
    EXPECT_TRUE(config->chap_over_http);
}

TEST(Config, TheDefaultFileHasItsSocketInRun) {
    const auto config = parse_config("iqn = 'iqn.2026-01.lan'", "/etc/cowtgt/cowtgt.toml");
    ASSERT_TRUE(config);
    EXPECT_EQ(config->control_socket, "/run/cowtgt/cowtgt.sock");
}

TEST(Config, ErrorsHaveLineAndColumn) {
    const std::string good = "iqn = 'iqn.2026-01.lan'\n";
    expect_error("", "1:1", "'iqn' is missing");
    expect_error(good + "colour = 'red'\n", "2:1", "unknown setting 'colour'");
    expect_error(good + "rings = \"many\"\n", "2:9", "'rings' is a number");
    expect_error(good + "rings = -1\n", "2:9", "'rings' is a number");
    expect_error(good + "rings = 257\n", "2:9", "256");
    expect_error(good + "rings = 1.5\n", "2:9", "'rings' is a number");
    expect_error(good + "busy_poll_us = 1001\n", "2:16", "microseconds from 0 to 1000");
    expect_error(good + "busy_poll_us = true\n", "2:16", "microseconds");
    expect_error(good + "low_water = 91\n", "2:13", "percent from 0 (no warning) to 90");
    expect_error(good + "low_water = '5%'\n", "2:13", "percent");
    expect_error(good + "log = 'loud'\n", "2:7", "\"debug\"");
    expect_error("\n  iqn = 'iqn.lan'\n", "2:9", "iqn.YEAR-MONTH");
    expect_error(good + "iqn = 'iqn.2026-01.lan'\n", "2:7", "iqn");
    expect_error(good + "listen = '10.0.0.1:3260'\n", "2:10", "'listen' is a list");
    expect_error(good + "listen = []\n", "2:10", "'listen' is a list");
    expect_error(good + "listen = [1]\n", "2:10", "'listen' is a list");
    expect_error(good + "listen = ['10.0.0.1:3260',\n  '10.0.0.2']\n", "3:3", "ADDRESS:PORT");
    expect_error(good + "listen = ['[::]:1', '[::]:1']\n", "2:21", "twice");
    expect_error(good + "http = 8080\n", "2:8", "'http' is a list");
    expect_error(good + "http = ['10.0.0.1:8080', 'web:80']\n", "2:26", "ADDRESS:PORT");
    expect_error(good + "store = ''\n", "2:9", "'store' is a path");
    expect_error(good + "socket = 'folder/'\n", "2:10", "'socket' names a folder");
    expect_error(good + "[store]\n", "2:1", "'store' is a path");
    for (const char* number : {"0", "-1", "'many'", "65537"}) {
        expect_error(good + "connections = " + number + "\n", "2:15", "from 1 to 65536");
    }
    expect_error(good + "chap_over_http = 'yes'\n", "2:18", "true or false");
    expect_error(good + "login_timeout = 3601\n", "2:17", "from 1 to 3600");
}

TEST(Config, BrokenTomlHasAPlace) {
    const std::string message = error_of("iqn = 'iqn.2026-01.lan'\nlisten = [\n");
    EXPECT_EQ(message.find(std::string(file) + ":"), 0U) << message;
    EXPECT_EQ(error_of("iqn = \n").find(std::string(file) + ":1:"), 0U);
}

TEST(Config, WhatIsWrittenIsReadBackTheSame) {
    Config config;
    config.file = file;
    config.iqn_prefix = "iqn.2026-01.lan.example";
    config.store = "/srv/a \"quoted\\ place\" \t\x01/ä";
    config.listen = {parse_endpoint("10.0.0.1:3260").value(), parse_endpoint("[::1]:7").value()};
    config.control_socket = config.store / "control.sock";
    const auto plain = parse_config(config_text(config), file);
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(plain->store, config.store);
    EXPECT_EQ(plain->listen, config.listen);
    EXPECT_EQ(plain->control_socket, config.control_socket);
    EXPECT_TRUE(plain->http.empty());

    config.http = {parse_endpoint("[::]:8080").value(), parse_endpoint("10.0.0.1:80").value()};
    config.rings = 3;
    config.connections_max = 7;
    config.login_seconds_max = 60;
    config.busy_poll_us = 50;
    config.low_water_percent = 12;
    config.chap_over_http = true;
    config.log_level = LogLevel::error;
    const auto full = parse_config(config_text(config), file);
    ASSERT_TRUE(full) << full.error().message;
    EXPECT_EQ(full->http, config.http);
    EXPECT_EQ(full->rings, 3U);
    EXPECT_EQ(full->connections_max, 7U);
    EXPECT_EQ(full->login_seconds_max, 60U);
    EXPECT_EQ(plain->login_seconds_max, 15U);
    EXPECT_EQ(full->busy_poll_us, 50U);
    EXPECT_EQ(full->low_water_percent, 12U);
    EXPECT_EQ(low_water_of(*full, 1000), 120U);
    EXPECT_EQ(plain->busy_poll_us, 0U);
    EXPECT_EQ(plain->low_water_percent, 5U);
    EXPECT_EQ(full->log_level, LogLevel::error);
    EXPECT_TRUE(full->chap_over_http);
    EXPECT_FALSE(plain->chap_over_http);
}

TEST(Config, AMissingFileIsNotFoundAndSaysHowToMakeOne) {
    const auto config = load_config("/nowhere/at/all/cowtgt.toml");
    ASSERT_FALSE(config);
    EXPECT_EQ(config.error().code, ErrorCode::not_found);
    EXPECT_NE(config.error().message.find("cowtgt init"), std::string::npos);
}

}  // namespace
}  // namespace cowtgt::config
