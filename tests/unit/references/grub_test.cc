#include "cow-store/references/grub.h"

#include <gtest/gtest.h>

#include <string>

#include "cow-store/base/endian.h"

namespace cowtgt::references {
namespace {

/// A module that tests features against this constant somewhere in its code.
bool refuses(std::uint32_t constant) {
    std::string module(1001, '\x90');
    const le32 word = constant;
    module.replace(333, sizeof(word), text_of(bytes_of_struct(word)));
    return refuses_checksum_seed(bytes_of(module));
}

TEST(Grub, OldModulesRefuseTheFeature) {
    EXPECT_TRUE(refuses(0xfffffd29));   // 2.00: without mmp
    EXPECT_TRUE(refuses(0xfffffc29));   // 2.02
    EXPECT_TRUE(refuses(0xfffefc29));   // 2.04, 2.06: with encrypt
    EXPECT_FALSE(refuses(0xfffedc29));  // the fix alone
    EXPECT_FALSE(refuses(0xfffe9c29));  // Debian's 2.06-13, 2.12: with large_dir
}

TEST(Grub, WhatIsNoModuleRefusesNothing) {
    EXPECT_FALSE(refuses(0xffffffff));
    EXPECT_FALSE(refuses(0x000103d6));
    EXPECT_FALSE(refuses_checksum_seed({}));
    EXPECT_FALSE(refuses_checksum_seed(bytes_of("ab")));
}

}  // namespace
}  // namespace cowtgt::references
