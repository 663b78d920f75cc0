#include "target/node/target.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/iscsi_initiator.h"

namespace cowtgt::node {
namespace {

constexpr std::uint32_t block_size = 512;
constexpr std::uint8_t ordered = 2;  ///< task attributes, RFC 7143 section 11.3.1
constexpr std::uint8_t head_of_queue = 3;

/// A disk in memory that answers when the test says so.
class MemoryDevice final : public BlockDevice {
public:
    explicit MemoryDevice(std::uint64_t blocks) : content_(blocks * block_size) {}

    Geometry geometry() const override { return {block_size, 512, {content_.size() / block_size}}; }
    void submit(BlockRequest& request) override { requests_.push_back(&request); }
    ProvisioningRun provisioning(Lba, BlockCount wanted) const override {
        return {wanted, Provisioning::mapped};
    }

    std::size_t waiting() const { return requests_.size(); }
    void answer_one(BlockStatus status = BlockStatus::good) {
        BlockRequest& request = *requests_.front();
        requests_.pop_front();
        if (status == BlockStatus::good) perform(request);
        request.done(request, {status, 0});
    }
    void answer_all() {
        while (!requests_.empty()) {
            answer_one();
        }
    }
    Bytes content() const { return content_; }

    bool lends = false;  ///< reads are answered with lent bytes, whose "file" is the content
    std::shared_ptr<const int> lender = std::make_shared<const int>(0);  ///< what keeps it open

private:
    void perform(BlockRequest& request) {
        std::byte* at = content_.data() + request.first_block.value * block_size;
        if (request.operation == BlockOperation::read && request.may_be_lent && lends) {
            request.lent = {lender, -1, request.first_block.value * block_size,
                            request.data.size()};
        } else if (request.operation == BlockOperation::read) {
            std::memcpy(request.data.data(), at, request.data.size());
        } else if (request.operation == BlockOperation::write) {
            std::memcpy(at, request.data.data(), request.data.size());
        }
    }

    std::vector<std::byte> content_;
    std::deque<BlockRequest*> requests_;
};

/// One connection to the target, with its initiator at the other end of the wire.
class Nexus final : public iscsi::ConnectionOwner {
public:
    Nexus(Target& target, test::InitiatorSettings settings)
        : initiator(std::move(settings)),
          target_(target),
          connection(*this, {},
                     [](MutableBytes into) { std::fill(into.begin(), into.end(), std::byte{7}); }) {
        initiator.start_login();
        exchange();
    }
    ~Nexus() override { hang_up(); }

    /// Moves bytes both ways until nothing is left to move.
    void exchange() {
        bool moved = true;
        while (moved && attached_or_logging_in_) {
            const std::vector<std::byte> fresh = initiator.take_output();
            to_target_.insert(to_target_.end(), fresh.begin(), fresh.end());
            const std::size_t taken = connection.receive(to_target_);
            to_target_.erase(to_target_.begin(),
                             to_target_.begin() + static_cast<std::ptrdiff_t>(taken));
            moved = taken != 0 || send_some();
        }
    }
    void hang_up() {
        if (!attached_or_logging_in_) return;
        attached_or_logging_in_ = false;
        target_.detach(connection);
    }

