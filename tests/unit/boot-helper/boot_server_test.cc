#include "boot-helper/server/boot_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fstream>
#include <future>
#include <thread>

#include "boot-helper/server/response.h"
#include "tests/unit/boot-helper/sample_fleet.h"

namespace cowtgt::boot {
namespace {

class Recorder final : public BootEvents {
public:
    void boot_event(const BootEvent& event) override { events.push_back(event); }
    std::vector<BootEvent> events;
};

/// A server on a thread of its own, its clients on socket pairs.
class BootServerTest : public testing::Test {
protected:
    BootServerTest() {
        std::string name = (std::filesystem::temp_directory_path() / "cowtgt-boot.XXXXXX").string();
        CHECK(::mkdtemp(name.data()) != nullptr);
        folder_ = name;
        std::filesystem::create_directories(folder_ / "ipxe");
        std::ofstream(folder_ / "ipxe/snponly.efi") << "an iPXE program";
        std::ofstream(folder_ / "ipxe/.secret") << "hidden";
        std::ofstream(folder_ / "secret") << "outside";
        for (std::size_t n = 0; kernel_.size() < 3'500'000; ++n)
            kernel_ += std::to_string(n * 31);
        std::ofstream(folder_ / "k") << kernel_;
        Fleet fleet = sample_fleet();
        fleet.machines[0].kernel->file = folder_ / "k";
        fleet.machines[0].initrd->file = folder_ / "missing";
        fleet_ = std::make_shared<const Fleet>(std::move(fleet));
        options_.firmware_folders = {folder_ / "none", folder_ / "ipxe"};
        options_.now_ms = [] { return std::int64_t{1'795'435'200'000}; };
    }

    ~BootServerTest() override {
        if (thread_.joinable()) {
            boost::asio::post(io_, [this] { server_.reset(); });
            work_.reset();
            thread_.join();
        }
        std::filesystem::remove_all(folder_);
    }

    void start() {
        server_ = std::make_unique<BootServer>(
            io_, [this] { return fleet_; }, events_, options_);
        thread_ = std::thread([this] { io_.run(); });
    }

    /// A connected client. Its reads end after 10 s, so a test cannot hang.
    Descriptor connect() {
        int pair[2];
        CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
        const timeval limit{10, 0};
        ::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        on_server([&] { server_->adopt(Descriptor(pair[1]), reached_by_ipv4()); });
        return Descriptor(pair[0]);
    }

    template <typename Work>
    void on_server(Work work) {
        std::promise<void> done;
        boost::asio::post(io_, [&] {
            work();
            done.set_value();
        });
        done.get_future().wait();
    }

    std::vector<BootEvent> events() {
        std::vector<BootEvent> copy;
        on_server([&] { copy = events_.events; });
        return copy;
    }

    static void say(const Descriptor& client, const std::string& text) {
        EXPECT_EQ(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(text.size()));
    }

    /// Everything until the server closes.
    static std::string hear(const Descriptor& client) {
        std::string text;
        char buffer[65536];
        while (true) {
            const ssize_t count = ::recv(client.get(), buffer, sizeof(buffer), 0);
            if (count <= 0) return count == 0 ? text : text + "[no end]";
            text.append(buffer, static_cast<std::size_t>(count));
        }
    }

    std::string ask(const std::string& head) {
        const Descriptor client = connect();
        say(client, head + "\r\nHost: x\r\nConnection: close\r\n\r\n");
        return hear(client);
    }

    static std::string body_of(const std::string& answer) {
        const std::size_t end = answer.find("\r\n\r\n");
        return end == std::string::npos ? "[no header]" : answer.substr(end + 4);
    }
    static bool has(const std::string& answer, const std::string& line) {
        return answer.find(line + "\r\n") != std::string::npos;
    }

    std::string blob_path() const {
        return "/v1/blob/" + std::string(64, 'a') + "/vmlinuz-6.1.0-50-amd64";
    }

