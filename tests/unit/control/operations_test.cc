// The commands on a real store in a temporary folder, with somebody who pretends to serve.

#include "target/control/operations.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "target/control/describe.h"
#include "target/control/intent.h"
#include "tests/unit/control/fake_live_instances.h"
#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

using nlohmann::json;

constexpr std::uint64_t disk_bytes = 1 << 20;
constexpr const char* prefix = "iqn.2026-01.test";

class OperationsTest : public ::testing::Test {
protected:
    OperationsTest() {
        config_.file = folder_.path() / "cowtgt.toml";
        config_.machines_file = folder_.path() / "machines.toml";
        config_.secrets_file = folder_.path() / "secrets.toml";
        config_.iqn_prefix = prefix;
        config_.store = folder_.path() / "store";
        config_.listen = {config::parse_endpoint("10.0.0.1:3260").value(),
                          config::parse_endpoint("[fd00::1]:860").value()};
        EXPECT_TRUE(store::Store::create(config_.store));
        open();
        import("debian");
    }

    /// As the next command would find it.
    void open() {
        operations_.reset();
        store_.reset();
        live_.online.clear();
        store_ = std::move(store::Store::open(config_.store, store::Locking::exclusive)).value();
        operations_ = std::make_unique<Operations>(
            config_, *store_, config::MachinesFile::load(config_.machines_file).value(), live_);
    }

    void import(const std::string& name) { import_content(name, "a disk of " + name); }
    /// A disk whose MBR has a signature.
    void import_partitioned(const std::string& name) {
        std::string sector(512, '\0');
        sector.replace(440, 4, "\x12\x34\x56\x78");
        sector[446 + 4] = '\x83';
        sector[446 + 8] = 8;
        sector[446 + 12] = 8;
        sector.replace(510, 2, "\x55\xaa");
        import_content(name, sector);
    }
    void import_content(const std::string& name, const std::string& content) {
        const std::filesystem::path image = folder_.path() / "disk.raw";
        std::ofstream(image) << content;
        std::filesystem::resize_file(image, disk_bytes);
        store::ImportOptions options;
        options.image = image;
        options.name = name;
        const auto imported = store_->import_template(options);
        EXPECT_TRUE(imported) << imported.error().message;
    }