    void login_requested(iscsi::Connection&, const iscsi::LoginRequestInfo&) override {
        connection.decide_login({});
    }
    void session_wanted(iscsi::Connection&, const iscsi::LoginRequestInfo& info) override {
        to_drop = target_.reinstatement(info).to_drop;
        for (iscsi::Connection* old : to_drop) {
            target_.detach(*old);
        }
        target_.when_drained(info, [this] {
            drained = true;
            const std::uint16_t tsih =
                target_.attach(connection, {"test", 0}, {[](void*) {}, nullptr});
            connection.finish_login(iscsi::LoginStatus::success, tsih);
        });
    }
    void session_started(iscsi::Connection&) override {}
    void scsi_command_received(iscsi::Connection&, iscsi::ScsiTask& task) override {
        target_.command_received(connection, task);
    }
    void data_out_received(iscsi::Connection&, iscsi::ScsiTask& task) override {
        target_.data_out_received(connection, task);
    }
    void task_finished(iscsi::Connection&, iscsi::ScsiTask& task) override {
        target_.task_finished(connection, task);
    }
    void task_management_received(iscsi::Connection&,
                                  const iscsi::TaskManagementRequest& request) override {
        target_.task_management_received(connection, request);
    }
    std::vector<iscsi::TargetRecord> targets_wanted(iscsi::Connection&, std::string_view) override {
        return {};
    }
    void logout_received(iscsi::Connection&, std::uint8_t) override {
        target_.logout_received(connection);
    }
    void ping_answered(iscsi::Connection&) override {}
    void close_wanted(iscsi::Connection&, const iscsi::CloseReason&) override {}

    test::IscsiInitiator initiator;
    Bytes lent_from;              ///< the content of the device
    std::size_t lent_pieces = 0;  ///< that were sent
    bool drained = false;
    std::vector<iscsi::Connection*> to_drop;

private:
    bool send_some() {
        std::array<iscsi::OutputPiece, 16> pieces;
        const std::size_t count = connection.gather(pieces);
        std::size_t bytes = 0;
        std::vector<std::byte> wire;
        for (std::size_t i = 0; i < count; ++i) {
            const iscsi::OutputPiece& piece = pieces[i];
            const Bytes content =
                piece.lent == nullptr
                    ? piece.bytes
                    : lent_from.subspan(piece.lent->offset + piece.lent_offset, piece.lent_length);
            lent_pieces += piece.lent != nullptr ? 1 : 0;
            wire.insert(wire.end(), content.begin(), content.end());
            bytes += pieces[i].size();
        }
        if (bytes != 0) connection.sent(bytes);
        initiator.receive(wire);
        return bytes != 0;
    }

    Target& target_;
    std::vector<std::byte> to_target_;
    bool attached_or_logging_in_ = true;

public:
    iscsi::Connection connection;
};

std::vector<std::uint8_t> cdb10(std::uint8_t operation, std::uint32_t lba, std::uint16_t blocks) {
    return {operation,
            0,
            static_cast<std::uint8_t>(lba >> 24),
            static_cast<std::uint8_t>(lba >> 16),
            static_cast<std::uint8_t>(lba >> 8),
            static_cast<std::uint8_t>(lba),
            0,
            static_cast<std::uint8_t>(blocks >> 8),
            static_cast<std::uint8_t>(blocks),
            0};
}

std::vector<std::byte> pattern(std::size_t bytes, int seed) {
    std::vector<std::byte> content(bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
        content[i] = static_cast<std::byte>((i * 7 + static_cast<std::size_t>(seed)) & 0xff);
    }
    return content;
}

class TargetTest : public testing::Test {
protected:
    TargetTest() { make_target(64U << 20); }
    void make_target(std::size_t memory, Target::Config::Keep keep = {}) {
        target_.reset();
        pool_ = std::make_unique<BufferPool>(memory);
        Target::Config config;
        config.name = "iqn.2026-11.lab:web01";
        config.logical_unit.geometry = device_.geometry();
        config.logical_unit.target_port_name = config.name + ",t,0x0001";
        config.logical_unit.serial = "0123456789abcdef";
        config.logical_unit.keeps_state = keep != nullptr;
        config.keep = std::move(keep);
        target_ = std::make_unique<Target>(std::move(config), device_, *pool_);
    }
    std::unique_ptr<Nexus> log_in(std::uint8_t isid_end = 1) {
        test::InitiatorSettings settings;
        settings.isid[5] = isid_end;
        auto nexus = std::make_unique<Nexus>(*target_, settings);
        return nexus;
    }
    /// Logs in and clears the unit attention that greets a new nexus.
    std::unique_ptr<Nexus> log_in_quietly(std::uint8_t isid_end = 1) {
        auto nexus = log_in(isid_end);
        EXPECT_TRUE(nexus->initiator.logged_in());
        const std::uint32_t tag = test_unit_ready(*nexus);
        EXPECT_EQ(end_of(*nexus, tag).status, 0x02);
        return nexus;
    }
    std::uint32_t test_unit_ready(Nexus& nexus) {
        return send(nexus, {0, {0, 0, 0, 0, 0, 0}, 0, {}, false});
    }
    std::uint32_t send(Nexus& nexus, test::InitiatorCommand command) {
        const std::uint32_t tag = nexus.initiator.submit(std::move(command));
        nexus.exchange();
        return tag;
    }
    std::uint32_t send_write(Nexus& nexus, std::uint32_t lba, std::vector<std::byte> data) {
        const auto blocks = static_cast<std::uint16_t>(data.size() / block_size);
        return send(nexus, {0, cdb10(0x2a, lba, blocks), 0, std::move(data), false});
    }
    test::InitiatorCompletion end_of(Nexus& nexus, std::uint32_t tag) {
        nexus.exchange();
        auto completion = nexus.initiator.take_completion(tag);
        EXPECT_TRUE(completion.has_value());
        return completion.value_or(test::InitiatorCompletion{0xff, {}, {}, 0, false, false});
    }
    bool is_answered(Nexus& nexus, std::uint32_t tag) {
        nexus.exchange();
        return nexus.initiator.take_completion(tag).has_value();
    }

