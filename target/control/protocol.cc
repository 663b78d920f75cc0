#include "target/control/protocol.h"

#include <algorithm>
#include <array>
#include <utility>

namespace cowtgt::control {

using nlohmann::json;

namespace {

constexpr std::array error_codes = {
    std::pair{ErrorCode::failed, std::string_view("failed")},
    std::pair{ErrorCode::usage, std::string_view("usage")},
    std::pair{ErrorCode::not_found, std::string_view("not_found")},
    std::pair{ErrorCode::exists, std::string_view("exists")},
    std::pair{ErrorCode::in_use, std::string_view("in_use")},
    std::pair{ErrorCode::refused, std::string_view("refused")},
    std::pair{ErrorCode::no_space, std::string_view("no_space")},
    std::pair{ErrorCode::io, std::string_view("io")},
    std::pair{ErrorCode::corrupt, std::string_view("corrupt")},
    std::pair{ErrorCode::unsupported, std::string_view("unsupported")},
};

std::string text_at(const json& object, std::string_view key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t number_at(const json& object, std::string_view key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

}  // namespace

std::string_view error_code_name(ErrorCode code) {
    const auto* found = std::find_if(error_codes.begin(), error_codes.end(),
                                     [code](const auto& row) { return row.first == code; });
    return found != error_codes.end() ? found->second : error_codes.front().second;
}

ErrorCode error_code_of(std::string_view name) {
    const auto* found = std::find_if(error_codes.begin(), error_codes.end(),
                                     [name](const auto& row) { return row.second == name; });
    return found != error_codes.end() ? found->first : ErrorCode::failed;
}

std::string json_text(const json& value, int indent) {
    return value.dump(indent, ' ', false, json::error_handler_t::replace);
}

std::string encode_request(std::string_view command, const json& arguments) {
    return json_text({{"command", command}, {"arguments", arguments}}) + "\n";
}

Result<RequestLine> decode_request(std::string_view line) {
    json document = json::parse(line, nullptr, false);
    if (!document.is_object()) {
        return Error{ErrorCode::usage, "a request is one line with one JSON object"};
    }
    RequestLine request{text_at(document, "command"), json::object()};
    if (request.command.empty()) {
        return Error{ErrorCode::usage, "the request has no \"command\""};
    }
    if (const auto found = document.find("arguments"); found != document.end()) {
        if (!found->is_object()) {
            return Error{ErrorCode::usage, "the request's \"arguments\" are no object"};
        }
        request.arguments = std::move(*found);
    }
    return request;
}

std::string encode_progress(const AnswerProgress& progress) {
    return json_text({{"progress", {{"done", progress.done}, {"total", progress.total}}}}) + "\n";
}

std::string encode_answer(const Result<json>& answer) {
    if (answer) return json_text({{"result", *answer}}) + "\n";
    return json_text({{"error",
                       {{"code", error_code_name(answer.error().code)},
                        {"message", answer.error().message}}}}) +
           "\n";
}

std::optional<AnswerLine> decode_answer(std::string_view line) {
    json document = json::parse(line, nullptr, false);
    if (!document.is_object()) return std::nullopt;
    if (const auto found = document.find("progress"); found != document.end()) {
        if (!found->is_object()) return std::nullopt;
        return AnswerProgress{number_at(*found, "done"), number_at(*found, "total")};
    }
    if (const auto found = document.find("result"); found != document.end()) {
        return AnswerLine(Result<json>(std::move(*found)));
    }
    if (const auto found = document.find("error"); found != document.end() && found->is_object()) {
        return AnswerLine(Result<json>(
            Error{error_code_of(text_at(*found, "code")), text_at(*found, "message")}));
    }
    return std::nullopt;
}

}  // namespace cowtgt::control