    Result<json> run(const std::string& command, const json& arguments = json::object()) {
        return operations_->run(command, arguments);
    }
    json value(const std::string& command, const json& arguments = json::object()) {
        auto result = run(command, arguments);
        EXPECT_TRUE(result) << command << ": " << result.error().message;
        return result ? *result : json();
    }
    void expect_error(ErrorCode code, const std::string& words, const std::string& command,
                      const json& arguments) {
        const auto result = run(command, arguments);
        ASSERT_FALSE(result) << command << arguments;
        EXPECT_EQ(result.error().code, code) << result.error().message;
        EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
    }
    void log_in(const std::string& name) {
        live_.sessions_of[name] = {{.initiator_name = "iqn.2026-01.test:init:a",
                                    .initiator_address = "10.0.0.7:5",
                                    .isid = "00023d000001",
                                    .since = "2026-01-01T00:00:00Z"}};
    }
    void clone(const std::string& name, const char* mac = nullptr) {
        json arguments = {{"template", "debian"}, {"name", name}};
        if (mac != nullptr) arguments["mac"] = mac;
        value("clone", arguments);
    }
    void write_machines(const std::string& text) {
        std::ofstream(config_.machines_file, std::ios::trunc) << text;
    }
    std::string machines() const {
        std::ifstream in(config_.machines_file);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    TemporaryFolder folder_;
    config::Config config_;
    FakeLiveInstances live_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<Operations> operations_;
};

TEST_F(OperationsTest, ACloneIsDescribedServedAndHasItsLine) {
    const json made = value(
        "clone",
        {{"template", "debian"}, {"name", "web01"}, {"mac", "52-54-00-12-34-01"}, {"size", "2M"}});
    EXPECT_EQ(made.at("name"), "web01");
    EXPECT_EQ(made.at("template"), "debian@1");
    EXPECT_EQ(made.at("target"), "iqn.2026-01.test:web01");
    EXPECT_EQ(made.at("lun"), 0);
    EXPECT_EQ(made.at("urls"), (json{"iscsi://10.0.0.1:3260/iqn.2026-01.test:web01/0",
                                     "iscsi://[fd00::1]:860/iqn.2026-01.test:web01/0"}));
    EXPECT_EQ(made.at("initiator"), "iqn.2026-01.test:init:web01");
    EXPECT_EQ(made.at("mac"), "52:54:00:12:34:01");
    EXPECT_EQ(made.at("size_bytes"), 2U << 20);
    EXPECT_EQ(made.at("sessions"), json::array());
    EXPECT_EQ(made, value("show", {{"name", "web01"}}));
    EXPECT_EQ(machines(), "web01 = \"52:54:00:12:34:01 debian@1 size=2M\"\n");
    ASSERT_TRUE(live_.online.contains("web01"));
    EXPECT_EQ(live_.online["web01"].mac, config::parse_mac("525400123401").value());
}

TEST_F(OperationsTest, ACloneCanBeToldItsIdentity) {
    import_partitioned("disk");
    const auto identity_of = [&](const char* name, const char* key, const char* with) {
        return value("clone", {{"template", "disk"}, {"name", name}, {key, with}}).at("identity");
    };
    const json first = identity_of("a", "identity_seed", "rack 3, slot 7");
    ASSERT_FALSE(first.empty());
    EXPECT_NE(first.at(0).at("new"), first.at(0).at("old"));
    EXPECT_EQ(identity_of("b", "identity_seed", "rack 3, slot 7"), first);
    EXPECT_NE(identity_of("c", "identity_seed", "rack 3, slot 8"), first);
    const json kept = identity_of("d", "identity", "keep");
    EXPECT_EQ(kept.at(0).at("new"), first.at(0).at("old"));
    EXPECT_NE(kept.at(0).at("kept_because"), "");
    EXPECT_EQ(identity_of("e", "identity", "require").at(0).at("kept_because"), "");
}

TEST_F(OperationsTest, ASecretIsKeptAppliedRenamedAndRemovedWithItsInstance) {
    clone("web01");
    EXPECT_TRUE(value("show", {{"name", "web01"}}).at("chap").is_null());
    const json answer =
        value("authenticate", {{"name", "web01"}, {"user", "w"}, {"secret", "a long secret"}});
    EXPECT_EQ(answer, (json{{"name", "web01"}, {"chap", "w"}}));
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("chap"), "w");
    const config::ChapSecrets expected{"w", "a long secret", "", ""};
    EXPECT_EQ(live_.secrets.at("web01"), expected);
    value("rename", {{"name", "web01"}, {"to", "web02"}});
    EXPECT_EQ(live_.secrets, (config::Secrets{{"web02", expected}}));
    value("rm", {{"name", "web02"}});
    EXPECT_TRUE(live_.secrets.empty());
    clone("web02");
    EXPECT_TRUE(value("show", {{"name", "web02"}}).at("chap").is_null());
}

TEST_F(OperationsTest, SecretsOfDiscoveryAndOfBothDirections) {
    value("authenticate", {{"name", "_discovery"},
                           {"user", "all"},
                           {"secret", "a secret of all"},
                           {"mutual_user", "we"},
                           {"mutual_secret", "a secret of ours"}});
    EXPECT_EQ(live_.secrets.at("_discovery").mutual_user, "we");
    value("authenticate", {{"name", "_discovery"}});
    EXPECT_TRUE(live_.secrets.empty());
    expect_error(ErrorCode::not_found, "web09", "authenticate",
                 {{"name", "web09"}, {"user", "w"}, {"secret", "a long secret"}});
    clone("web01");
    expect_error(ErrorCode::usage, "at least 12 bytes", "authenticate",
                 {{"name", "web01"}, {"user", "w"}, {"secret", "short"}});
    EXPECT_TRUE(live_.secrets.empty());
}

TEST_F(OperationsTest, ASecretWrittenByHandCountsAfterAReload) {
    clone("web01");
    {
        std::ofstream out(config_.secrets_file);
        out << "web01 = ['w', 'a long secret']\n";
    }
    std::filesystem::permissions(config_.secrets_file, std::filesystem::perms(0644));
    EXPECT_FALSE(operations_->reload());
    EXPECT_TRUE(live_.secrets.empty());
    std::filesystem::permissions(config_.secrets_file, std::filesystem::perms(0600));
    EXPECT_TRUE(operations_->reload());
    EXPECT_EQ(live_.secrets.at("web01").user, "w");
}

