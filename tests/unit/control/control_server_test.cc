// The admin socket over a pair of sockets: requests, limits, cancelling. The server runs on the
// test's thread, the client on another.

#include "target/control/control_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "target/control/control_client.h"
#include "target/control/unix_socket.h"
#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

using nlohmann::json;

/// Answers with its arguments, or as the command says.
void echo(ControlRequest request, const std::shared_ptr<ControlReply>& reply) {
    if (request.command == "fail") {
        reply->finish(Error{ErrorCode::not_found, "no such thing"});
    } else if (request.command == "drop") {
        return;
    } else if (request.command == "steps") {
        reply->progress(1, 2);
        reply->progress(2, 2);
        reply->finish(json("done"));
    } else {
        reply->finish(std::move(*request.arguments));
    }
}

class ControlServerTest : public ::testing::Test {
protected:
    /// Serves one connection while `client` runs with the other end of it.
    void serve(ControlHandler handler, const std::function<void(Descriptor)>& client,
               ControlLimits limits = {}) {
        std::array<int, 2> ends{};
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        io_.restart();
        ControlServer server(io_, std::move(handler), limits);
        server.adopt(Descriptor(ends[0]));
        std::thread other([&] { client(Descriptor(ends[1])); });
        io_.run();  // ends when the connection has ended
        other.join();
    }

    boost::asio::io_context io_;
};

std::string read_to_end(int socket) {
    std::string all;
    std::array<char, 4096> piece{};
    for (ssize_t count = 0; (count = ::read(socket, piece.data(), piece.size())) > 0;) {
        all.append(piece.data(), static_cast<std::size_t>(count));
    }
    return all;
}

TEST_F(ControlServerTest, AnswersOneRequestAfterTheOther) {
    serve(echo, [](Descriptor socket) {
        ControlClient client(std::move(socket));
        EXPECT_EQ(client.call("echo", {{"a", 1}}).value(), (json{{"a", 1}}));
        const auto failed = client.call("fail", json::object());
        ASSERT_FALSE(failed);
        EXPECT_EQ(failed.error().code, ErrorCode::not_found);
        EXPECT_EQ(failed.error().message, "no such thing");
        const std::string large(60000, 'x');
        EXPECT_EQ(client.call("echo", {{"text", large}}).value().at("text"), large);
    });
}

TEST_F(ControlServerTest, ProgressComesBeforeTheResult) {
    serve(echo, [](Descriptor socket) {
        ControlClient client(std::move(socket));
        std::vector<std::uint64_t> steps;
        const auto result =
            client.call("steps", json::object(), -1,
                        [&steps](std::uint64_t done, std::uint64_t) { steps.push_back(done); });
        EXPECT_EQ(result.value(), "done");
        EXPECT_EQ(steps, (std::vector<std::uint64_t>{1, 2}));
    });
}

TEST_F(ControlServerTest, ADroppedRequestIsAnsweredNonetheless) {
    serve(echo, [](Descriptor socket) {
        ControlClient client(std::move(socket));
        const auto result = client.call("drop", json::object());
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::failed);
    });
}

TEST_F(ControlServerTest, RequestsThatCameTogetherAreAnsweredInOrder) {
    serve(echo, [](Descriptor socket) {
        const std::string three =
            "{\"command\": \"a\", \"arguments\": {\"n\": 1}}\nnonsense\n{\"command\": \"fail\"}\n";
        ASSERT_TRUE(send_with_descriptor(socket.get(), three, -1));
        std::string answers;
        char byte = 0;
        while (std::count(answers.begin(), answers.end(), '\n') < 3) {
            ASSERT_EQ(::read(socket.get(), &byte, 1), 1) << answers;
            answers += byte;
        }
        EXPECT_EQ(answers.find("{\"result\":{\"n\":1}}\n{\"error\":{\"code\":\"usage\""), 0U)
            << answers;
        EXPECT_NE(answers.find("\"not_found\"", answers.find("\"usage\"")), std::string::npos);
    });
    serve(echo, [](Descriptor socket) {
        ControlClient client(std::move(socket));
        for (int i = 0; i < 1000; ++i) {
            ASSERT_EQ(client.call("echo", {{"n", i}}).value().at("n"), i);
        }
    });
}