    std::filesystem::path folder_;
    std::string kernel_;
    std::shared_ptr<const Fleet> fleet_;
    Recorder events_;
    BootServerOptions options_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
        boost::asio::make_work_guard(io_);
    std::unique_ptr<BootServer> server_;
    std::thread thread_;
};

TEST_F(BootServerTest, ADocumentWithItsHeader) {
    start();
    const std::string answer = ask("GET /healthz HTTP/1.1");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(has(answer, "Content-Length: 3"));
    EXPECT_TRUE(has(answer, "Content-Type: text/plain; charset=utf-8"));
    EXPECT_TRUE(has(answer, "Date: Mon, 23 Nov 2026 12:00:00 GMT"));
    EXPECT_EQ(body_of(answer), "ok\n");
}

TEST_F(BootServerTest, AFileIsSentWholeAndByRange) {
    start();
    const std::string whole = ask("GET " + blob_path() + " HTTP/1.1");
    EXPECT_TRUE(has(whole, "Content-Length: " + std::to_string(kernel_.size())));
    EXPECT_TRUE(has(whole, "ETag: \"" + std::string(64, 'a') + "\""));
    EXPECT_TRUE(has(whole, "Accept-Ranges: bytes"));
    EXPECT_TRUE(body_of(whole) == kernel_);
    const std::string part =
        ask("GET " + blob_path() + " HTTP/1.1\r\nRange: bytes=1000000-3000000");
    EXPECT_TRUE(part.starts_with("HTTP/1.1 206 Partial Content\r\n"));
    EXPECT_TRUE(
        has(part, "Content-Range: bytes 1000000-3000000/" + std::to_string(kernel_.size())));
    EXPECT_TRUE(body_of(part) == kernel_.substr(1'000'000, 2'000'001));
    const std::string beyond = ask("GET " + blob_path() + " HTTP/1.1\r\nRange: bytes=9999999-");
    EXPECT_TRUE(beyond.starts_with("HTTP/1.1 416 "));
    EXPECT_EQ(body_of(beyond), "");
}

TEST_F(BootServerTest, HeadSaysTheSizeAndNothingMore) {
    start();
    const std::string answer = ask("HEAD " + blob_path() + "?mac=52-54-00-12-34-01 HTTP/1.1");
    EXPECT_TRUE(has(answer, "Content-Length: " + std::to_string(kernel_.size())));
    EXPECT_EQ(body_of(answer), "");
    EXPECT_TRUE(events().empty()) << "a HEAD fetches nothing";
}

TEST_F(BootServerTest, NotModified) {
    start();
    for (const std::string& path :
         {blob_path(), std::string("/boot.ipxe"), std::string("/ipxe/snponly.efi")}) {
        const std::string first = ask("GET " + path + " HTTP/1.1");
        const std::size_t at = first.find("ETag: ");
        ASSERT_NE(at, std::string::npos) << path;
        const std::string etag = first.substr(at + 6, first.find('\r', at) - at - 6);
        const std::string second = ask("GET " + path + " HTTP/1.1\r\nIf-None-Match: " + etag);
        EXPECT_TRUE(second.starts_with("HTTP/1.1 304 Not Modified\r\n")) << second;
        EXPECT_EQ(body_of(second), "");
    }
}

TEST_F(BootServerTest, SeveralRequestsOnOneConnectionEvenAtOnce) {
    start();
    const Descriptor client = connect();
    say(client, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET " + blob_path() +
                    " HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n");
    const std::string answers = hear(client);
    EXPECT_TRUE(answers.find(kernel_) != std::string::npos);
    EXPECT_TRUE(answers.ends_with("\r\n\r\nok\n"));
}

TEST_F(BootServerTest, ItOnlyReads) {
    start();
    for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
        const std::string answer = ask(std::string(method) + " /healthz HTTP/1.1");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 405 ")) << method;
        EXPECT_TRUE(has(answer, "Allow: GET, HEAD"));
    }
    const Descriptor client = connect();
    say(client,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\nGET /boot.ipxe HTTP/1.1\r\nHost: "
        "x\r\n\r\n");
    EXPECT_EQ(hear(client).find("#!ipxe"), std::string::npos) << "a body is no request";
}

TEST_F(BootServerTest, ProgramsComeFromTheListOnly) {
    start();
    EXPECT_EQ(body_of(ask("GET /ipxe/snponly.efi HTTP/1.1")), "an iPXE program");
    for (const char* path : {"/ipxe/.secret", "/ipxe/../secret", "/ipxe/%2e%2e/secret",
                             "/ipxe/..%2fsecret", "/ipxe/none", "/ipxe/"}) {
        const std::string answer = ask("GET " + std::string(path) + " HTTP/1.1");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 40")) << path << "\n" << answer;
        EXPECT_EQ(answer.find("outside"), std::string::npos);
    }
}

TEST_F(BootServerTest, AFileThatIsGoneIsSaid) {
    start();
    const std::string answer =
        ask("GET /v1/blob/" + std::string(64, 'b') + "/initrd.img-6.1.0-50-amd64 HTTP/1.1");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << answer;
}

TEST_F(BootServerTest, EventsOfABoot) {
    start();
    ask("GET /v1/boot?mac=52-54-00-12-34-01 HTTP/1.1");
    ask("GET " + blob_path() + "?mac=52-54-00-12-34-01 HTTP/1.1");
    const std::vector<BootEvent> seen = events();
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen[0].sighting, Sighting::script_asked);
    EXPECT_EQ(seen[0].machine, "web1");
    EXPECT_EQ(seen[0].peer, "10.0.0.21");
    EXPECT_EQ(seen[1].sighting, Sighting::kernel_asked);
}

