// The way of a whole command: client, socket, service, operations, store; and exports through it.

#include "target/control/service.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "target/control/control_client.h"
#include "tests/unit/control/fake_live_instances.h"
#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

using nlohmann::json;

constexpr std::uint64_t disk_bytes = 1 << 20;

class ServiceTest : public ::testing::Test {
protected:
    ServiceTest() {
        config_.machines_file = folder_.path() / "machines.toml";
        config_.iqn_prefix = "iqn.2026-01.test";
        config_.store = folder_.path() / "store";
        EXPECT_TRUE(store::Store::create(config_.store));
        store_ = std::move(store::Store::open(config_.store, store::Locking::exclusive)).value();
        operations_ = std::make_unique<Operations>(
            config_, *store_, config::MachinesFile::load(config_.machines_file).value(), live_);
        const std::filesystem::path image = folder_.path() / "disk.raw";
        std::ofstream(image) << "a disk";
        std::filesystem::resize_file(image, disk_bytes);
        store::ImportOptions options;
        options.image = image;
        options.name = "debian";
        EXPECT_TRUE(store_->import_template(options));
        live_.content = {{0, "head"}, {disk_bytes / 2, "mid"}};
    }

    /// Serves while `client` runs with a connection of its own, then ends as the daemon does.
    void serve(const std::function<void(ControlClient)>& client) {
        boost::asio::io_context io;
        const auto busy = boost::asio::make_work_guard(io);
        auto service = std::make_unique<ControlService>(*operations_);
        {
            ControlServer server(io, service->handler(), {});
            std::array<int, 2> ends{};
            ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
            server.adopt(Descriptor(ends[0]));
            std::thread other([&] {
                client(ControlClient(Descriptor(ends[1])));
                io.stop();
            });
            io.run();
            other.join();
        }
        service.reset();
    }

    static std::string disk_content() {
        std::string content(disk_bytes, '\0');
        content.replace(0, 4, "head");
        content.replace(disk_bytes / 2, 3, "mid");
        return content;
    }

    TemporaryFolder folder_;
    config::Config config_;
    FakeLiveInstances live_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<Operations> operations_;
};

TEST_F(ServiceTest, ACloneThroughTheSocketIsServed) {
    serve([](ControlClient client) {
        EXPECT_EQ(client.call("clone", {{"template", "debian"}, {"name", "web01"}})->at("target"),
                  "iqn.2026-01.test:web01");
        const auto again = client.call("clone", {{"template", "debian"}, {"name", "web01"}});
        ASSERT_FALSE(again);
        EXPECT_EQ(again.error().code, ErrorCode::exists);
        EXPECT_EQ(client.call("ls", json::object())->size(), 1U);
    });
    EXPECT_TRUE(live_.online.contains("web01"));
}

TEST_F(ServiceTest, AnExportGoesIntoTheFileThatCameAlong) {
    const std::filesystem::path file = folder_.path() / "out.raw";
    serve([&](ControlClient client) {
        ASSERT_TRUE(client.call("clone", {{"template", "debian"}, {"name", "web01"}}));
        const Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT, 0600));
        const auto done = client.call("export", {{"name", "web01"}}, out.get());
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_EQ(done->at("size_bytes"), disk_bytes);
        // The export is over when it is answered: nothing holds the instance any more.
        EXPECT_TRUE(client.call("rm", {{"name", "web01"}}));
    });
    std::ifstream in(file, std::ios::binary);
    EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(in), {}) == disk_content());
}

TEST_F(ServiceTest, AnExportIntoASocketEndsWithTheSocket) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    auto content = std::async(std::launch::async, [&reading] {
        std::string all;
        std::array<char, 65536> piece{};
        for (ssize_t count = 0; (count = ::read(reading.get(), piece.data(), piece.size())) > 0;) {
            all.append(piece.data(), static_cast<std::size_t>(count));
        }
        return all;
    });
    serve([&](ControlClient client) {
        ASSERT_TRUE(client.call("clone", {{"template", "debian"}, {"name", "web01"}}));
        EXPECT_TRUE(client.call("export", {{"name", "web01"}}, writing.get()));
        writing = Descriptor();
    });
    EXPECT_TRUE(content.get() == disk_content());
}

TEST_F(ServiceTest, BadExportsAreRefused) {
    serve([&](ControlClient client) {
        const auto nothing_along = client.call("export", {{"name", "web01"}});
        ASSERT_FALSE(nothing_along);
        EXPECT_EQ(nothing_along.error().code, ErrorCode::usage);
        const auto unknown = client.call("export", {{"name", "none"}}, STDERR_FILENO);
        ASSERT_FALSE(unknown);
        EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
    });
}

TEST_F(ServiceTest, AnExportThatNobodyTakesDoesNotKeepTheDaemon) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Descriptor never_read(ends[0]);
    const Descriptor writing(ends[1]);
    ASSERT_TRUE(operations_->run("clone", {{"template", "debian"}, {"name", "web01"}}));
    boost::asio::io_context io;
    const auto busy = boost::asio::make_work_guard(io);
    auto service = std::make_unique<ControlService>(*operations_);
    ControlServer server(io, service->handler(), {});
    std::array<int, 2> connection{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, connection.data()), 0);
    server.adopt(Descriptor(connection[0]));
    std::thread client([&] {
        ControlClient asking{Descriptor(connection[1])};
        const auto answer = asking.call("export", {{"name", "web01"}}, writing.get());
        EXPECT_FALSE(answer);
        io.stop();
    });
    // The export begins, and the socket soon has no room for more.
    while (!live_.is_read)
        io.poll();
    service.reset();  // ends it, and waits for that
    io.run();
    client.join();
    EXPECT_TRUE(operations_->run("rm", {{"name", "web01"}}));
}

}  // namespace
}  // namespace cowtgt::control
