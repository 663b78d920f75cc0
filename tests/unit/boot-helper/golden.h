#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace cowtgt::boot {

/// Compares with tests/golden/boot/NAME. With COWTGT_WRITE_GOLDEN=1 in the environment the file is
/// written instead, for a look at the difference with git.
inline void expect_golden(const std::string& name, const std::string& text) {
    const std::string path = std::string(COWTGT_SOURCE_DIR) + "/tests/golden/boot/" + name;
    if (std::getenv("COWTGT_WRITE_GOLDEN") != nullptr) {
        std::ofstream(path) << text;
        return;
    }
    const std::ifstream file(path);
    ASSERT_TRUE(file.is_open()) << path;
    std::ostringstream golden;
    golden << file.rdbuf();
    EXPECT_EQ(text, golden.str()) << path;
}

}  // namespace cowtgt::boot