TEST_F(BootServerTest, HugeAndMalformedRequests) {
    start();
    EXPECT_TRUE(ask("GET /" + std::string(4000, 'a') + " HTTP/1.1").starts_with("HTTP/1.1 414 "));
    EXPECT_TRUE(
        ask("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a')).starts_with("HTTP/1.1 431 "));
    EXPECT_TRUE(ask("nonsense").starts_with("HTTP/1.1 400 "));
    EXPECT_TRUE(ask("GET / HTTP/9.9").starts_with("HTTP/1.1 400 "));
}

TEST_F(BootServerTest, ASlowRequestIsEnded) {
    options_.request_time = std::chrono::milliseconds(30);
    start();
    const Descriptor client = connect();
    say(client, "GET /healthz HT");
    EXPECT_EQ(hear(client), "");
}

TEST_F(BootServerTest, AClientThatTakesNothingIsEnded) {
    options_.piece_time = std::chrono::milliseconds(30);
    start();
    const Descriptor client = connect();
    say(client, "GET " + blob_path() + " HTTP/1.1\r\nHost: x\r\n\r\n");
    std::size_t open = 1;
    while (open != 0)
        on_server([&] { open = server_->connections(); });
    EXPECT_LT(hear(client).size(), kernel_.size());
}

TEST_F(BootServerTest, TheLongestIdleConnectionMakesRoom) {
    options_.connections_max = 2;
    start();
    const Descriptor first = connect();
    const Descriptor second = connect();
    const Descriptor third = connect();
    EXPECT_EQ(hear(first), "");
    for (const Descriptor* client : {&second, &third}) {
        say(*client, "GET /healthz HTTP/1.0\r\n\r\n");
        EXPECT_EQ(body_of(hear(*client)), "ok\n");
    }
}

TEST(Response, DateOfTheStandard) {  // the example of RFC 9110 section 5.6.7
    EXPECT_EQ(http_date(784'111'777'000), "Sun, 06 Nov 1994 08:49:37 GMT");
}

}  // namespace
}  // namespace cowtgt::boot