TEST_F(ControlServerTest, ARequestThatIsTooLongEndsTheConnection) {
    ControlLimits limits;
    limits.request_bytes_max = 1000;
    serve(
        echo,
        [](Descriptor socket) {
            // Less than one receive takes, so that nothing unread resets the connection.
            ASSERT_TRUE(send_with_descriptor(socket.get(), std::string(1001, 'x'), -1));
            const std::string answer = read_to_end(socket.get());
            EXPECT_NE(answer.find("longer than 1000 bytes"), std::string::npos) << answer;
            EXPECT_NE(answer.find("\"usage\""), std::string::npos) << answer;
        },
        limits);
}

TEST_F(ControlServerTest, AClientThatSaysNothingIsLetGo) {
    ControlLimits limits;
    limits.request_time = std::chrono::milliseconds(1);
    serve(
        echo,
        [](Descriptor socket) {
            (void)send_with_descriptor(socket.get(), "{\"comm", -1);  // may be too late already
            EXPECT_EQ(read_to_end(socket.get()), "");
        },
        limits);
}

TEST_F(ControlServerTest, AClientThatTakesNoAnswerIsLetGo) {
    ControlLimits limits;
    limits.answer_time = std::chrono::milliseconds(1);
    std::size_t sent = 0;
    const auto long_answer = [&sent](const ControlRequest&,
                                     const std::shared_ptr<ControlReply>& reply) {
        std::string text(16U << 20, 'x');
        sent = text.size();
        reply->finish(json(std::move(text)));
    };
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const Descriptor ours(ends[1]);
    ASSERT_TRUE(send_with_descriptor(ours.get(), "{\"command\": \"ls\"}\n", -1));
    ControlServer server(io_, long_answer, limits);
    server.adopt(Descriptor(ends[0]));
    io_.run();  // would not end if the connection did not
    EXPECT_LT(read_to_end(ours.get()).size(), sent);
}

TEST_F(ControlServerTest, WorkIsToldWhenItsClientIsGone) {
    std::shared_ptr<ControlReply> kept;
    const auto keep = [&kept](const ControlRequest&, const std::shared_ptr<ControlReply>& reply) {
        kept = reply;
        EXPECT_FALSE(kept->is_cancelled());
    };
    serve(keep, [](Descriptor socket) {
        ASSERT_TRUE(send_with_descriptor(socket.get(), "{\"command\": \"ls\"}\n", -1));
    });
    ASSERT_TRUE(kept);
    EXPECT_TRUE(kept->is_cancelled());
    kept->progress(1, 2);  // goes nowhere, harms nothing
    kept->finish(json());
}

TEST_F(ControlServerTest, OnlySoManyClientsAtOnce) {
    ControlLimits limits;
    limits.connections_max = 1;
    ControlServer server(io_, echo, limits);
    std::array<int, 2> first{};
    std::array<int, 2> second{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, first.data()), 0);
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, second.data()), 0);
    const Descriptor first_end(first[1]);
    const Descriptor second_end(second[1]);
    server.adopt(Descriptor(first[0]));
    server.adopt(Descriptor(second[0]));
    EXPECT_NE(read_to_end(second_end.get()).find("too many"), std::string::npos);
}

TEST_F(ControlServerTest, TheSocketIsThereWhileTheServerIs) {
    const TemporaryFolder folder;
    const std::filesystem::path socket = folder.path() / std::string(150, 'l') / "control.sock";
    {
        auto server = ControlServer::open(io_, socket, echo);
        ASSERT_TRUE(server) << server.error().message;
        const auto second = ControlServer::open(io_, socket, echo);
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().code, ErrorCode::in_use);
        std::thread other([&] {
            auto client = ControlClient::connect(socket);
            ASSERT_TRUE(client && *client);
            EXPECT_EQ((*client)->call("echo", {{"a", 1}}).value().at("a"), 1);
            io_.stop();
        });
        io_.run();
        other.join();
    }
    EXPECT_FALSE(std::filesystem::exists(socket));
    const auto nobody = ControlClient::connect(socket);
    ASSERT_TRUE(nobody);
    EXPECT_FALSE(nobody->has_value());
}

}  // namespace
}  // namespace cowtgt::control