TEST_F(OperationsTest, WithoutAMacAnyInitiatorIsAdmitted) {
    clone("web01");
    const json shown = value("show", {{"name", "web01"}});
    EXPECT_TRUE(shown.at("mac").is_null());
    EXPECT_TRUE(shown.at("initiator").is_null());
    EXPECT_EQ(shown.at("size_bytes"), disk_bytes);
    EXPECT_EQ(machines(), "web01 = \"debian@1\"\n");
}

TEST_F(OperationsTest, ALineThatWasWrittenBeforeTheCloneCounts) {
    write_machines("web01 = '525400123401 size=4M'  # rack 3\n");
    clone("web01");
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("size_bytes"), 4U << 20);
    EXPECT_EQ(machines(), "web01 = \"52:54:00:12:34:01 debian@1 size=4M\"  # rack 3\n");
}

TEST_F(OperationsTest, BadInputIsRefusedAndChangesNothing) {
    clone("web01", "525400123401");
    const std::string before = machines();
    const json none = {{"name", "none"}};
    expect_error(ErrorCode::not_found, "none", "show", none);
    expect_error(ErrorCode::not_found, "none", "rm", none);
    expect_error(ErrorCode::not_found, "none", "reset", none);
    expect_error(ErrorCode::not_found, "none", "rename", {{"name", "none"}, {"to", "web09"}});
    expect_error(ErrorCode::not_found, "none", "template show", {{"template", "none"}});
    expect_error(ErrorCode::not_found, "none", "template rm", {{"template", "none"}});
    expect_error(ErrorCode::not_found, "none", "clone", {{"template", "none"}, {"name", "web09"}});
    expect_error(ErrorCode::not_found, "version 7", "clone",
                 {{"template", "debian@7"}, {"name", "web09"}});
    const auto clone_web09 = [](const char* key, const json& with) {
        json arguments = {{"template", "debian"}, {"name", "web09"}};
        arguments[key] = with;
        return arguments;
    };
    expect_error(ErrorCode::exists, "web01", "clone", clone_web09("name", "web01"));
    expect_error(ErrorCode::exists, "belongs to web01", "clone",
                 clone_web09("mac", "52:54:00:12:34:01"));
    expect_error(ErrorCode::usage, "MAC", "clone", clone_web09("mac", "5254"));
    expect_error(ErrorCode::usage, "size", "clone", clone_web09("size", "12parsecs"));
    expect_error(ErrorCode::usage, "size", "clone", clone_web09("size", "0"));
    expect_error(ErrorCode::usage, "Web", "clone", clone_web09("name", "Web"));
    expect_error(ErrorCode::usage, "name", "clone", clone_web09("name", ""));
    expect_error(ErrorCode::usage, "name", "clone", clone_web09("name", 7));
    expect_error(ErrorCode::usage, "colour", "clone", clone_web09("colour", "red"));
    expect_error(ErrorCode::usage, "auto, keep or", "clone", clone_web09("identity", "new"));
    expect_error(ErrorCode::usage, "grow", "clone", clone_web09("grow", "perhaps"));
    expect_error(ErrorCode::usage, "ROOT=", "clone", clone_web09("labels", {"ROOT"}));
    expect_error(ErrorCode::usage, "ROOT=", "clone", clone_web09("uuids", {"=1234-ABCD"}));
    expect_error(ErrorCode::not_found, "HOME", "clone", clone_web09("labels", {"HOME=x"}));
    expect_error(ErrorCode::usage, "mac-1", "rename", {{"name", "web01"}, {"to", "mac-1"}});
    expect_error(ErrorCode::exists, "web01", "rename", {{"name", "web01"}, {"to", "web01"}});
    expect_error(ErrorCode::in_use, "web01", "template rm", {{"template", "debian"}});
    expect_error(ErrorCode::usage, "frobnicate", "frobnicate", json::object());
    expect_error(ErrorCode::usage, "", "ls", json::array());
    EXPECT_EQ(machines(), before);
    EXPECT_EQ(value("ls").size(), 1U);
    EXPECT_EQ(live_.online.size(), 1U);
}

TEST_F(OperationsTest, NothingChangesWhileAnInitiatorIsLoggedIn) {
    clone("web01");
    log_in("web01");
    expect_error(ErrorCode::in_use, "init:a", "rm", {{"name", "web01"}});
    expect_error(ErrorCode::in_use, "init:a", "reset", {{"name", "web01"}});
    expect_error(ErrorCode::in_use, "init:a", "rename", {{"name", "web01"}, {"to", "web02"}});
    EXPECT_TRUE(live_.online.contains("web01"));
    const json session = value("ls").at(0).at("sessions").at(0);
    EXPECT_EQ(session, (json{{"initiator", "iqn.2026-01.test:init:a"},
                             {"address", "10.0.0.7:5"},
                             {"isid", "00023d000001"},
                             {"since", "2026-01-01T00:00:00Z"}}));
}

