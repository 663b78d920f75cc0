#include "tools/cowtgt_progress.h"

#include <gtest/gtest.h>

namespace cowtgt::tools {
namespace {

using std::chrono::milliseconds;

TEST(Progress, SaysShareRateAndTimeLeft) {
    EXPECT_EQ(progress_text("importing a", 1ULL << 30, 4ULL << 30, milliseconds(2000)),
              "importing a  1G of 4G  [#####               ] 25%  512M/s  0:06 left");
    EXPECT_EQ(progress_text("x", 100, 100ULL * 3661, milliseconds(1000)),
              "x  100 of 358K  [                    ] 0%  100/s  1:01:00 left");
}

TEST(Progress, SaysNoRateBeforeItMeansAnything) {
    EXPECT_EQ(progress_text("x", 50, 100, milliseconds(100)),
              "x  50 of 100  [##########          ] 50%");
    EXPECT_EQ(progress_text("x", 0, 100, milliseconds(9000)),
              "x  0 of 100  [                    ] 0%  0/s");
}

TEST(Progress, CopesWithAnUnknownTotalAndWithMoreThanAll) {
    EXPECT_EQ(progress_text("x", 1024, 0, milliseconds(1000)), "x  1K  1K/s");
    EXPECT_EQ(progress_text("x", 300, 200, milliseconds(1000)),
              "x  200 of 200  [####################] 100%  200/s  0:00 left");
}

}  // namespace
}  // namespace cowtgt::tools
