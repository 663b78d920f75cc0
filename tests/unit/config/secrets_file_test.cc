// secrets.toml: what a line says, what is refused, and who may read it.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "target/config/secrets_file.h"

namespace cowtgt::config {
namespace {

namespace fs = std::filesystem;

const ChapSecrets one_way{"web01", "a long secret", "", ""};
const ChapSecrets mutual{"0x77", "quote \" and \\", "we", "another secret"};

TEST(Secrets, OneDirectionOrTwo) {
    const auto secrets = parse_secrets(
        "# ours\n"
        "web01 = [\"web01\", \"a long secret\"]\n"
        "db1 = ['0x77', 'quote \" and \\', 'we', 'another secret']\n"
        "_discovery = ['all', 'a secret of all']\n",
        "secrets.toml");
    ASSERT_TRUE(secrets) << secrets.error().message;
    ASSERT_EQ(secrets->size(), 3U);
    EXPECT_EQ(secrets->at("web01"), one_way);
    EXPECT_EQ(secrets->at("db1"), mutual);
    EXPECT_EQ(secrets->at(std::string(discovery_entry)).user, "all");
}

TEST(Secrets, ErrorsSayWhereAndNeverWhatTheSecretIs) {
    struct Row {
        std::string text, place, words;
    };
    const std::string long_text(256, 'x');
    const Row rows[] = {
        {"web01 = 'web01'", "1:9", "write name ="},
        {"web01 = ['web01']", "1:9", "write name ="},
        {"web01 = ['web01', 'hush hush hush', 'we']", "1:9", "write name ="},
        {"\nweb01 = ['web01', 'hush hush']", "2:9", "at least 12 bytes"},
        {"web01 = ['web01', '" + long_text + "']", "1:9", "at most 255 bytes"},
        {"web01 = ['', 'hush hush hush']", "1:9", "cannot be empty"},
        {"web01 = ['" + long_text + "', 'hush hush hush']", "1:9", "user name has at most"},
        {"web01 = ['w', \"hush\\u0000hush hush\"]", "1:9", "printable"},
        {"web01 = ['w', 'hush hush hush', 'we', '']", "1:9", "needs a user and a secret"},
        {"web01 = ['w', 'hush hush hush', '', 'hush other hush']", "1:9", "needs a user"},
        {"web01 = ['w', 'hush hush hush', 'we', 'hush']", "1:9", "at least 12 bytes"},
        {"web01 = ['w', 'hush hush hush', 'we', 'hush hush hush']", "1:9", "must differ"},
        {"web01 = ['w',\n'hush hush hush']", "1:1", "one line"},
        {"Web01 = ['w', 'hush hush hush']", "1:1", "Web01"},
        {"_other = ['w', 'hush hush hush']", "1:1", "_other"},
        {"web01 = ['w', 'hush hush hush'\n", "1:1", ""},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.text);
        const auto secrets = parse_secrets(row.text, "s.toml");
        ASSERT_FALSE(secrets);
        const std::string& message = secrets.error().message;
        if (!row.words.empty()) {
            EXPECT_EQ(message.find("s.toml:" + row.place + ": "), 0U) << message;
        }
        EXPECT_NE(message.find(row.words), std::string::npos) << message;
        EXPECT_EQ(message.find("hush"), std::string::npos) << message;
    }
}

TEST(Secrets, EditsLeaveTheOtherLinesAlone) {
    const std::string text = "# first\nweb01 = ['w', 'a long secret'] # mine\n\n# last";
    const std::string more = with_secret_line(text, "db1", mutual);
    EXPECT_EQ(more, text +
                        "\ndb1 = [\"0x77\", \"quote \\\" and \\\\\", \"we\", "
                        "\"another secret\"]\n");
    EXPECT_EQ(parse_secrets(more, "s")->at("db1"), mutual);
    const std::string other = with_secret_line(more, "web01", one_way);
    EXPECT_EQ(parse_secrets(other, "s")->at("web01"), one_way);
    EXPECT_EQ(parse_secrets(other, "s")->size(), 2U);
    EXPECT_EQ(other.find("# first\nweb01 = [\"web01\", \"a long secret\"]\n\n# last\n"), 0U);
    EXPECT_EQ(without_secret_line(text, "web01"), "# first\n\n# last");
    EXPECT_EQ(without_secret_line(text, "web02"), text);
}

class SecretsOnDisk : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "secrets.XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        path_ = folder_ / "secrets.toml";
    }
    void TearDown() override { fs::remove_all(folder_); }

    void write(const std::string& text, mode_t mode = 0600) {
        std::ofstream(path_, std::ios::trunc) << text;
        ASSERT_EQ(::chmod(path_.c_str(), mode), 0);
    }
    mode_t mode() const {
        struct stat found {};
        EXPECT_EQ(::stat(path_.c_str(), &found), 0);
        return found.st_mode & 07777U;
    }

    fs::path folder_;
    fs::path path_;
};