    MemoryDevice device_{2048};
    std::unique_ptr<BufferPool> pool_;
    std::unique_ptr<Target> target_;
};

TEST_F(TargetTest, WhatIsWrittenIsReadBack) {
    auto nexus = log_in_quietly();
    const auto data = pattern(128 * 1024, 3);
    const std::uint32_t write = send_write(*nexus, 16, data);
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, write).status, 0);
    const std::uint32_t read = send(*nexus, {0, cdb10(0x28, 16, 256), 128 * 1024, {}, false});
    device_.answer_all();
    const auto completion = end_of(*nexus, read);
    EXPECT_EQ(completion.status, 0);
    EXPECT_EQ(completion.data_in, data);
    EXPECT_TRUE(nexus->initiator.violations().empty());
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, AReadIsAnsweredWithWhatTheDeviceLends) {
    auto nexus = log_in_quietly();
    nexus->lent_from = device_.content();
    device_.lends = true;
    const auto data = pattern(64 * 1024, 5);
    const std::uint32_t write = send_write(*nexus, 16, data);
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, write).status, 0);
    // The initiator has room for a part of it only.
    const std::uint32_t read = send(*nexus, {0, cdb10(0x28, 16, 128), 33000, {}, false});
    device_.answer_all();
    const auto completion = end_of(*nexus, read);
    EXPECT_EQ(completion.status, 0);
    EXPECT_TRUE(std::ranges::equal(completion.data_in, Bytes(data).first(33000)));
    EXPECT_TRUE(completion.overflow);
    EXPECT_EQ(nexus->lent_pieces, 1U);
    EXPECT_EQ(device_.lender.use_count(), 1);  // nothing keeps the file open any longer
    EXPECT_TRUE(nexus->initiator.violations().empty());
}

TEST_F(TargetTest, NothingIsLentToASessionWithDataDigests) {
    test::InitiatorSettings settings;
    settings.data_digest = "CRC32C";
    Nexus nexus(*target_, settings);
    test_unit_ready(nexus);
    device_.lends = true;
    const std::uint32_t read = send(nexus, {0, cdb10(0x28, 0, 128), 64 * 1024, {}, false});
    device_.answer_all();
    EXPECT_EQ(end_of(nexus, read).status, 0);
    EXPECT_EQ(nexus.lent_pieces, 0U);
}