TEST_F(OperationsTest, RenameResetAndRemoveFollowThrough) {
    clone("web01", "525400123401");
    clone("web02");
    const std::string uuid = value("show", {{"name", "web01"}}).at("uuid");
    const json renamed = value("rename", {{"name", "web01"}, {"to", "db1"}});
    EXPECT_EQ(renamed.at("target"), "iqn.2026-01.test:db1");
    EXPECT_EQ(renamed.at("uuid"), uuid);
    EXPECT_EQ(machines(), "db1 = \"52:54:00:12:34:01 debian@1\"\nweb02 = \"debian@1\"\n");
    EXPECT_FALSE(live_.online.contains("web01"));
    EXPECT_EQ(live_.online.at("db1").name, "db1");
    EXPECT_EQ(value("reset", {{"name", "db1"}}).at("name"), "db1");
    EXPECT_TRUE(live_.online.contains("db1"));
    EXPECT_EQ(value("rm", {{"name", "db1"}}).at("removed"), "db1");
    EXPECT_FALSE(live_.online.contains("db1"));
    EXPECT_EQ(machines(), "web02 = \"debian@1\"\n");
    expect_error(ErrorCode::not_found, "db1", "show", {{"name", "db1"}});
}

TEST_F(OperationsTest, SetChangesTheLineAndWhatIsServed) {
    clone("web01", "525400123401");
    const json settings = {{"read-only", "yes"}, {"physical-block", "512"}};
    EXPECT_EQ(value("set", {{"name", "web01"}, {"settings", settings}}).at("settings"),
              (json{"physical-block=512", "read-only=yes"}));
    EXPECT_EQ(machines(),
              "web01 = \"52:54:00:12:34:01 debian@1 physical-block=512 read-only=yes\"\n");
    EXPECT_TRUE(live_.online.at("web01").read_only);
    EXPECT_EQ(live_.online.at("web01").physical_block, 512U);
    value("set", {{"name", "web01"}, {"settings", {{"read-only", "no"}}}});
    EXPECT_FALSE(live_.online.at("web01").read_only);
    expect_error(ErrorCode::usage, "there are physical-block", "set",
                 {{"name", "web01"}, {"settings", {{"colour", "blue"}}}});
    expect_error(ErrorCode::usage, "name a setting", "set", {{"name", "web01"}});
    expect_error(ErrorCode::not_found, "web02", "set",
                 {{"name", "web02"}, {"settings", {{"read-only", "no"}}}});
}

TEST_F(OperationsTest, TemplatesAreListedShownAndRemovedByVersion) {
    import("debian");
    import("alpine");
    json refs = json::array();
    for (const json& info : value("template ls"))
        refs.push_back(info.at("ref"));
    EXPECT_EQ(refs, (json{"alpine@1", "debian@1", "debian@2"}));
    EXPECT_EQ(value("template show", {{"template", "debian"}}).at("version"), 2);
    EXPECT_EQ(value("template show", {{"template", "debian@1"}}).at("version"), 1);
    EXPECT_EQ(value("template rm", {{"template", "debian@1"}}).at("removed"),
              json::array({"debian@1"}));
    import("debian");
    const json all = value("template rm", {{"template", "debian"}}).at("removed");
    EXPECT_EQ(all.size(), 2U);
    EXPECT_EQ(value("template ls").size(), 1U);
}

TEST_F(OperationsTest, ACloneThatCannotBeServedSaysBoth) {
    live_.unservable = "web01";
    expect_error(ErrorCode::corrupt,
                 "'web01' was cloned, but cannot be served: its layer is rotten", "clone",
                 {{"template", "debian"}, {"name", "web01"}});
    EXPECT_EQ(value("ls").size(), 1U);
}

TEST_F(OperationsTest, EveryInstanceIsServedAtTheStartWhateverItsNeighboursDo) {
    for (const char* name : {"a", "b", "c"})
        clone(name);
    open();
    live_.unservable = "b";
    const auto problems = operations_->bring_all_online();
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].message.find("b: "), 0U);
    EXPECT_EQ(live_.online.size(), 2U);
}

