// What the daemon says to those it cannot serve now: too many (0302h), stopping (0301h), and to
// those who are logged in while it stops (Asynchronous Message, event 1); and what it takes from
// those who never log in: no time, little memory, no other session.

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <iostream>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "target/iscsi/connection.h"
#include "target/iscsi/pdu.h"
#include "tests/e2e/daemon.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr std::uint16_t out_of_resources = 0x0302;
constexpr std::uint16_t service_unavailable = 0x0301;

class LoginLimits : public ::testing::Test {
protected:
    std::unique_ptr<SocketInitiator> connect(const std::string& name, std::uint8_t isid,
                                             std::uint16_t tsih = 0, std::uint16_t cid = 0) {
        test::InitiatorSettings settings;
        settings.tsih = tsih;
        settings.cid = cid;
        settings.initiator_name = "iqn.2026-01.test:" + name;
        settings.target_name = daemon.target("web01");
        settings.isid[5] = isid;
        return std::make_unique<SocketInitiator>(daemon.portal(), settings);
    }
    void start() {
        daemon.configure("rings = 1");
        daemon.make_template("blank", 16U << 20);
        daemon.command({"clone", "blank", "web01"});
        daemon.start();
    }

    Daemon daemon;
};

TEST_F(LoginLimits, AConnectionTooManyIsToldSo) {
    daemon.configure("connections = 3");
    start();
    std::vector<std::unique_ptr<SocketInitiator>> initiators;
    for (std::uint8_t i = 0; i < 3; ++i) {
        initiators.push_back(connect("a", i));
        EXPECT_EQ(initiators.back()->log_in(), 0);
    }
    auto one_too_many = connect("a", 9);
    EXPECT_EQ(one_too_many->log_in(), out_of_resources);
    EXPECT_TRUE(one_too_many->run_until([&] { return one_too_many->is_closed(); }));

    initiators[0]->protocol().send_logout(0);
    EXPECT_TRUE(initiators[0]->run_until([&] { return initiators[0]->is_closed(); }));
    initiators.erase(initiators.begin());
    one_too_many.reset();
    // The daemon hears of the ends in its own time.
    std::uint16_t status = out_of_resources;
    for (int i = 0; i < 100 && status == out_of_resources; ++i) {
        one_too_many = connect("a", 9);
        status = one_too_many->log_in();
    }
    EXPECT_EQ(status, 0);
}

TEST_F(LoginLimits, ASessionTooManyIsToldSoAndReinstatementStillWorks) {
    start();
    constexpr std::uint8_t sessions_max = 64;
    std::vector<std::unique_ptr<SocketInitiator>> initiators;
    for (std::uint8_t i = 0; i < sessions_max; ++i) {
        initiators.push_back(connect("a", i));
        ASSERT_EQ(initiators.back()->log_in(), 0);
    }
    EXPECT_EQ(connect("a", 200)->log_in(), out_of_resources);
    EXPECT_EQ(connect("a", 7)->log_in(), 0);
}

TEST_F(LoginLimits, AtItsEndTheDaemonAsksForALogoutAndWaitsForIt) {
    start();
    auto leaves = connect("leaves", 1);
    auto late = connect("late", 3);
    ASSERT_EQ(leaves->log_in(), 0);
    const auto began = std::chrono::steady_clock::now();
    ::kill(daemon.pid(), SIGTERM);
    ASSERT_TRUE(leaves->run_until([&] { return !leaves->protocol().inbox().empty(); }));
    const auto message = leaves->protocol().inbox().front().as<iscsi::AsyncMessage>();
    EXPECT_EQ(message.opcode, iscsi::opcode::async_message);
    EXPECT_EQ(message.async_event, iscsi::async_event_logout_request);
    EXPECT_EQ(message.parameter3.get(), 3);
    EXPECT_EQ(late->log_in(), service_unavailable) << "it came before the end, so it may try again";
    leaves->protocol().send_logout(0);
    EXPECT_TRUE(leaves->run_until([&] { return leaves->is_closed(); }));
    EXPECT_TRUE(leaves->protocol().violations().empty());
    daemon.stop();
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(2900))
        << "nobody was left to wait for";
}

TEST_F(LoginLimits, AnInitiatorThatStaysIsNotWaitedForForever) {
    start();
    auto stays = connect("stays", 1);
    ASSERT_EQ(stays->log_in(), 0);
    const auto began = std::chrono::steady_clock::now();
    daemon.stop();
    const auto took = std::chrono::steady_clock::now() - began;
    EXPECT_GE(took, std::chrono::milliseconds(2900));
    EXPECT_LT(took, std::chrono::seconds(10));
}

TEST_F(LoginLimits, ALoginThatDoesNotEndIsEnded) {
    daemon.configure("login_timeout = 1");
    start();
    auto silent = connect("silent", 1);
    EXPECT_TRUE(silent->run_until([&] { return silent->is_closed(); }));
    EXPECT_NE(daemon.read_log().find("reason=\"the login was not finished in time\""),
              std::string::npos);
}

