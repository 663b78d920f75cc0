// The lines of the admin socket, without a socket.

#include "target/control/protocol.h"

#include <gtest/gtest.h>

#include <string>

namespace cowtgt::control {
namespace {

using nlohmann::json;

TEST(Protocol, ARequestIsReadAsItWasWritten) {
    const std::string line = encode_request("rename", {{"name", "a\nb"}, {"to", "ü"}});
    EXPECT_EQ(line.find('\n'), line.size() - 1);
    const auto request = decode_request(line.substr(0, line.size() - 1));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->command, "rename");
    EXPECT_EQ(request->arguments, (json{{"name", "a\nb"}, {"to", "ü"}}));
    EXPECT_EQ(decode_request(R"({"command": "ls"})")->arguments, json::object());
}

TEST(Protocol, WhatIsNoRequestIsRefused) {
    for (const char* line : {"", "ls", "[]", "null", "{}", R"({"command": 1})",
                             R"({"command": ""})", R"({"command": "ls", "arguments": []})",
                             R"({"command": "ls"} x)", R"({"command": "ls")", "\xff\xfe"}) {
        const auto request = decode_request(line);
        ASSERT_FALSE(request) << line;
        EXPECT_EQ(request.error().code, ErrorCode::usage);
    }
    EXPECT_FALSE(decode_request(std::string(60000, '[')));
}

TEST(Protocol, EveryErrorCodeSurvivesTheWay) {
    for (const ErrorCode code :
         {ErrorCode::failed, ErrorCode::usage, ErrorCode::not_found, ErrorCode::exists,
          ErrorCode::in_use, ErrorCode::refused, ErrorCode::no_space, ErrorCode::io,
          ErrorCode::corrupt, ErrorCode::unsupported}) {
        std::string line = encode_answer(Error{code, "why \xff"});
        line.pop_back();
        auto answer = decode_answer(line);
        ASSERT_TRUE(answer);
        const auto& result = std::get<Result<json>>(*answer);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, code);
        EXPECT_EQ(result.error().message, "why \xef\xbf\xbd");
    }
    EXPECT_EQ(error_code_of("of a newer daemon"), ErrorCode::failed);
}

TEST(Protocol, ResultsAndProgressAreToldApart) {
    auto result = decode_answer(R"({"result": null})");
    ASSERT_TRUE(result);
    EXPECT_TRUE(std::get<Result<json>>(*result).value().is_null());
    auto progress = decode_answer(encode_progress({1, 1ULL << 63}));
    ASSERT_TRUE(progress);
    EXPECT_EQ(std::get<AnswerProgress>(*progress).done, 1U);
    EXPECT_EQ(std::get<AnswerProgress>(*progress).total, 1ULL << 63);
    for (const char* line : {"", "{}", "[1]", R"({"error": "text"})", R"({"progress": 1})"}) {
        EXPECT_FALSE(decode_answer(line)) << line;
    }
}

}  // namespace
}  // namespace cowtgt::control