TEST_F(OperationsTest, AHandEditIsAppliedAtTheReloadAndABadOneIsNot) {
    clone("web01");
    clone("web02");
    EXPECT_EQ(operations_->reload().value(),
              (json{{"changed", json::array()}, {"without_instance", json::array()}}));
    write_machines("web01 = '525400123401 debian@1'\nweb02 = 'debian@1'\nweb03 = 'debian@1'\n");
    // Another command in between takes the edit in, but does not apply it.
    clone("web04");
    EXPECT_FALSE(live_.online.at("web01").mac);
    EXPECT_EQ(operations_->reload().value(),
              (json{{"changed", {"web01"}}, {"without_instance", {"web03"}}}));
    EXPECT_TRUE(live_.online.at("web01").mac);

    write_machines("nonsense\n");
    const auto refused = operations_->reload();
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("machines.toml:1:"), std::string::npos);
    EXPECT_TRUE(live_.online.at("web01").mac);
    expect_error(ErrorCode::usage, "machines.toml:1:", "clone",
                 {{"template", "debian"}, {"name", "web09"}});
    expect_error(ErrorCode::usage, "machines.toml:1:", "rm", {{"name", "web01"}});
    EXPECT_EQ(machines(), "nonsense\n");
    EXPECT_EQ(value("ls").size(), 3U);
}

TEST_F(OperationsTest, WhatIsExportedCannotBeChanged) {
    clone("web01");
    live_.content = {{0, "head"}, {8192, "tail"}};
    {
        auto job = operations_->begin_export("web01");
        ASSERT_TRUE(job);
        EXPECT_EQ(job->size_bytes(), disk_bytes);
        expect_error(ErrorCode::in_use, "exported", "rm", {{"name", "web01"}});
        std::string seen;
        const auto sink = [&seen](std::uint64_t offset, Bytes bytes) -> Result<void> {
            seen += std::to_string(offset) + ":" + std::string(text_of(bytes)) + " ";
            return {};
        };
        ASSERT_TRUE(job->run(sink, [](std::uint64_t, std::uint64_t) {}));
        EXPECT_EQ(seen, "0:head 8192:tail ");
    }
    value("rm", {{"name", "web01"}});
    const auto gone = operations_->begin_export("web01");
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ErrorCode::not_found);
}

TEST_F(OperationsTest, WhatAKilledCommandBeganIsBroughtToItsEnd) {
    const IntentFile intent(config_.store / "unfinished.json");
    clone("web01", "525400123401");
    // Killed between the clone in the store and the line.
    write_machines("");
    ASSERT_TRUE(intent.write(
        {Intent::Kind::clone, "web01", "", "web01 = \"52:54:00:12:34:01 debian size=1M\""}));
    open();
    EXPECT_EQ(operations_->recover().size(), 1U);
    EXPECT_EQ(machines(), "web01 = \"52:54:00:12:34:01 debian@1 size=1M\"\n");
    EXPECT_TRUE(operations_->recover().empty()) << "there is nothing left to do";

    // Between the rename in the store and that of the line.
    ASSERT_TRUE(store_->rename_instance("web01", "db1"));
    ASSERT_TRUE(intent.write({Intent::Kind::rename, "web01", "db1", ""}));
    open();
    EXPECT_EQ(operations_->recover().size(), 1U);
    EXPECT_EQ(machines(), "db1 = \"52:54:00:12:34:01 debian@1 size=1M\"\n");

    // Between the removal from the store and that of the line.
    ASSERT_TRUE(store_->remove_instance("db1"));
    ASSERT_TRUE(intent.write({Intent::Kind::remove, "db1", "", ""}));
    open();
    EXPECT_EQ(operations_->recover().size(), 1U);
    EXPECT_EQ(machines(), "");
}

TEST_F(OperationsTest, WhatAKilledCommandDidNotBeginIsForgotten) {
    const IntentFile intent(config_.store / "unfinished.json");
    clone("web01");
    const std::string before = machines();
    for (const Intent& unbegun : {Intent{Intent::Kind::clone, "new", "", "new = \"debian\""},
                                  Intent{Intent::Kind::remove, "web01", "", ""},
                                  Intent{Intent::Kind::rename, "web01", "db1", ""}}) {
        ASSERT_TRUE(intent.write(unbegun));
        open();
        EXPECT_TRUE(operations_->recover().empty());
        EXPECT_EQ(machines(), before);
        EXPECT_FALSE(intent.read());
    }
    std::ofstream(config_.store / "unfinished.json") << "{\"command\": \"rm\", \"na";
    open();
    EXPECT_TRUE(operations_->recover().empty());
    EXPECT_EQ(value("ls").size(), 1U);
}

