#pragma once

#include "cow-store/base/result.h"

namespace cowtgt {

inline constexpr int exit_usage = 2;

/// What scripts get from both programs: 1 failed, 2 usage, 4 not found, 5 refused.
inline int exit_code(ErrorCode code) {
    switch (code) {
        case ErrorCode::usage:
            return exit_usage;
        case ErrorCode::not_found:
            return 4;
        case ErrorCode::exists:
        case ErrorCode::in_use:
        case ErrorCode::refused:
            return 5;
        case ErrorCode::failed:
        case ErrorCode::no_space:
        case ErrorCode::io:
        case ErrorCode::corrupt:
        case ErrorCode::unsupported:
            return 1;
    }
    return 1;
}

}  // namespace cowtgt
