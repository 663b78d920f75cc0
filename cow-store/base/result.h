#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "cow-store/base/check.h"

namespace cowtgt {

/// The small, stable set that callers branch on. The exit code of the command follows from it.
enum class ErrorCode {
    failed,       ///< anything without a code of its own; exit code 1
    usage,        ///< the caller's words are wrong; exit code 2
    not_found,    ///< exit code 4
    exists,       ///< exit code 5
    in_use,       ///< exit code 5
    refused,      ///< exit code 5
    no_space,     ///< exit code 1
    io,           ///< the system said so; exit code 1
    corrupt,      ///< bytes are not what they must be; exit code 1
    unsupported,  ///< a newer format, an unknown incompatible feature; exit code 1
};

/// A failure of the world: what was being done, to what, and what the system said.
struct Error {
    ErrorCode code = ErrorCode::failed;
    std::string message;  ///< one sentence for people: what, where, how to mend it
    int os_errno = 0;     ///< 0 when no system call is to blame
};

/// A value or the Error that prevented it. The names are those of std::expected, which g++ 12 only
/// has with C++23.
template <typename T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

    bool has_value() const { return state_.index() == 0; }
    explicit operator bool() const { return has_value(); }
    T& value() & {
        CHECK(has_value());
        return *std::get_if<0>(&state_);
    }
    const T& value() const& {
        CHECK(has_value());
        return *std::get_if<0>(&state_);
    }
    T&& value() && {
        CHECK(has_value());
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }
    Error& error() & {
        CHECK(!has_value());
        return *std::get_if<1>(&state_);
    }
    const Error& error() const& {
        CHECK(!has_value());
        return *std::get_if<1>(&state_);
    }
    Error&& error() && {
        CHECK(!has_value());
        return std::move(*std::get_if<1>(&state_));
    }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

    bool has_value() const { return !error_.has_value(); }
    explicit operator bool() const { return has_value(); }
    const Error& error() const& {
        CHECK(error_.has_value());
        return *error_;
    }
    Error&& error() && {
        CHECK(error_.has_value());
        return std::move(*error_);
    }

private:
    std::optional<Error> error_;
};

/// An Error of a system call: "doing: strerror(os_errno)". ENOSPC and EDQUOT become no_space,
/// everything else io.
Error system_error(std::string doing, int os_errno);

}  // namespace cowtgt