// COMPARE AND WRITE looks at what it reads.
TEST_F(TargetTest, OnlyTheDataOfAnAnswerAreLent) {
    auto nexus = log_in_quietly();
    device_.lends = true;
    std::vector<std::byte> data(2 * block_size);
    std::fill(data.begin() + block_size, data.end(), std::byte{9});
    std::vector<std::uint8_t> cdb(16);
    cdb[0] = 0x89;
    cdb[13] = 1;
    const std::uint32_t tag = send(*nexus, {0, cdb, 0, std::move(data), false});
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, tag).status, 0);
    EXPECT_EQ(device_.content()[0], std::byte{9});
}

TEST_F(TargetTest, AFailedWriteIsAMediumError) {
    auto nexus = log_in_quietly();
    const std::uint32_t write = send_write(*nexus, 0, pattern(512, 1));
    device_.answer_one(BlockStatus::io_error);
    const auto completion = end_of(*nexus, write);
    EXPECT_EQ(completion.status, 0x02);
    ASSERT_GE(completion.sense.size(), 14U);
    EXPECT_EQ(completion.sense[2] & std::byte{0x0f}, std::byte{0x03});
}

TEST_F(TargetTest, ALunThatIsNotThereSaysSo) {
    auto nexus = log_in_quietly();
    const std::uint64_t lun_5 = std::uint64_t{5} << 48;
    const auto ready = end_of(*nexus, send(*nexus, {lun_5, {0, 0, 0, 0, 0, 0}, 0, {}, false}));
    EXPECT_EQ(ready.status, 0x02);
    ASSERT_GE(ready.sense.size(), 14U);
    EXPECT_EQ(ready.sense[12], std::byte{0x25});
    const auto inquiry =
        end_of(*nexus, send(*nexus, {lun_5, {0x12, 0, 0, 0, 36, 0}, 36, {}, false}));
    EXPECT_EQ(inquiry.status, 0);
    ASSERT_FALSE(inquiry.data_in.empty());
    EXPECT_EQ(inquiry.data_in[0], std::byte{0x7f});  // qualifier 3, no device type
}

TEST_F(TargetTest, CommandsWaitForMemoryAndThenGoOn) {
    make_target(64 * 1024);
    auto nexus = log_in_quietly();
    std::vector<std::uint32_t> tags;
    for (std::uint32_t i = 0; i < 8; ++i) {
        tags.push_back(send(*nexus, {0, cdb10(0x28, i * 64, 64), 32768, {}, false}));
    }
    EXPECT_EQ(device_.waiting(), 2U);  // 64 KiB are two commands of 32 KiB
    for (const std::uint32_t tag : tags) {
        device_.answer_one();
        EXPECT_EQ(end_of(*nexus, tag).status, 0);
    }
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, AWriteThatWaitsForMemoryKeepsItsData) {
    make_target(32 * 1024);
    auto nexus = log_in_quietly();
    const std::uint32_t read = send(*nexus, {0, cdb10(0x28, 0, 64), 32768, {}, false});
    const auto data = pattern(16384, 9);
    const std::uint32_t write = send_write(*nexus, 100, data);
    EXPECT_EQ(device_.waiting(), 1U);
    device_.answer_one();
    EXPECT_EQ(end_of(*nexus, read).status, 0);
    nexus->exchange();
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, write).status, 0);
    EXPECT_EQ(std::memcmp(device_.content().data() + 100 * block_size, data.data(), data.size()),
              0);
}

TEST_F(TargetTest, AnAbortedTaskHasNoAnswerAndTheFunctionWaitsForTheDevice) {
    auto nexus = log_in_quietly();
    const std::uint32_t write = send_write(*nexus, 0, pattern(512, 1));
    nexus->initiator.send_task_management(1, 0, write);
    nexus->exchange();
    EXPECT_TRUE(nexus->initiator.inbox().empty());
    device_.answer_all();
    nexus->exchange();
    ASSERT_EQ(nexus->initiator.inbox().size(), 1U);
    EXPECT_EQ(nexus->initiator.inbox().front().header.opcode_specific_2[0], 0);
    EXPECT_FALSE(nexus->initiator.take_completion(write).has_value());
}