TEST_F(OperationsTest, ADryRunSaysWhatWouldHappenAndDoesNothing) {
    clone("web01", "52-54-00-12-34-01");
    const std::string before = machines();
    const json removal = value("rm", {{"name", "web01"}, {"dry_run", true}});
    EXPECT_EQ(removal.at("removed"), "web01");
    EXPECT_EQ(removal.at("dry_run"), true);
    EXPECT_GT(removal.at("freed_bytes"), 0);
    EXPECT_EQ(value("reset", {{"name", "web01"}, {"dry_run", true}}).at("dry_run"), true);
    EXPECT_EQ(value("rebase", {{"name", "web01"}, {"template", "debian"}, {"dry_run", true}}),
              (json{{"name", "web01"}, {"template", "debian@1"}, {"dry_run", true}}));
    expect_error(ErrorCode::in_use, "web01", "template rm",
                 {{"template", "debian"}, {"dry_run", true}});
    log_in("web01");
    for (const char* command : {"rm", "reset"}) {
        expect_error(ErrorCode::in_use, "is logged in", command,
                     {{"name", "web01"}, {"dry_run", true}});
    }
    EXPECT_EQ(machines(), before);
    EXPECT_TRUE(live_.online.contains("web01"));
    live_.sessions_of.clear();
    EXPECT_EQ(value("rm", {{"name", "web01"}}).at("freed_bytes"), removal.at("freed_bytes"));
    const json templates = value("template rm", {{"template", "debian"}, {"dry_run", true}});
    EXPECT_EQ(templates.at("removed"), json::array({"debian@1"}));
    EXPECT_EQ(value("template ls").size(), 1U);
}

TEST_F(OperationsTest, SpaceAndChangesAreDescribed) {
    import_partitioned("disk");
    value("clone", {{"template", "disk"}, {"name", "web01"}});
    const json all = value("du");
    EXPECT_EQ(all.at("instances").at(0), value("du", {{"name", "web01"}}));
    EXPECT_EQ(all.at("templates").size(), 2U);
    const json changes = value("diff", {{"name", "web01"}});
    EXPECT_EQ(live_.paused, std::vector<std::string>{"web01"});
    EXPECT_EQ(changes.at("from"), "disk@1");
    EXPECT_EQ(changes.at("data_bytes"), 4096);
    EXPECT_EQ(changes.at("ranges"),
              (json::array({{{"offset", 0}, {"length", 4096}, {"content", "data"}}})));
    EXPECT_EQ(value("du", {{"name", "web01"}}).at("quota_bytes"), json());
    value("set", {{"name", "web01"}, {"settings", {{"quota", "64M"}}}});
    EXPECT_EQ(value("du").at("instances").at(0).at("quota_bytes"), 64U << 20);
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("quota_bytes"), 64U << 20);
    EXPECT_EQ(live_.online.at("web01").quota_bytes, 64U << 20);
    value("snapshot", {{"name", "web01"}, {"label", "s"}});
    live_.paused.clear();
    EXPECT_EQ(value("diff", {{"name", "web01"}, {"label", "s"}}).at("name"), "web01@s");
    EXPECT_TRUE(live_.paused.empty());
}

TEST_F(OperationsTest, AnEphemeralOneHasItsWordInItsLine) {
    const json made =
        value("clone", {{"template", "debian"}, {"name", "ci1"}, {"ephemeral", true}});
    EXPECT_EQ(made.at("ephemeral"), true);
    EXPECT_EQ(made.at("boot_phase"), "running");
    EXPECT_EQ(machines(), "ci1 = \"debian@1 ephemeral\"\n");
    EXPECT_TRUE(live_.online["ci1"].ephemeral);
    ASSERT_TRUE(store_->set_boot_phase("ci1", store::BootPhase::fresh));
    EXPECT_EQ(value("show", {{"name", "ci1"}}).at("boot_phase"), "fresh");
    // What it writes from now on counts when it becomes ephemeral again.
    const json off = value("set", {{"name", "ci1"}, {"settings", {{"ephemeral", "no"}}}});
    EXPECT_EQ(off.at("boot_phase"), json());
    EXPECT_EQ(store_->find_instance("ci1")->boot_phase, store::BootPhase::running);
    ASSERT_TRUE(store_->set_boot_phase("ci1", store::BootPhase::armed));
    open();
    EXPECT_TRUE(operations_->bring_all_online().empty());
    EXPECT_EQ(store_->find_instance("ci1")->boot_phase, store::BootPhase::running);
}

