#include "boot-helper/site/site.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/unit/boot-helper/image_maker.h"
#include "tests/unit/boot-helper/sample_fleet.h"

namespace cowtgt::boot {
namespace {

constexpr std::int64_t minute_ms = 60'000;

node::SessionFacts session(const char* peer, bool firmware) {
    node::SessionFacts facts;
    facts.initiator_name = "iqn.2026-01.test:init:web01";
    facts.isid = firmware ? iscsi::Isid{0x40, 0x00, 0x27, 0x23, 1, 2}
                          : iscsi::Isid{0x00, 0x02, 0x3d, 0, 0, 1};
    facts.peer = peer;
    return facts;
}

/// A site on a real store with one template, whose time is ours.
class SiteTest : public ::testing::Test {
protected:
    SiteTest() {
        config_.file = maker_.path("cowtgt.toml");
        config_.iqn_prefix = "iqn.2026-01.test";
        config_.store = maker_.path("store");
        config_.listen = {{"::", 3260, true}};
        config_.http = {{"10.0.0.1", 8080, false}};
        EXPECT_TRUE(store::Store::create(config_.store));
        store_ = std::move(store::Store::open(config_.store, store::Locking::exclusive)).value();
        maker_.run("truncate -s 1M disk.img");
        store::ImportOptions import;
        import.image = maker_.path("disk.img");
        import.name = "blank";
        EXPECT_TRUE(store_->import_template(import));
        Site::Options options;
        options.version = "1";
        options.now_ms = [this] { return now_ms_; };
        options.script_asked = [this](const std::string& name) { scripts_.push_back(name); };
        site_ = std::make_unique<Site>(config_, *store_, options);
    }

    void clone(const char* name, const char* mac) {
        store::CloneOptions options;
        options.source.name = "blank";
        options.name = name;
        ASSERT_TRUE(store_->clone(options));
        config::Machine line;
        line.name = name;
        line.mac = mac_of(mac);
        site_->instance_served(name, line);
    }
    void see(Sighting sighting, const char* machine, const char* mac) {
        site_->boot_event({sighting, machine, mac_of(mac), "uuid", "x86_64", "10.0.0.21"});
    }
    std::string stage() const { return site_->describe_stage("web01").at("text"); }

