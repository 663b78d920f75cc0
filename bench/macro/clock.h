#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>

#include "cow-store/base/check.h"

namespace cowtgt::bench {

inline std::uint64_t now_ns(clockid_t clock = CLOCK_MONOTONIC) {
    timespec time{};
    CHECK(clock_gettime(clock, &time) == 0);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
}

inline std::uint64_t seconds_to_ns(double seconds) {
    return static_cast<std::uint64_t>(seconds * 1e9);
}

/// CPU time of a whole process, its ended threads included; 0 if there is none.
inline std::uint64_t cpu_ns_of(pid_t process) {
    clockid_t clock{};
    if (process == 0 || clock_getcpuclockid(process, &clock) != 0) return 0;
    return now_ns(clock);
}

}  // namespace cowtgt::bench