TEST_F(OperationsTest, ARebaseIsInTheLineToo) {
    import("debian");
    value("clone", {{"template", "debian@1"}, {"name", "web01"}});
    EXPECT_EQ(value("rebase", {{"name", "web01"}, {"template", "debian@2"}}).at("template"),
              "debian@2");
    EXPECT_EQ(machines(), "web01 = \"debian@2\"\n");
    EXPECT_TRUE(live_.online.contains("web01"));
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("template"), "debian@2");
}

TEST_F(OperationsTest, StatusSaysWhatThereIs) {
    clone("web01");
    const json status = value("status");
    EXPECT_EQ(status.at("templates"), 1);
    EXPECT_EQ(status.at("instances"), 1);
    EXPECT_EQ(status.at("iqn"), prefix);
    EXPECT_EQ(status.at("daemon"), (json{{"rings", 2}}));
    const json space = status.at("space");
    EXPECT_EQ(space.at("low_water_bytes").get<std::uint64_t>(),
              space.at("total_bytes").get<std::uint64_t>() / 100 * 5);
    EXPECT_TRUE(space.at("low").is_boolean());
}

TEST(PortalUrls, AWildcardBecomesAddressesThatCanBeReached) {
    config::Config config;
    config.iqn_prefix = prefix;
    config.listen = {config::parse_endpoint("0.0.0.0:3260").value(),
                     config::parse_endpoint("[::]:3260").value()};
    const auto urls = portal_urls(config, "web01");
    ASSERT_FALSE(urls.empty());
    for (const std::string& url : urls) {
        EXPECT_EQ(url.find("//0.0.0.0"), std::string::npos);
        EXPECT_EQ(url.find("//[::]"), std::string::npos);
        EXPECT_EQ(std::count(urls.begin(), urls.end(), url), 1) << url;
    }
}

TEST_F(OperationsTest, FlattenKeepsOthersOutAndTakesTheTemplateOutOfTheLine) {
    value("clone", {{"template", "debian"}, {"name", "web01"}});
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("flatten"), json());
    EXPECT_EQ(run("flatten", {{"name", "web01"}, {"cancel", true}}).error().code,
              ErrorCode::refused);
    EXPECT_EQ(value("flatten", {{"name", "web01"}}).at("flatten").at("state"), "running");
    EXPECT_TRUE(store_->find_instance("web01")->is_flattening);
    for (const char* command : {"flatten", "rm", "reset", "snapshot"}) {
        const auto refused = run(command, {{"name", "web01"}});
        ASSERT_FALSE(refused) << command;
        EXPECT_EQ(refused.error().code, ErrorCode::in_use) << command;
        EXPECT_NE(refused.error().message.find("--cancel web01"), std::string::npos) << command;
    }
    EXPECT_FALSE(run("set", {{"name", "web01"}, {"settings", {{"ephemeral", "yes"}}}}));
    EXPECT_EQ(value("flatten", {{"name", "web01"}, {"cancel", true}}).at("flatten").at("state"),
              "cancelled");
    EXPECT_FALSE(store_->find_instance("web01")->is_flattening);

    value("flatten", {{"name", "web01"}});
    live_.flattening.clear();
    open();  // as after the death of the daemon
    EXPECT_TRUE(operations_->bring_all_online().empty());
    EXPECT_TRUE(live_.flattening.contains("web01"));
    const auto ended = live_.flatten_end.finish();
    ASSERT_TRUE(ended) << ended.error().message;
    live_.flattening.clear();
    EXPECT_EQ(value("show", {{"name", "web01"}}).at("template"), json());
    EXPECT_EQ(operations_->machines().at("web01").template_ref, "");
    EXPECT_TRUE(value("plan").at("notes").empty());
    EXPECT_TRUE(value("plan").at("change").empty());
    EXPECT_FALSE(run("set", {{"name", "web01"}, {"settings", {{"ephemeral", "yes"}}}}));
    value("template rm", {{"template", "debian"}});
}

}  // namespace
}  // namespace cowtgt::control
