#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <string>

// The programs that an export is for read it. Where one is not installed its test is skipped; the
// golden files keep what it was given then.

namespace cowtgt::boot {
namespace {

std::string golden(const std::string& name) {
    return std::string(COWTGT_SOURCE_DIR) + "/tests/golden/boot/" + name;
}

bool is_installed(const std::string& program) {
    return std::system(("PATH=$PATH:/usr/sbin command -v " + program + " >/dev/null").c_str()) == 0;
}

int run(const std::string& command) {
    return std::system(("PATH=$PATH:/usr/sbin; " + command).c_str());
}

TEST(ExportPrograms, Dnsmasq) {
    if (!is_installed("dnsmasq")) GTEST_SKIP() << "dnsmasq is not installed";
    for (const char* name : {"export-dnsmasq", "export-dnsmasq-ipv6"}) {
        EXPECT_EQ(run("dnsmasq --test --conf-file=" + golden(name)), 0) << name;
    }
    EXPECT_NE(run("dnsmasq --test --conf-file=" + golden("export-kea") + " 2>/dev/null"), 0);
}

TEST(ExportPrograms, Kea) {
    if (!is_installed("kea-dhcp4")) GTEST_SKIP() << "Kea is not installed";
    EXPECT_EQ(run("kea-dhcp4 -t " + golden("export-kea")), 0);
    EXPECT_NE(run("kea-dhcp4 -t " + golden("export-dnsmasq") + " >/dev/null 2>&1"), 0);
}

}  // namespace
}  // namespace cowtgt::boot
