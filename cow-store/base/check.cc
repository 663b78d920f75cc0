#include "cow-store/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace cowtgt {

void check_failed(const char* expression, const char* file, int line) {
    std::fprintf(stderr, "cowtgt: internal error: %s is false (%s:%d)\n", expression, file, line);
    std::abort();
}

}  // namespace cowtgt
