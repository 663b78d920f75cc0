// Ephemeral instances: reset exactly once for each boot, and never under a machine that runs
// (DESIGN section 7, promise 8). Boots, partitions and deaths of the daemon are logins here.

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr std::size_t block_bytes = 512;

class Ephemeral : public ::testing::Test {
protected:
    void SetUp() override {
        daemon.configure("rings = 2");
        daemon.make_template("blank", 16U << 20);
        daemon.command({"clone", "blank", "web01", "--ephemeral"});
        daemon.start();
    }

    using Session = std::unique_ptr<SocketInitiator>;

    Session log_in(test::InitiatorSettings settings, const std::string& instance) {
        settings.target_name = daemon.target(instance);
        auto session = std::make_unique<SocketInitiator>(daemon.portal(), settings);
        EXPECT_EQ(session->log_in(), 0);
        return session;
    }
    /// iPXE: a new random ISID each time.
    Session firmware() {
        test::InitiatorSettings settings;
        settings.isid = {0x40, 0x00, 0x27, 0x23, 0x00, ++firmware_logins};
        return log_in(settings, "web01");
    }
    /// iscsistart: Linux's ISID, the first command is number 0.
    Session kernel(const std::string& instance = "web01") { return log_in({}, instance); }
    /// The same machine after its connection was lost.
    Session again() {
        test::InitiatorSettings settings;
        settings.first_cmd_sn = 1366;
        return log_in(settings, "web01");
    }

    std::optional<test::InitiatorCompletion> run(SocketInitiator& session,
                                                 test::InitiatorCommand command) {
        const std::uint32_t tag = session.protocol().submit(std::move(command));
        std::optional<test::InitiatorCompletion> completion;
        EXPECT_TRUE(session.run_until([&] {
            completion = session.protocol().take_completion(tag);
            return completion.has_value();
        }));
        return completion;
    }
    /// Repeats what ended with a unit attention.
    test::InitiatorCompletion run_good(SocketInitiator& session,
                                       const test::InitiatorCommand& command) {
        for (int attempt = 0; attempt < 5; ++attempt) {
            auto completion = run(session, command);
            if (completion && completion->status == 0) return *completion;
        }
        ADD_FAILURE() << "the command does not succeed";
        return {};
    }
    void write(SocketInitiator& session, char mark) {
        test::InitiatorCommand command;
        command.cdb = {0x2a, 0, 0, 0, 0, 8, 0, 0, 1, 0};  // WRITE(10)
        command.data_out.assign(block_bytes, static_cast<std::byte>(mark));
        run_good(session, command);
    }
    char read(SocketInitiator& session) {
        test::InitiatorCommand command;
        command.cdb = {0x28, 0, 0, 0, 0, 8, 0, 0, 1, 0};  // READ(10)
        command.read_length = block_bytes;
        const test::InitiatorCompletion completion = run_good(session, command);
        return completion.data_in.empty() ? '?' : static_cast<char>(completion.data_in.front());
    }

    Daemon daemon;
    std::uint8_t firmware_logins = 0;
};

TEST_F(Ephemeral, ABootBeginsWithTheTemplateAndLastHasWhatWasThere) {
    for (char mark = 'a'; mark < 'd'; ++mark) {
        SCOPED_TRACE(mark);
        const Session probe = firmware();  // abandoned, as iPXE does
        EXPECT_EQ(read(*probe), 0);
        const Session hook = firmware();
        Session linux_session = kernel();
        EXPECT_EQ(read(*linux_session), 0);
        write(*linux_session, mark);
        linux_session = again();
        EXPECT_EQ(read(*linux_session), mark);
        if (mark == 'a') continue;
        daemon.command({"clone", "web01@last", std::string("was-") + mark});
        const Session before = kernel(std::string("was-") + mark);
        EXPECT_EQ(read(*before), mark - 1);
    }
}

TEST_F(Ephemeral, NothingHappensBetweenTheFirmwaresAndTheKernelsLogin) {
    {
        const Session session = firmware();
        write(*session, 'f');
    }
    const Session other = firmware();
    EXPECT_EQ(read(*other), 'f');
    daemon.kill();
    daemon.start();
    {
        const Session after_the_death = firmware();
        EXPECT_EQ(read(*after_the_death), 'f');
    }
    const Session linux_session = kernel();
    EXPECT_EQ(read(*linux_session), 'f');
}

TEST_F(Ephemeral, ARunningMachineLosesNothing) {
    firmware();
    Session machine = kernel();
    write(*machine, 'r');
    // A partition: the connection is gone, the machine comes back. No rule asks for the time.
    machine.reset();
    machine = again();
    EXPECT_EQ(read(*machine), 'r');
    write(*machine, 's');
    // Written, answered, not flushed.
    daemon.kill();
    daemon.start();
    machine = again();
    EXPECT_EQ(read(*machine), 's');
    // Both at once, and a stop that closes the disk.
    machine.reset();
    daemon.stop();
    daemon.start();
    machine = again();
    EXPECT_EQ(read(*machine), 's');
    // Another initiator that begins to count at 0 is no boot either, without a boot script.
    machine = kernel();
    EXPECT_EQ(read(*machine), 's');
}

TEST_F(Ephemeral, OnlyWhileItIsEphemeral) {
    daemon.command({"set", "web01", "ephemeral=no"});
    write(*kernel(), 'k');
    EXPECT_EQ(read(*firmware()), 'k');
    EXPECT_EQ(read(*kernel()), 'k');
    daemon.command({"set", "web01", "ephemeral=yes"});
    EXPECT_EQ(read(*again()), 'k');
    EXPECT_EQ(read(*firmware()), 0);
}

}  // namespace
}  // namespace cowtgt::e2e