TEST_F(TargetTest, AbortingWhatIsAlreadyAnsweredSaysThatItDoesNotExist) {
    auto nexus = log_in_quietly();
    const std::uint32_t write = send_write(*nexus, 0, pattern(512, 1));
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, write).status, 0);
    nexus->initiator.send_task_management(1, 0, write);
    nexus->exchange();
    ASSERT_EQ(nexus->initiator.inbox().size(), 1U);
    EXPECT_EQ(nexus->initiator.inbox().front().header.opcode_specific_2[0], 1);
}

TEST_F(TargetTest, ALogicalUnitResetEndsTheTasksOfEveryNexusAndTellsThem) {
    auto first = log_in_quietly(1);
    auto second = log_in_quietly(2);
    const std::uint32_t lost = send_write(*second, 0, pattern(512, 1));
    first->initiator.send_task_management(5, 0, 0xffffffff);
    first->exchange();
    EXPECT_TRUE(first->initiator.inbox().empty());
    device_.answer_all();
    first->exchange();
    EXPECT_EQ(first->initiator.inbox().size(), 1U);
    EXPECT_FALSE(is_answered(*second, lost));
    for (Nexus* nexus : {first.get(), second.get()}) {
        const auto completion = end_of(*nexus, test_unit_ready(*nexus));
        ASSERT_EQ(completion.status, 0x02);
        EXPECT_EQ(completion.sense[2] & std::byte{0x0f}, std::byte{0x06});
        EXPECT_EQ(completion.sense[12], std::byte{0x29});
    }
}

TEST_F(TargetTest, AfterAConnectionIsLostItsRequestStillEndsInTheDevice) {
    auto nexus = log_in_quietly();
    send_write(*nexus, 0, pattern(4096, 5));
    nexus->hang_up();
    EXPECT_EQ(target_->session_count(), 0U);
    EXPECT_FALSE(target_->is_idle());
    device_.answer_all();
    EXPECT_TRUE(target_->is_idle());
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, AReinstatedSessionStartsOnlyWhenTheOldOnesWritesHaveLanded) {
    auto old = log_in_quietly(1);
    send_write(*old, 0, pattern(512, 1));
    auto fresh = log_in(1);
    EXPECT_EQ(fresh->to_drop, (std::vector<iscsi::Connection*>{&old->connection}));
    EXPECT_FALSE(fresh->drained);
    EXPECT_FALSE(fresh->initiator.logged_in());
    device_.answer_all();
    EXPECT_TRUE(fresh->drained);
    fresh->exchange();
    EXPECT_TRUE(fresh->initiator.logged_in());
    EXPECT_EQ(target_->session_count(), 1U);
}

TEST_F(TargetTest, AnotherSessionOfTheSameInitiatorIsServedBesideTheFirst) {
    auto first = log_in_quietly(1);
    auto second = log_in_quietly(2);
    EXPECT_TRUE(second->to_drop.empty());
    EXPECT_EQ(target_->session_count(), 2U);
    const iscsi::LoginRequestInfo& info = second->connection.login_info();
    EXPECT_TRUE(target_->has_session(info.initiator_name, info.isid));
    EXPECT_FALSE(target_->has_session(info.initiator_name + "x", info.isid));
    second->hang_up();
    EXPECT_FALSE(target_->has_session(info.initiator_name, info.isid));
    EXPECT_EQ(target_->session_count(), 1U);
}

