#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "cow-store/base/result.h"

/// What is said on the admin socket: one JSON object per line, UTF-8, ended by a line feed.
///   request:  {"command": "show", "arguments": {"name": "web01"}}
///   answer:   any number of {"progress": {"done": 1024, "total": 4096}}, then one of
///             {"result": ...} or {"error": {"code": "not_found", "message": "..."}}
/// The next request may follow on the same connection. A descriptor that a command needs (export)
/// is sent with the first byte of the request (SCM_RIGHTS). No I/O here.
namespace cowtgt::control {

std::string_view error_code_name(ErrorCode code);
/// An unknown name, of a newer daemon, is "failed".
ErrorCode error_code_of(std::string_view name);

struct RequestLine {
    std::string command;
    nlohmann::json arguments;  ///< an object
};
struct AnswerProgress {
    std::uint64_t done = 0;
    std::uint64_t total = 0;
};
using AnswerLine = std::variant<AnswerProgress, Result<nlohmann::json>>;

std::string encode_request(std::string_view command, const nlohmann::json& arguments);
/// usage for anything that is not a request; `line` has no line feed.
Result<RequestLine> decode_request(std::string_view line);

std::string encode_progress(const AnswerProgress& progress);
std::string encode_answer(const Result<nlohmann::json>& answer);
/// Nothing for anything that is not an answer.
std::optional<AnswerLine> decode_answer(std::string_view line);

/// Bytes that are no UTF-8 (a file name) are replaced, so this cannot fail.
std::string json_text(const nlohmann::json& value, int indent = -1);

}  // namespace cowtgt::control