TEST_F(LoginLimits, ATsihNamesTheSessionWhoseConnectionIsReplaced) {
    constexpr std::uint16_t session_does_not_exist = 0x020a, too_many_connections = 0x0206;
    start();
    auto old = connect("a", 1);
    ASSERT_EQ(old->log_in(), 0);
    const std::uint16_t tsih = old->protocol().tsih();
    const auto wrong = static_cast<std::uint16_t>(tsih + 1);
    EXPECT_EQ(connect("a", 1, wrong)->log_in(), session_does_not_exist);
    EXPECT_EQ(connect("a", 2, tsih)->log_in(), session_does_not_exist);
    EXPECT_EQ(connect("b", 1, tsih)->log_in(), session_does_not_exist);
    EXPECT_EQ(connect("a", 1, tsih, 1)->log_in(), too_many_connections);
    EXPECT_FALSE(old->is_closed());
    auto fresh = connect("a", 1, tsih);
    EXPECT_EQ(fresh->log_in(), 0);
    EXPECT_EQ(fresh->protocol().tsih(), tsih);
    EXPECT_TRUE(old->run_until([&] { return old->is_closed(); }));
}

TEST_F(LoginLimits, EveryConnectionHasOneLineAboutItsEnd) {
    start();
    const auto lines_about = [&](const std::string& name, const std::string& words) {
        std::istringstream log(daemon.read_log());
        int all = 0, right = 0;
        for (std::string line; std::getline(log, line);) {
            if (line.find("initiator=iqn.2026-01.test:" + name + " ") == std::string::npos)
                continue;
            if (line.find("reason=\"") == std::string::npos) continue;
            ++all;
            if (line.find("peer=127.0.0.1:") != std::string::npos &&
                line.find(words) != std::string::npos) {
                ++right;
            }
        }
        EXPECT_LE(all, 1) << name;
        return right;
    };
    const auto expect_line = [&](const std::string& name, const std::string& words) {
        // The daemon hears of an end in its own time.
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        while (lines_about(name, words) == 0 && std::chrono::steady_clock::now() < deadline)
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        EXPECT_EQ(lines_about(name, words), 1) << name << ": " << words;
    };

    auto leaves = connect("leaves", 1);
    ASSERT_EQ(leaves->log_in(), 0);
    leaves->protocol().send_logout(0);
    EXPECT_TRUE(leaves->run_until([&] { return leaves->is_closed(); }));
    leaves.reset();
    expect_line("leaves", "connection ended");

    auto vanishes = connect("vanishes", 2);
    ASSERT_EQ(vanishes->log_in(), 0);
    vanishes.reset();
    expect_line("vanishes", "reason=\"closed by the initiator\"");

    auto babbles = connect("babbles", 3);
    ASSERT_EQ(babbles->log_in(), 0);
    iscsi::NopOut too_long{};
    too_long.data_segment_length.set(0xffffff);
    babbles->send_raw(bytes_of_struct(too_long));
    EXPECT_TRUE(babbles->run_until([&] { return babbles->is_closed(); }));
    babbles.reset();
    expect_line("babbles", "beyond MaxRecvDataSegmentLength");

    auto joins = connect("joins", 4, 99);
    EXPECT_NE(joins->log_in(), 0);
    joins.reset();
    expect_line("joins", "login refused");
}

/// A Login Request whose text goes on in the next one: the target has to keep what it has so far.
std::vector<std::byte> unfinished_login() {
    constexpr std::size_t text_bytes = 8192;
    iscsi::LoginRequest request{};
    request.opcode = iscsi::opcode::login_request | iscsi::opcode::immediate;
    request.flags = iscsi::LoginRequest::flag_continue | 1U << 2;  // CSG operational
    request.data_segment_length.set(text_bytes);
    const Bytes header = bytes_of_struct(request);
    std::vector<std::byte> pdu(header.begin(), header.end());
    pdu.resize(pdu.size() + text_bytes, std::byte{'A'});
    return pdu;
}

TEST_F(LoginLimits, ThoseWhoDoNotLogInTakeLittleMemory) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "a sanitizer's own memory is many times ours";
#endif
    constexpr int count = 400;
    constexpr std::uint64_t bytes_per_connection_max = 96U << 10;
    start();
    auto served = connect("served", 1);
    ASSERT_EQ(served->log_in(), 0);
    const std::uint64_t before = daemon.anonymous_memory();
    const std::vector<std::byte> login = unfinished_login();
    std::vector<std::unique_ptr<SocketInitiator>> others;
    for (int i = 0; i < count; ++i) {
        others.push_back(connect("other", 2));
        SocketInitiator& other = *others.back();
        other.send_raw(login);
        // The answer to the first part says that the daemon has it.
        ASSERT_TRUE(other.run_until([&] { return other.protocol().login_status().has_value(); }));
        other.send_raw(login);
    }
    EXPECT_LT(daemon.anonymous_memory() - before, count * bytes_per_connection_max);
    served->protocol().send_ping({});
    EXPECT_TRUE(served->run_until([&] { return !served->protocol().inbox().empty(); }));
}

TEST_F(LoginLimits, GarbageEndsItsOwnConnectionAndNoOther) {
    const auto seed = std::random_device()();
    std::cout << "seed " << seed << '\n';
    std::mt19937 random(seed);
    daemon.configure("login_timeout = 1");
    start();
    auto served = connect("served", 1);
    ASSERT_EQ(served->log_in(), 0);
    for (std::uint8_t i = 0; i < 100; ++i) {
        auto garbage = connect("garbage", i);
        const bool logs_in_before = i % 2 == 1;
        if (logs_in_before) {
            ASSERT_EQ(garbage->log_in(), 0);
        }
        std::vector<std::byte> bytes(random() % 20'000);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(random());
        garbage->send_raw(bytes);
    }
    served->protocol().send_ping({});
    EXPECT_TRUE(served->run_until([&] { return !served->protocol().inbox().empty(); }));
    EXPECT_TRUE(served->protocol().violations().empty());
}

}  // namespace
}  // namespace cowtgt::e2e