TEST_F(TargetTest, ALogoutIsAnsweredWhenTheLastTaskHasEnded) {
    auto nexus = log_in_quietly();
    const std::uint32_t write = send_write(*nexus, 0, pattern(512, 1));
    nexus->initiator.send_logout(0);
    nexus->exchange();
    EXPECT_TRUE(nexus->initiator.inbox().empty());
    device_.answer_all();
    nexus->exchange();
    EXPECT_EQ(end_of(*nexus, write).status, 0);
    ASSERT_EQ(nexus->initiator.inbox().size(), 1U);
}

TEST_F(TargetTest, CompareAndWriteHasItsBlocksToItself) {
    auto nexus = log_in_quietly();
    const std::uint32_t before = send_write(*nexus, 8, pattern(512, 1));
    std::vector<std::byte> compare_and_write(1024);
    const auto expected = pattern(512, 1);
    const auto wanted = pattern(512, 2);
    std::memcpy(compare_and_write.data(), expected.data(), 512);
    std::memcpy(compare_and_write.data() + 512, wanted.data(), 512);
    const std::uint32_t swap =
        send(*nexus,
             {0, {0x89, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0}, 0, compare_and_write, false});
    EXPECT_EQ(device_.waiting(), 1U);  // the write that came first
    device_.answer_one();
    EXPECT_EQ(end_of(*nexus, before).status, 0);
    EXPECT_EQ(device_.waiting(), 1U);  // the read of COMPARE AND WRITE
    const std::uint32_t after = send_write(*nexus, 8, pattern(512, 3));
    const std::uint32_t beside = send_write(*nexus, 9, pattern(512, 4));
    EXPECT_EQ(device_.waiting(), 2U);  // the read, and the write beside it
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, swap).status, 0);
    EXPECT_EQ(end_of(*nexus, after).status, 0);
    EXPECT_EQ(end_of(*nexus, beside).status, 0);
    EXPECT_EQ(std::memcmp(device_.content().data() + 8 * block_size, pattern(512, 3).data(), 512),
              0);
}

// ---- task attributes

TEST_F(TargetTest, AnOrderedTaskWaitsForOlderOnesAndLaterOnesForIt) {
    auto nexus = log_in_quietly(1);
    auto other = log_in_quietly(2);
    const std::uint32_t older = send_write(*nexus, 0, pattern(512, 1));
    test::InitiatorCommand command{0, cdb10(0x2a, 1, 1), 0, pattern(512, 2), false, ordered};
    const std::uint32_t in_order = send(*nexus, command);
    const std::uint32_t later = send_write(*other, 2, pattern(512, 3));
    EXPECT_EQ(device_.waiting(), 1U);
    device_.answer_one();
    EXPECT_EQ(end_of(*nexus, older).status, 0);
    EXPECT_EQ(device_.waiting(), 1U);  // the ordered one alone
    device_.answer_one();
    EXPECT_EQ(end_of(*nexus, in_order).status, 0);
    EXPECT_EQ(device_.waiting(), 1U);
    device_.answer_one();
    EXPECT_EQ(end_of(*other, later).status, 0);
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, AHeadOfQueueTaskPassesTheWaitingOnes) {
    auto nexus = log_in_quietly();
    send_write(*nexus, 0, pattern(512, 1));
    send(*nexus, {0, cdb10(0x2a, 1, 1), 0, pattern(512, 2), false, ordered});
    EXPECT_EQ(device_.waiting(), 1U);
    const std::uint32_t head = send(*nexus, {0, cdb10(0x28, 5, 1), 512, {}, false, head_of_queue});
    EXPECT_EQ(device_.waiting(), 2U);  // it did not wait
    const std::uint32_t later = send_write(*nexus, 2, pattern(512, 3));
    EXPECT_EQ(device_.waiting(), 2U);
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, head).status, 0);
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, later).status, 0);
}