TEST_F(SecretsOnDisk, TheFirstSecretMakesAFileThatOnlyItsOwnerReads) {
    auto secrets = SecretsFile::load(path_);
    ASSERT_TRUE(secrets);
    EXPECT_EQ(secrets->find("web01"), nullptr);
    ASSERT_TRUE(secrets->remove("web01"));
    EXPECT_FALSE(fs::exists(path_));
    ASSERT_TRUE(secrets->put("web01", one_way));
    EXPECT_EQ(mode(), 0600U);
    ASSERT_NE(secrets->find("web01"), nullptr);
    EXPECT_EQ(SecretsFile::load(path_)->secrets(), secrets->secrets());
    ASSERT_TRUE(secrets->remove("web01"));
    EXPECT_TRUE(SecretsFile::load(path_)->secrets().empty());
    EXPECT_EQ(mode(), 0600U);
}

TEST_F(SecretsOnDisk, AFileThatOthersMayReadIsRefusedAndTheOldStateStays) {
    for (const mode_t open_mode : {0644U, 0640U, 0604U, 0620U, 0601U}) {
        SCOPED_TRACE(open_mode);
        write("web01 = ['web01', 'a long secret']\n", open_mode);
        const auto refused = SecretsFile::load(path_);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().code, ErrorCode::refused);
        EXPECT_NE(refused.error().message.find("chmod 600"), std::string::npos);
    }
    write("web01 = ['web01', 'a long secret']\n");
    auto secrets = SecretsFile::load(path_);
    ASSERT_TRUE(secrets);
    ASSERT_EQ(::chmod(path_.c_str(), 0644), 0);
    EXPECT_FALSE(secrets->reload());
    EXPECT_FALSE(secrets->put("web02", one_way));
    ASSERT_NE(secrets->find("web01"), nullptr);
}

TEST_F(SecretsOnDisk, AHandEditIsTakenInAndABrokenOneIsNot) {
    write("web01 = ['web01', 'a long secret']\n");
    auto secrets = SecretsFile::load(path_);
    ASSERT_TRUE(secrets);
    write("web01 = ['web01', 'a long secret']\nweb02 = ['web02', 'a longer secret']\n");
    ASSERT_TRUE(secrets->put("web03", mutual));
    EXPECT_EQ(secrets->secrets().size(), 3U);
    write("nonsense\n");
    EXPECT_FALSE(secrets->reload());
    EXPECT_FALSE(secrets->put("web04", one_way));
    EXPECT_EQ(secrets->secrets().size(), 3U);
    EXPECT_FALSE(SecretsFile::load(path_));
}

TEST_F(SecretsOnDisk, AFolderIsNoFile) {
    fs::create_directory(path_);
    EXPECT_FALSE(SecretsFile::load(path_));
}

}  // namespace
}  // namespace cowtgt::config
