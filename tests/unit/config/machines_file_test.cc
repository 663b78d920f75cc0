// machines.toml: what a line says, where its errors are, and edits that leave the rest alone.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "target/config/machines_file.h"

namespace cowtgt::config {
namespace {

namespace fs = std::filesystem;

constexpr const char* file = "machines.toml";

void expect_error(const std::string& text, const std::string& place, const std::string& words) {
    const auto machines = parse_machines(text, file);
    ASSERT_FALSE(machines) << text;
    const std::string& message = machines.error().message;
    EXPECT_EQ(machines.error().code, ErrorCode::usage);
    EXPECT_EQ(message.find("machines.toml:" + place + ": "), 0U) << message;
    EXPECT_NE(message.find(words), std::string::npos) << message;
}

Machine machine_of(const std::string& text) {
    const auto machines = parse_machines(text, file);
    EXPECT_TRUE(machines) << machines.error().message;
    return machines && machines->size() == 1 ? machines->begin()->second : Machine{};
}

TEST(MachineLine, EveryPartMayBeLeftOut) {
    const Machine full = machine_of("web01 = \"52:54:00:12:34:01 debian12@3 size=40G\"");
    EXPECT_EQ(full.name, "web01");
    EXPECT_EQ(to_string(full.mac.value()), "52:54:00:12:34:01");
    EXPECT_EQ(full.template_ref, "debian12@3");
    EXPECT_EQ(full.size_bytes, 40ULL << 30);

    const Machine no_mac = machine_of("web01 = 'debian12'");
    EXPECT_FALSE(no_mac.mac);
    EXPECT_EQ(no_mac.template_ref, "debian12");
    EXPECT_EQ(no_mac.size_bytes, 0U);

    const Machine only_mac = machine_of("\"web01\" = \"  5254.0012.3401\t\" # the first");
    EXPECT_EQ(to_string(only_mac.mac.value()), "52:54:00:12:34:01");
    EXPECT_EQ(only_mac.template_ref, "");

    EXPECT_EQ(machine_of("web01 = ''").name, "web01");
}

TEST(MachineLine, AddressRangesAreKept) {
    const Machine machine = machine_of("web01 = 'debian12 from=10.0.0.0/24,fd00::/64'");
    ASSERT_EQ(machine.from.size(), 2U);
    EXPECT_EQ(to_string(machine.from[1]), "fd00::/64");
    EXPECT_EQ(machine_line(machine), "web01 = \"debian12 from=10.0.0.0/24,fd00::/64\"");
    EXPECT_TRUE(machine_of("web01 = 'debian12 from=any'").from.empty());
    expect_error("web01 = 'debian12 from=10.0.0.1/24'", "1:19", "did you mean 10.0.0.0/24?");
    expect_error("web01 = 'from=10.0.0.1 from=10.0.0.2'", "1:24", "twice");
    expect_error("web01 = 'from=10.0.0.1,'", "1:10", "no address range");
}

TEST(MachineLine, ErrorsHaveThePlaceOfTheWord) {
    expect_error("\nWeb01 = ''", "2:1", "'Web01'");
    expect_error("mac-1 = ''", "1:1", "mac-");
    expect_error("web01 = 7", "1:9", "no string");
    expect_error("[web01]", "1:1", "no string");
    expect_error("web01 = 'debian12 size=40X'", "1:19", "40X");
    expect_error("web01 = 'debian12 size=0'", "1:19", "size 0");
    expect_error("web01 = 'size=1G size=2G'", "1:18", "twice");
    expect_error("web01 = 'debian12 colour=1G'", "1:19", "unknown setting 'colour'");
    expect_error("web01 = 'debian12 quota=1M'", "1:19", "32M is the least");
    expect_error("web01 = 'quota=1G quota=2G'", "1:19", "quota= is there twice");
    expect_error("web01 = '52:54:00:12:34'", "1:10", "MAC");
    expect_error("web01 = '525400123401 525400123402'", "1:23", "one MAC");
    expect_error("web01 = 'debian12 ubuntu24'", "1:19", "too many");
    expect_error("web01 = 'Debian'", "1:10", "Debian");
    expect_error("web01 = 'debian12@0'", "1:10", "debian12@0");
    expect_error("a = ''\nweb01 = \"\"\"\ndebian12\"\"\"", "2:1", "one line");
    expect_error("\"w\\u0065b\" = ''", "1:1", "one line");
    expect_error("a = 'x' = 'y'", "1:9", "");
}

TEST(MachineLine, ANameThatIsThereTwiceNamesBothLines) {
    expect_error("a = ''\n# a\n  'a' = ''\n", "3:4", "'a' is there twice, first in line 1");
}

TEST(MachineLine, ADuplicateMacNamesBothLines) {
    expect_error("web01 = '525400123401'\n\nweb02 = '52-54-00-12-34-01 debian12'\n", "3:9",
                 "web02 belongs to web01 (line 1)");
}

TEST(MachineLine, IsReadBackTheSame) {
    Machine machine;
    machine.name = "db1";
    EXPECT_EQ(machine_line(machine), "db1 = \"\"");
    EXPECT_EQ(machine_of(machine_line(machine)), machine);
    machine.mac = parse_mac("525400123401").value();
    machine.template_ref = "debian12@3";
    machine.size_bytes = 1536ULL << 20;
    EXPECT_EQ(machine_line(machine), "db1 = \"52:54:00:12:34:01 debian12@3 size=1536M\"");
    EXPECT_EQ(machine_of(machine_line(machine)), machine);
}

constexpr const char* commented =
    "# web01 = 'not this one'\n"
    "web011 = 'debian12'   # nor this\n"
    "\n"
    "  \"web01\" = '52:54:00:12:34:01'  # the first, \"quoted\"\n"
    "db1 = \"\"\"debian12@2\"\"\"# tight\n"
    "last = 'debian12'";

TEST(MachineEdit, ReplacesOneLineAndKeepsItsComment) {
    Machine machine;
    machine.name = "web01";
    machine.template_ref = "debian12@3";
    EXPECT_EQ(with_machine_line(commented, machine),
              "# web01 = 'not this one'\n"
              "web011 = 'debian12'   # nor this\n"
              "\n"
              "web01 = \"debian12@3\"  # the first, \"quoted\"\n"
              "db1 = \"\"\"debian12@2\"\"\"# tight\n"
              "last = 'debian12'");
    machine.name = "db1";
    EXPECT_NE(with_machine_line(commented, machine).find("\ndb1 = \"debian12@3\"# tight\n"),
              std::string::npos);
}

TEST(MachineEdit, AddsAtTheEndOnALineOfItsOwn) {
    Machine machine;
    machine.name = "new";
    EXPECT_EQ(with_machine_line("", machine), "new = \"\"\n");
    EXPECT_EQ(with_machine_line("a = ''", machine), "a = ''\nnew = \"\"\n");
    EXPECT_EQ(with_machine_line("a = ''\n", machine), "a = ''\nnew = \"\"\n");
}

TEST(MachineEdit, RemovesAndRenamesOnlyTheLine) {
    EXPECT_EQ(without_machine_line("a = ''\nb = 'x' # c\nd = ''\n", "b"), "a = ''\nd = ''\n");
    EXPECT_EQ(without_machine_line("a = ''\nb = ''", "b"), "a = ''\n");
    EXPECT_EQ(without_machine_line("a = ''\n", "none"), "a = ''\n");
    EXPECT_EQ(with_machine_renamed(" a  =  'x' # a\nb = ''\n", "a", "longer"),
              " longer  =  'x' # a\nb = ''\n");
    EXPECT_EQ(with_machine_renamed("'a' = ''\n", "a", "z"), "'z' = ''\n");
    EXPECT_EQ(with_machine_renamed("a = ''\n", "b", "z"), "a = ''\n");
}

/// machines.toml in a folder of its own.
class MachinesOnDisk : public ::testing::Test {
protected:
    MachinesOnDisk() {
        std::string pattern = (fs::temp_directory_path() / "cowtgt-machines-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        path_ = folder_ / "machines.toml";
    }
    ~MachinesOnDisk() override { fs::remove_all(folder_); }

    void write(const std::string& text) const { std::ofstream(path_) << text; }
    std::string content() const {
        std::ifstream in(path_);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    static Machine machine(const std::string& name, const std::string& ref) {
        Machine made;
        made.name = name;
        made.template_ref = ref;
        return made;
    }

    fs::path folder_;
    fs::path path_;
};

TEST_F(MachinesOnDisk, AFileThatIsNotThereIsMadeByTheFirstEdit) {
    auto machines = MachinesFile::load(path_);
    ASSERT_TRUE(machines);
    EXPECT_TRUE(machines->machines().empty());
    EXPECT_TRUE(machines->remove("web01"));
    EXPECT_FALSE(fs::exists(path_));
    ASSERT_TRUE(machines->put(machine("web01", "debian12@1")));
    EXPECT_EQ(content(), "web01 = \"debian12@1\"\n");
}

TEST_F(MachinesOnDisk, AHandEditBetweenTwoEditsIsNotLost) {
    write("# ours\nweb01 = 'debian12'\n");
    auto machines = MachinesFile::load(path_);
    ASSERT_TRUE(machines);
    write("# theirs now\nweb01 = 'debian12'\nweb02 = '525400123402'\n");
    ASSERT_TRUE(machines->put(machine("web03", "debian12@1")));
    EXPECT_EQ(content(),
              "# theirs now\nweb01 = 'debian12'\nweb02 = '525400123402'\nweb03 = \"debian12@1\"\n");
    EXPECT_EQ(machines->owner_of(parse_mac("525400123402").value()), "web02");
    ASSERT_TRUE(machines->rename("web02", "web09"));
    EXPECT_EQ(machines->owner_of(parse_mac("525400123402").value()), "web09");
    ASSERT_TRUE(machines->remove("web01"));
    EXPECT_EQ(content(), "# theirs now\nweb09 = '525400123402'\nweb03 = \"debian12@1\"\n");
    EXPECT_EQ(MachinesFile::load(path_)->machines(), machines->machines());
}

TEST_F(MachinesOnDisk, AFileWithAnErrorIsNotEditedAndTheOldStateStays) {
    write("web01 = 'debian12'\n");
    auto machines = MachinesFile::load(path_);
    ASSERT_TRUE(machines);
    const std::string broken = "web01 = 'debian12'\nnonsense\n";
    write(broken);
    EXPECT_FALSE(machines->put(machine("web02", "debian12")));
    EXPECT_FALSE(machines->remove("web01"));
    EXPECT_FALSE(machines->reload());
    EXPECT_EQ(content(), broken);
    EXPECT_EQ(machines->find("web01").template_ref, "debian12");
    EXPECT_FALSE(MachinesFile::load(path_));
}

TEST_F(MachinesOnDisk, ARenameTakesThePlaceOfALineThatHadNoInstance) {
    write("new = 'other'\nold = 'debian12'\n");
    auto machines = MachinesFile::load(path_);
    ASSERT_TRUE(machines->rename("old", "new"));
    EXPECT_EQ(content(), "new = 'debian12'\n");
    EXPECT_EQ(machines->find("new").template_ref, "debian12");
}

TEST_F(MachinesOnDisk, ModeAndSymbolicLinkStay) {
    const fs::path real = folder_ / "real.toml";
    std::ofstream(real) << "a = ''\n";
    fs::permissions(real, fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    fs::create_symlink("real.toml", path_);
    auto machines = MachinesFile::load(path_);
    ASSERT_TRUE(machines->remove("a"));
    EXPECT_TRUE(fs::is_symlink(path_));
    EXPECT_EQ(fs::file_size(real), 0U);
    EXPECT_EQ(fs::status(real).permissions() & fs::perms::mask,
              fs::perms::owner_read | fs::perms::owner_write | fs::perms::group_read);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 2);
}

TEST(MachineSettings, AreWordsOfALineWhereTheyAreNotAsUsual) {
    const std::string line =
        "web01 = \"debian12@3 physical-block=512 removable=yes read-only=yes write-cache=off\"";
    const Machine machine = machine_of(line);
    EXPECT_EQ(machine.physical_block, 512U);
    EXPECT_TRUE(machine.removable);
    EXPECT_TRUE(machine.read_only);
    EXPECT_FALSE(machine.write_cache);
    EXPECT_EQ(machine_line(machine), line);
    EXPECT_EQ(machine_line(machine_of("web01 = 'removable=no write-cache=on'")), "web01 = \"\"");
}

TEST(MachineSettings, OtherNamesAndWordsAreRefused) {
    Machine machine;
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{"physical-block", "1024"},
                                                          {"physical-block", ""},
                                                          {"removable", "on"},
                                                          {"read-only", "YES"},
                                                          {"write-cache", "yes"},
                                                          {"", "yes"},
                                                          {"colour", "blue"}}) {
        const auto changed = change_setting(machine, name, value);
        ASSERT_FALSE(changed) << name << '=' << value;
        EXPECT_EQ(changed.error().code, ErrorCode::usage);
        EXPECT_EQ(machine, Machine{});
    }
    expect_error("web01 = 'debian12 colour=blue'", "1:19", "physical-block, removable");
    expect_error("web01 = 'read-only=yes read-only=no'", "1:24", "twice");
}

TEST(Machines, OneThatGoesBackAtEachBootHasAWordForIt) {
    const std::string line = "ci1 = \"52:54:00:12:34:10 ubuntu24 ephemeral\"";
    const auto machines = parse_machines(line, "m");
    ASSERT_TRUE(machines);
    const Machine& machine = machines->at("ci1");
    EXPECT_TRUE(machine.ephemeral);
    EXPECT_EQ(machine.template_ref, "ubuntu24");
    EXPECT_EQ(machine_line(machine), line);
    EXPECT_EQ(parse_machines("ci1 = 'ephemeral=yes debian'", "m")->at("ci1").ephemeral, true);
    EXPECT_EQ(parse_machines("ci1 = 'debian'", "m")->at("ci1").ephemeral, false);
    expect_error("ci1 = 'ephemeral ephemeral'", "1:18", "twice");
    expect_error("ci1 = 'ephemeral=maybe'", "1:8", "no or yes");
}

}  // namespace
}  // namespace cowtgt::config