TEST_F(TargetTest, AnAbortedOrderedTaskLetsTheLaterOnesGo) {
    auto nexus = log_in_quietly();
    const std::uint32_t older = send_write(*nexus, 0, pattern(512, 1));
    const std::uint32_t in_order =
        send(*nexus, {0, cdb10(0x2a, 1, 1), 0, pattern(512, 2), false, ordered});
    const std::uint32_t later = send_write(*nexus, 2, pattern(512, 3));
    EXPECT_EQ(device_.waiting(), 1U);
    nexus->initiator.send_task_management(1, 0, in_order);
    nexus->exchange();
    EXPECT_EQ(device_.waiting(), 2U);
    device_.answer_all();
    EXPECT_EQ(end_of(*nexus, older).status, 0);
    EXPECT_EQ(end_of(*nexus, later).status, 0);
    EXPECT_FALSE(is_answered(*nexus, in_order));
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, ADormantTaskOfALostConnectionHoldsNobodyUp) {
    auto nexus = log_in_quietly(1);
    auto other = log_in_quietly(2);
    const std::uint32_t older = send_write(*other, 0, pattern(512, 1));
    send(*nexus, {0, cdb10(0x2a, 1, 1), 0, pattern(512, 2), false, ordered});
    nexus->hang_up();
    const std::uint32_t later = send_write(*other, 2, pattern(512, 3));
    EXPECT_EQ(device_.waiting(), 2U);
    device_.answer_all();
    EXPECT_EQ(end_of(*other, older).status, 0);
    EXPECT_EQ(end_of(*other, later).status, 0);
}

// ---- what a command waits for besides the device

std::vector<std::byte> reserve_out_list(std::uint64_t key, std::uint64_t action_key,
                                        std::uint8_t flags) {
    std::vector<std::byte> list(24);
    for (std::size_t i = 0; i < 8; ++i) {
        list[i] = static_cast<std::byte>(key >> (56 - 8 * i));
        list[8 + i] = static_cast<std::byte>(action_key >> (56 - 8 * i));
    }
    list[20] = std::byte{flags};
    return list;
}

test::InitiatorCommand reserve_out(std::uint8_t action, std::uint8_t type, std::uint64_t key,
                                   std::uint64_t action_key, std::uint8_t flags = 0) {
    return {0,     {0x5f, action, type, 0, 0, 0, 0, 0, 24, 0},
            0,     reserve_out_list(key, action_key, flags),
            false, 1};
}

TEST_F(TargetTest, PreemptAndAbortIsAnsweredWhenTheVictimsTasksHaveEnded) {
    auto nexus = log_in_quietly(1);
    auto victim = log_in_quietly(2);
    EXPECT_EQ(end_of(*nexus, send(*nexus, reserve_out(6, 0, 0, 1))).status, 0);
    EXPECT_EQ(end_of(*victim, send(*victim, reserve_out(6, 0, 0, 2))).status, 0);
    const std::uint32_t lost = send_write(*victim, 0, pattern(512, 1));
    const std::uint32_t own = send_write(*nexus, 1, pattern(512, 2));
    const std::uint32_t preempting = send(*nexus, reserve_out(5, 3, 1, 2));
    EXPECT_FALSE(is_answered(*nexus, preempting));
    const std::uint32_t again = preempting;
    device_.answer_all();
    nexus->exchange();
    EXPECT_EQ(end_of(*nexus, own).status, 0);
    EXPECT_EQ(end_of(*nexus, again).status, 0);
    EXPECT_FALSE(is_answered(*victim, lost));
}

