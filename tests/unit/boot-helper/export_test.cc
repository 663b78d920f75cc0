#include "boot-helper/export/export.h"

#include <gtest/gtest.h>

#include "tests/unit/boot-helper/golden.h"
#include "tests/unit/boot-helper/sample_fleet.h"

namespace cowtgt::boot {
namespace {

Fleet two_machines() {
    Fleet fleet = sample_fleet();
    Machine free = sample_machine();
    free.name = "web2";
    free.mac.reset();
    free.uuid.clear();
    free.session_addresses = {"10.0.0.22", "fd00::22"};
    fleet.machines.push_back(free);
    return fleet;
}

class EachExport : public testing::TestWithParam<const char*> {};

TEST_P(EachExport, IsAsInItsGoldenFile) {
    const ExportKind kind = *parse_export_kind(GetParam());
    const std::string machine = needs_machine(kind) ? "web1" : "";
    const Result<std::string> text = export_text(two_machines(), kind, machine);
    ASSERT_TRUE(text) << text.error().message;
    expect_golden("export-" + std::string(GetParam()), *text);
}

INSTANTIATE_TEST_SUITE_P(All, EachExport,
                         testing::Values("dnsmasq", "kea", "isc", "hosts", "ethers", "qemu",
                                         "libvirt"));

TEST(Export, HypervisorsAreToldWhoAuthenticates) {
    Fleet fleet = two_machines();
    fleet.machines[0].chap = Chap{"it's <web1>, 1", {}};
    expect_golden("export-chap", *export_text(fleet, ExportKind::qemu, "web1") +
                                     *export_text(fleet, ExportKind::libvirt, "web1"));
}

TEST(Export, Ipv6Only) {
    Fleet fleet = two_machines();
    fleet.http = {"fd00::1", 8080, true};
    expect_golden("export-dnsmasq-ipv6", *export_text(fleet, ExportKind::dnsmasq, ""));
}

TEST(Export, AnAddressMustBeNamed) {
    Fleet fleet = two_machines();
    fleet.http = {"0.0.0.0", 8080, false};
    EXPECT_EQ(export_text(fleet, ExportKind::dnsmasq, "").error().code, ErrorCode::refused);
    fleet.http = {};
    EXPECT_EQ(export_text(fleet, ExportKind::kea, "").error().code, ErrorCode::refused);
    EXPECT_TRUE(export_text(fleet, ExportKind::ethers, ""));
}

TEST(Export, UnknownKindsAndMachines) {
    EXPECT_EQ(export_text(two_machines(), ExportKind::qemu, "web9").error().code,
              ErrorCode::not_found);
    const Result<ExportKind> kind = parse_export_kind("bind");
    EXPECT_EQ(kind.error().code, ErrorCode::usage);
    EXPECT_NE(kind.error().message.find("dnsmasq, kea, isc"), std::string::npos);
}

}  // namespace
}  // namespace cowtgt::boot