    static constexpr const char* mac_ = "52:54:00:12:34:01";
    ImageMaker maker_;
    config::Config config_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<Site> site_;
    std::int64_t now_ms_ = 1'000'000;
    std::vector<std::string> scripts_;
};

TEST_F(SiteTest, InstancesComeAndGo) {
    clone("web02", "52:54:00:12:34:02");
    clone("web01", mac_);
    const auto before = site_->fleet();
    ASSERT_EQ(before->machines.size(), 2U);
    EXPECT_EQ(before->machines[0].name, "web01");
    EXPECT_EQ(before->machines[0].template_ref, "blank@1");
    EXPECT_EQ(before->machines[0].uuid, to_string(store_->find_instance("web01")->uuid));
    site_->instance_gone("web01");
    EXPECT_EQ(before->machines.size(), 2U);  // whoever has it keeps it
    ASSERT_EQ(site_->fleet()->machines.size(), 1U);
    EXPECT_EQ(site_->fleet()->machines[0].name, "web02");
}

TEST_F(SiteTest, StagesOfABoot) {
    clone("web01", mac_);
    EXPECT_EQ(stage(), "off");
    see(Sighting::script_asked, "web01", mac_);
    EXPECT_EQ(scripts_, std::vector<std::string>{"web01"});
    site_->session_began("web01", session("10.0.0.21:1024", true));
    EXPECT_EQ(stage(), "firmware for 0 s");
    see(Sighting::kernel_asked, "web01", mac_);
    see(Sighting::initrd_asked, "web01", mac_);
    now_ms_ += 8'000;
    EXPECT_EQ(stage(), "initrd for 8 s");
    EXPECT_EQ(site_->fleet()->machines[0].session_addresses, std::vector<std::string>{"10.0.0.21"});
    site_->session_began("web01", session("[fd00::21]:1025", false));
    EXPECT_EQ(stage(), "linux for 0 s");
    EXPECT_EQ(site_->fleet()->machines[0].session_addresses,
              (std::vector<std::string>{"10.0.0.21", "fd00::21"}));
    site_->session_ended("web01", session("10.0.0.21:1024", true));
    EXPECT_EQ(stage(), "linux for 0 s");
    node::SessionFacts taken_over = session("[fd00::21]:1026", false);
    taken_over.goes_on = true;
    site_->session_began("web01", taken_over);
    EXPECT_EQ(stage(), "ready for 0 s");
    site_->session_ended("web01", session("[fd00::21]:1025", false));
    site_->session_ended("web01", taken_over);
    EXPECT_EQ(stage(), "off for 0 s");
}

TEST_F(SiteTest, SecretsAreInTheFleetOnlyWhenTheConfigurationLetsThemGo) {
    const config::Secrets secrets = {
        {"web01", {"user", "a secret of web01", "", ""}},
        {std::string(config::discovery_entry), {"all", "a secret of all", "", ""}}};
    clone("web01", mac_);
    EXPECT_FALSE(site_->fleet()->machines[0].chap);
    site_->secrets_changed(secrets);
    ASSERT_TRUE(site_->fleet()->machines[0].chap);
    EXPECT_EQ(site_->fleet()->machines[0].chap->user, "user");
    EXPECT_FALSE(site_->fleet()->machines[0].chap->secrets);
    config_.chap_over_http = true;
    site_->secrets_changed(secrets);
    EXPECT_EQ(site_->fleet()->machines[0].chap->secrets, secrets.at("web01"));
    site_->secrets_changed({});
    EXPECT_FALSE(site_->fleet()->machines[0].chap);
}

TEST_F(SiteTest, AMachineThatGetsNoScriptForItsSecretIsAProblemOnceItAsks) {
    clone("web01", mac_);
    EXPECT_TRUE(site_->describe_stage("web01").at("refused").is_null());
    site_->secrets_changed({{"web01", {"user", "a secret of web01", "", ""}}});
    const std::string why = site_->describe_stage("web01").at("refused");
    EXPECT_NE(why.find("chap_over_http = true"), std::string::npos) << why;
    EXPECT_TRUE(site_->fleet()->problems.empty());
    see(Sighting::script_asked, "web01", mac_);
    see(Sighting::script_asked, "web01", mac_);
    EXPECT_EQ(site_->fleet()->problems, std::vector<std::string>{why});
}

TEST_F(SiteTest, WhoIsStuckIsAProblemOnce) {
    clone("web01", mac_);
    see(Sighting::script_asked, "web01", mac_);
    see(Sighting::initrd_asked, "web01", mac_);
    site_->tick();
    EXPECT_TRUE(site_->fleet()->problems.empty());
    now_ms_ += 4 * minute_ms;
    site_->tick();
    site_->tick();
    const auto fleet = site_->fleet();
    ASSERT_EQ(fleet->problems.size(), 1U);
    EXPECT_EQ(fleet->problems[0].find("web01 is stuck at initrd for 4 min"), 0U);
    EXPECT_TRUE(fleet->machines[0].stage.stuck);
}

TEST_F(SiteTest, TwoMachinesWithOneNameAreAProblemThatNamesBoth) {
    clone("web01", mac_);
    site_->name_is_shared("web01", session("10.0.0.21:1024", false), "10.0.0.22");
    site_->name_is_shared("web01", session("10.0.0.21:1025", false), "10.0.0.22");
    ASSERT_EQ(site_->fleet()->problems.size(), 1U);
    const std::string& problem = site_->fleet()->problems[0];
    EXPECT_NE(problem.find("10.0.0.21 "), std::string::npos) << problem;
    EXPECT_NE(problem.find("10.0.0.22 "), std::string::npos) << problem;
}

TEST_F(SiteTest, UnknownMachinesUntilTheyAreTakenIn) {
    see(Sighting::script_asked, "", mac_);
    see(Sighting::script_asked, "", mac_);
    ASSERT_EQ(site_->fleet()->unknown.size(), 1U);
    EXPECT_EQ(site_->fleet()->unknown[0].count, 2U);
    EXPECT_TRUE(scripts_.empty());
    clone("web01", mac_);
    EXPECT_TRUE(site_->fleet()->unknown.empty());
}

TEST_F(SiteTest, WhatAVersionBootsWithIsTakenLater) {
    clone("web01", mac_);
    EXPECT_EQ(site_->fleet()->machines[0].mode, BootMode::disk);
    const auto uncaptured = site_->take_uncaptured();
    ASSERT_EQ(uncaptured.size(), 1U);
    EXPECT_EQ(uncaptured[0].name, "blank");
    EXPECT_EQ(uncaptured[0].version, 1U);
    EXPECT_TRUE(site_->take_uncaptured().empty());
    const auto fill = [](const identity::BlockSource&, const std::filesystem::path& folder) {
        BootRecord record;
        record.kernel = KeptBlob{std::string(64, 'a'), "vmlinuz", 7};
        record.initrd = KeptBlob{std::string(64, 'b'), "initrd", 8};
        record.root_label = "root";
        return write_boot_record(folder, record);
    };
    ASSERT_TRUE(store_->add_boot_folder(uncaptured[0], fill));
    EXPECT_EQ(store_->add_boot_folder(uncaptured[0], fill).error().code, ErrorCode::exists);
    site_->template_changed("blank@1");
    const Machine machine = site_->fleet()->machines[0];
    EXPECT_EQ(machine.mode, BootMode::kernel);
    ASSERT_TRUE(machine.kernel);
    EXPECT_EQ(machine.kernel->file, store_->boot_folder("blank", 1) / std::string(64, 'a'));
    EXPECT_TRUE(site_->take_uncaptured().empty());
}

TEST_F(SiteTest, SeedsOfAMachineBeforeThoseOfItsTemplate) {
    maker_.write("seeds/blank/user-data", "#cloud-config\nof the template\n");
    maker_.write("seeds/web02/user-data", "#cloud-config\nof web02\n");
    clone("web01", mac_);
    clone("web02", "52:54:00:12:34:02");
    const auto fleet = site_->fleet();
    ASSERT_TRUE(fleet->machines[0].seed && fleet->machines[1].seed);
    EXPECT_EQ(fleet->machines[0].seed->user_data, "#cloud-config\nof the template\n");
    EXPECT_EQ(fleet->machines[1].seed->user_data, "#cloud-config\nof web02\n");
}

}  // namespace
}  // namespace cowtgt::boot
