#pragma once

#include <cstdint>
#include <string>

#include "bench/macro/load_session.h"
#include "cow-store/base/result.h"

namespace cowtgt::bench {

struct LoginWish {
    std::string host = "127.0.0.1";
    std::uint16_t port = 3260;
    std::string target_name;
    std::uint32_t index = 0;  ///< tells the sessions of one initiator apart
    bool digests = false;
};

struct LoggedIn {
    int socket = -1;  ///< blocking; the caller's
    LoginOutcome login;
    std::uint64_t size_bytes = 0;  ///< of LUN 1 or LUN 0, whichever there is
    std::uint64_t lun = 0;         ///< as the 8-byte field of a PDU
};

/// Connects, logs in, clears the unit attentions and asks for the size. Waits.
Result<LoggedIn> log_in(const LoginWish& wish);

}  // namespace cowtgt::bench
