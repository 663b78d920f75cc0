#pragma once

namespace cowtgt {

/// Prints the broken expectation and aborts. Recovery after an abort is tested, so stopping is
/// safe; going on with a broken invariant is not.
[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace cowtgt

/// What must hold whatever peers, disks and users do. On in every build.
#define CHECK(expression) \
    ((expression) ? static_cast<void>(0) : ::cowtgt::check_failed(#expression, __FILE__, __LINE__))
