#include "boot-helper/core/documents.h"

#include <gtest/gtest.h>

#include "tests/unit/boot-helper/golden.h"
#include "tests/unit/boot-helper/sample_fleet.h"

namespace cowtgt::boot {
namespace {

constexpr std::int64_t now_ms = 1'795'435'200'000;  // 2026-11-23T12:00:00Z

Document document(std::string_view target, const Fleet& fleet,
                  const Reached& reached = reached_by_ipv4()) {
    const Outcome outcome = answer_request(target, fleet, reached, now_ms);
    const auto* made = std::get_if<Document>(&outcome.answer);
    EXPECT_NE(made, nullptr) << target;
    return made == nullptr ? Document{} : *made;
}

/// A golden file of several documents, each under a line that names it.
class Sections {
public:
    void add(const std::string& title, const Document& made) {
        text_ += "==== " + title + ": " + std::to_string(made.status) + " " +
                 std::string(made.content_type) + "\n" + made.body;
    }
    const std::string& text() const { return text_; }

private:
    std::string text_;
};

struct Version {
    const char* name;
    Reached reached;
};
const std::array versions = {Version{"ipv4", reached_by_ipv4()},
                             Version{"ipv6", reached_by_ipv6()}};

class EachDialect : public testing::TestWithParam<Dialect> {};

TEST_P(EachDialect, ScriptsOfEachModeFirmwareAndIpVersion) {
    Fleet fleet = sample_fleet();
    Machine& machine = fleet.machines[0];
    machine.dialect = GetParam();
    Sections sections;
    for (const BootMode mode : {BootMode::kernel, BootMode::disk}) {
        machine.mode = mode;
        for (const char* platform : {"pcbios", "efi"}) {
            for (const Version& version : versions) {
                sections.add(
                    std::string(to_string(mode)) + " " + platform + " " + version.name,
                    document("/v1/boot?mac=52-54-00-12-34-01&platform=" + std::string(platform),
                             fleet, version.reached));
            }
        }
    }
    expect_golden("script-" + std::string(to_string(GetParam())), sections.text());
}

TEST_P(EachDialect, DocumentsForLoadersWithoutIscsi) {
    Fleet fleet = sample_fleet();
    fleet.machines[0].dialect = GetParam();
    Sections sections;
    for (const Version& version : versions) {
        for (const char* target :
             {"/v1/cmdline/web1", "/v1/grub?mac=525400123401", "/v1/boot/5254.0012.3401.json"}) {
            sections.add(std::string(version.name) + " " + target,
                         document(target, fleet, version.reached));
        }
    }
    expect_golden("explicit-" + std::string(to_string(GetParam())), sections.text());
}

INSTANTIATE_TEST_SUITE_P(All, EachDialect,
                         testing::Values(Dialect::unknown, Dialect::dracut,
                                         Dialect::initramfs_tools, Dialect::ibft),
                         [](const auto& dialect) { return std::string(to_string(dialect.param)); });

TEST(Documents, ChainScriptIsTheSameForEverybody) {
    const Fleet fleet = sample_fleet();
    const Document script = document("/boot.ipxe", fleet);
    expect_golden("boot.ipxe", script.body);
    EXPECT_EQ(document("/autoexec.ipxe", fleet, reached_by_ipv6()).body, script.body);
    EXPECT_EQ(document("/ipxe/autoexec.ipxe", fleet).body, script.body);
}

TEST(Documents, MachinesWithEverySetting) {
    Fleet fleet = sample_fleet();
    Machine& machine = fleet.machines[0];
    machine.consoles = {"tty0", "ttyS0,115200"};
    machine.extra_words = "quiet mitigations='a b'";
    machine.seed = Seed{"#cloud-config\npackages: [nginx]\n", "", "version: 2\n"};
    machine.network = Network::ipv6;
    fleet.portals = {{"10.0.0.1", 3260, false}, {"fd00::1", 3261, true}};
    Sections sections;
    sections.add("all settings", document("/v1/boot?mac=52-54-00-12-34-01", fleet));
    sections.add("grub", document("/v1/grub?mac=52-54-00-12-34-01", fleet));
    machine.mode = BootMode::disk;
    machine.efi_program = "\\EFI\\debian\\grubx64.efi";
    for (const char* platform : {"pcbios", "efi"}) {
        sections.add(
            std::string("disk ") + platform,
            document("/v1/boot?mac=52-54-00-12-34-01&platform=" + std::string(platform), fleet));
    }
    expect_golden("settings", sections.text());
}

TEST(Documents, WhatCannotBootSaysWhy) {
    Fleet fleet = sample_fleet();
    Sections sections;
    fleet.machines[0].kernel.reset();
    sections.add("no kernel", document("/v1/boot?mac=52-54-00-12-34-01", fleet));
    sections.add("no kernel, grub", document("/v1/grub?mac=52-54-00-12-34-01", fleet));
    sections.add("no kernel, json", document("/v1/boot/52-54-00-12-34-01.json", fleet));
    fleet = sample_fleet();
    fleet.machines[0].root_label.clear();
    sections.add("no root", document("/v1/boot?mac=52-54-00-12-34-01", fleet));
    fleet = sample_fleet();
    fleet.portals = {{"10.0.0.1", 3260, false}};
    sections.add("no portal", document("/v1/boot?mac=52-54-00-12-34-01", fleet, reached_by_ipv6()));
    expect_golden("refusals", sections.text());
}

constexpr std::array machine_documents = {"/v1/boot?mac=52-54-00-12-34-01&platform=efi",
                                          "/v1/cmdline/web1", "/v1/grub?mac=52-54-00-12-34-01",
                                          "/v1/boot/52-54-00-12-34-01.json"};

TEST(Documents, ChapSecretsThatTheConfigurationLetsGo) {
    Fleet fleet = sample_fleet();
    Machine& machine = fleet.machines[0];
    Sections sections;
    for (const Dialect dialect : {Dialect::initramfs_tools, Dialect::dracut}) {
        machine.dialect = dialect;
        machine.chap = Chap{"web1", config::ChapSecrets{"web1", "a-secret-of-web1", "", ""}};
        for (const char* target : machine_documents) {
            sections.add(std::string(to_string(dialect)) + " " + target, document(target, fleet));
        }
        machine.chap->secrets = {"web1", "a-secret-of-web1", "cowtgt", "a-secret-of-ours"};
        sections.add(std::string(to_string(dialect)) + " mutual",
                     document(machine_documents[0], fleet));
        sections.add(std::string(to_string(dialect)) + " mutual, explicitly",
                     document("/v1/cmdline/web1", fleet));
    }
    machine.mode = BootMode::disk;
    sections.add("disk", document(machine_documents[0], fleet));
    expect_golden("chap", sections.text());
}

TEST(Documents, ChapSecretsAreNothingToAScript) {
    Fleet fleet = sample_fleet();
    fleet.machines[0].chap = Chap{"w", config::ChapSecrets{"w", "a${b} || c\"#", "", ""}};
    const std::string script = document(machine_documents[0], fleet).body;
    EXPECT_NE(script.find("set password:hex 61:24:7b:62:7d:20:7c:7c:20:63:22:23\n"),
              std::string::npos)
        << script;
    const Document line = document("/v1/cmdline/web1", fleet);
    EXPECT_EQ(line.status, 409);
    EXPECT_NE(line.body.find("letters, digits"), std::string::npos) << line.body;
}

TEST(Documents, WithoutThatWordNoDocumentHasASecret) {
    Fleet fleet = sample_fleet();
    fleet.machines[0].chap = Chap{"web1", {}};
    Sections sections;
    for (const char* target : machine_documents)
        sections.add(target, document(target, fleet));
    expect_golden("chap-refused", sections.text());
}

TEST(Documents, UnknownMachineIsToldWhatToType) {
    const Fleet fleet = sample_fleet();
    Sections sections;
    sections.add("bios", document("/v1/boot?mac=52:54:00:DE:AD:01&arch=i386&platform=pcbios"
                                  "&uuid=4c4c4544-0042-4310-8035-b4c04f4d3732&serial=4C5M72",
                                  fleet));
    sections.add("bare", document("/v1/boot?mac=525400dead01", fleet));
    sections.add("grub", document("/v1/grub?mac=525400dead01", fleet));
    sections.add("json", document("/v1/boot/52-54-00-de-ad-01.json", fleet));
    expect_golden("unknown", sections.text());
}

TEST(Documents, WhatAClientSaysCannotEndALineOfItsScript) {
    const std::string body = document(
                                 "/v1/boot?mac=525400dead01&serial=a%0Aexit%20%24%7Bx%7D||&uuid="
                                 "%0d%0ashell",
                                 sample_fleet())
                                 .body;
    EXPECT_NE(body.find("serial  aexitx\n"), std::string::npos);
    EXPECT_NE(body.find("UUID    shell\n"), std::string::npos);
    EXPECT_EQ(body.find("\nexit"), std::string::npos);
    EXPECT_EQ(body.find('\r'), std::string::npos);
}

TEST(Documents, MacsInAnyUsualSpellingAndNothingElse) {
    const Fleet fleet = sample_fleet();
    for (const char* mac : {"52:54:00:12:34:01", "52-54-00-12-34-01", "525400123401",
                            "5254.0012.3401", "52%3A54%3A00%3A12%3A34%3A01"}) {
        EXPECT_NE(document("/v1/boot?mac=" + std::string(mac), fleet).body.find("# web1"),
                  std::string::npos)
            << mac;
    }
    for (const char* mac : {"", "52:54:00:12:34", "52:54:00:12:34:0g", "52-54:00-12-34-01",
                            "01:00:5e:00:00:01", "00:00:00:00:00:00", "web1"}) {
        EXPECT_EQ(document("/v1/boot?mac=" + std::string(mac), fleet).status, 400) << mac;
        EXPECT_EQ(document("/v1/grub?mac=" + std::string(mac), fleet).status, 400) << mac;
    }
}

TEST(Documents, ReportsForPrograms) {
    Fleet fleet = sample_fleet();
    fleet.machines[0].stage = {Stage::initrd, now_ms - 240'000, now_ms - 300'000, true};
    Machine free = sample_machine();
    free.name = "web2";
    free.mac.reset();
    free.kernel.reset();
    fleet.machines.push_back(free);
    fleet.unknown = {{mac_of("52:54:00:de:ad:01"), "4c4c", "x86_64", "10.0.0.99", now_ms - 9'000,
                      now_ms - 1'000, 3}};
    fleet.problems = {"web2: two machines use its initiator name"};
    fleet.metrics = {
        {"cowtgt_sessions", "Sessions.", "gauge", {}, 2},
        {"cowtgt_logins_total", "Logins.", "counter", {{"result", "a\"b\\c\nd"}}, 1.5}};
    Sections sections;
    for (const char* target : {"/v1/machines", "/v1/status", "/metrics", "/healthz"}) {
        sections.add(target, document(target, fleet));
    }
    expect_golden("reports", sections.text());
}

TEST(Documents, SeedOnlyForWhoIsLoggedInToTheDisk) {
    Fleet fleet = sample_fleet();
    EXPECT_EQ(document("/v1/seed/web1/meta-data", fleet).status, 404) << "it has no seed";
    fleet.machines[0].seed = Seed{"", "vendor", ""};
    EXPECT_EQ(document("/v1/seed/web1/meta-data", fleet).status, 403);
    fleet.machines[0].session_addresses = {"10.0.0.20"};
    EXPECT_EQ(document("/v1/seed/web1/meta-data", fleet).status, 403);
    fleet.machines[0].session_addresses = {"10.0.0.20", "10.0.0.21"};
    Sections sections;
    for (const char* name : {"meta-data", "user-data", "vendor-data", "network-config", "other"}) {
        sections.add(name, document("/v1/seed/web1/" + std::string(name), fleet));
    }
    expect_golden("seed", sections.text());
}

TEST(Documents, BlobsAreFoundByHashAndName) {
    const Fleet fleet = sample_fleet();
    const std::string sha(64, 'a');
    const Outcome outcome = answer_request("/v1/blob/" + sha + "/vmlinuz-6.1.0-50-amd64", fleet,
                                           reached_by_ipv4(), now_ms);
    const auto* blob = std::get_if<BlobAnswer>(&outcome.answer);
    ASSERT_NE(blob, nullptr);
    EXPECT_EQ(blob->blob.file, "/k");
    EXPECT_FALSE(outcome.event) << "without a MAC nobody is known to boot";
    EXPECT_EQ(document("/v1/blob/" + sha + "/initrd", fleet).status, 404);
    EXPECT_EQ(document("/v1/blob/" + std::string(64, 'c') + "/vmlinuz", fleet).status, 404);
    EXPECT_EQ(document("/v1/blob//vmlinuz", fleet).status, 404);
}

TEST(Documents, RequestsTellTheStages) {
    const Fleet fleet = sample_fleet();
    const auto event = [&](const std::string& target) {
        return answer_request(target, fleet, reached_by_ipv4(), now_ms).event;
    };
    const auto script = event("/v1/boot?mac=525400123401&uuid=4c&arch=i386");
    ASSERT_TRUE(script);
    EXPECT_EQ(script->sighting, Sighting::script_asked);
    EXPECT_EQ(script->machine, "web1");
    EXPECT_EQ(script->peer, "10.0.0.21");
    const auto unknown = event("/v1/boot?mac=525400dead01&uuid=4c&arch=i386");
    ASSERT_TRUE(unknown);
    EXPECT_EQ(unknown->machine, "");
    EXPECT_EQ(unknown->uuid, "4c");
    EXPECT_EQ(unknown->arch, "i386");
    const auto kernel =
        event("/v1/blob/" + std::string(64, 'a') + "/vmlinuz-6.1.0-50-amd64?mac=52-54-00-12-34-01");
    ASSERT_TRUE(kernel);
    EXPECT_EQ(kernel->sighting, Sighting::kernel_asked);
    const auto initrd = event("/v1/blob/" + std::string(64, 'b') +
                              "/initrd.img-6.1.0-50-amd64?mac=52-54-00-12-34-01");
    ASSERT_TRUE(initrd);
    EXPECT_EQ(initrd->sighting, Sighting::initrd_asked);
    EXPECT_FALSE(event("/boot.ipxe"));
    EXPECT_FALSE(event("/v1/cmdline/web1"));
}

TEST(Documents, NothingElseIsThere) {
    const Fleet fleet = sample_fleet();
    for (const char* target : {"/", "/v1", "/v1/boot/x", "/v1/boot/x/y", "/v1/blob/x",
                               "/index.html", "/v1/cmdline/web9", "/v1/machines/web1"}) {
        EXPECT_EQ(document(target, fleet).status, 404) << target;
    }
    const Outcome outcome = answer_request("/ipxe/snponly.efi", fleet, reached_by_ipv4(), now_ms);
    EXPECT_TRUE(std::holds_alternative<FirmwareAnswer>(outcome.answer));
}

}  // namespace
}  // namespace cowtgt::boot