TEST_F(TargetTest, WithAptplTheAnswerWaitsUntilTheStateIsStored) {
    std::vector<std::string> stored;
    std::function<void(BlockOutcome)> kept;
    make_target(64U << 20, [&](std::string state, std::function<void(BlockOutcome)> done) {
        stored.push_back(std::move(state));
        kept = std::move(done);
    });
    auto nexus = log_in_quietly();
    const std::uint32_t tag = send(*nexus, reserve_out(6, 0, 0, 1, 1));
    ASSERT_EQ(stored.size(), 1U);
    EXPECT_NE(stored.front().find("\nregistrant 0000000000000001 1 "), std::string::npos);
    EXPECT_FALSE(is_answered(*nexus, tag));
    kept({});
    EXPECT_EQ(end_of(*nexus, tag).status, 0);
    const std::uint32_t lost = send(*nexus, reserve_out(6, 0, 0, 2, 1));
    nexus->hang_up();
    EXPECT_FALSE(target_->is_idle());
    kept({BlockStatus::io_error, 5});
    EXPECT_TRUE(target_->is_idle());
    EXPECT_NE(lost, tag);
}

TEST_F(TargetTest, SanitizingGoesOnStepByStepWithoutASession) {
    auto nexus = log_in_quietly();
    test::InitiatorCommand command{0, {0x48, 0x01, 0, 0, 0, 0, 0, 0, 5, 0}, 0, {}, false, 1};
    command.data_out = {std::byte{1}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0xaa}};
    const std::uint32_t waiting = send(*nexus, command);
    EXPECT_FALSE(is_answered(*nexus, waiting));
    EXPECT_EQ(device_.waiting(), 1U);
    device_.answer_one();
    EXPECT_EQ(device_.waiting(), 1U);
    nexus->hang_up();
    EXPECT_TRUE(target_->has_background_work());
    EXPECT_FALSE(target_->is_idle());
    device_.answer_all();
    EXPECT_FALSE(target_->has_background_work());
    EXPECT_TRUE(target_->is_idle());
    EXPECT_EQ(pool_->taken_bytes(), 0U);
    EXPECT_EQ(device_.content().back(), std::byte{0xaa});
    EXPECT_EQ(device_.content().front(), std::byte{0xaa});
}

TEST_F(TargetTest, SanitizingKeepsToItsShareOfEachSecond) {
    constexpr std::uint64_t share = Target::background_bytes_per_second >> 20;  // passes of 1 MiB
    static_assert(share > 4 * 31 && share < 5 * 31);
    auto nexus = log_in_quietly();
    test::InitiatorCommand command{0, {0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0}, 0, {}, false, 1};
    command.data_out = {std::byte{31}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0xaa}};
    std::uint64_t requests = 0;
    const auto run = [&] {
        for (; device_.waiting() != 0; ++requests) {
            device_.answer_one();
        }
    };
    for (int i = 0; i < 4; ++i) {  // of 31 passes each
        EXPECT_EQ(end_of(*nexus, send(*nexus, command)).status, 0);
        run();
        EXPECT_FALSE(target_->has_background_work());
    }
    EXPECT_EQ(requests, 4 * 31 * 2U);
    EXPECT_EQ(end_of(*nexus, send(*nexus, command)).status, 0);
    run();
    EXPECT_EQ(requests, 2 * share);  // half a MiB each
    EXPECT_TRUE(target_->has_background_work());
    target_->second_passed();
    run();
    EXPECT_EQ(requests, 5 * 31 * 2U);
    EXPECT_FALSE(target_->has_background_work());
    EXPECT_EQ(pool_->taken_bytes(), 0U);
}

TEST_F(TargetTest, SanitizingStopsWhenTheTargetCloses) {
    auto nexus = log_in_quietly();
    test::InitiatorCommand command{0, {0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0}, 0, {}, false, 1};
    command.data_out = {std::byte{1}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0xaa}};
    EXPECT_EQ(end_of(*nexus, send(*nexus, command)).status, 0);
    nexus->hang_up();
    target_->stop_background_work();
    EXPECT_FALSE(target_->is_idle());
    device_.answer_all();
    EXPECT_TRUE(target_->is_idle());
    EXPECT_EQ(pool_->taken_bytes(), 0U);
    EXPECT_NE(device_.content().back(), std::byte{0xaa});
}

}  // namespace
}  // namespace cowtgt::node
