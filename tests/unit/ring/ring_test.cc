#include "target/ring/ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "target/ring/ring_file.h"

namespace cowtgt::ring {
namespace {

std::unique_ptr<Ring> make_ring(std::uint32_t busy_poll_us = 0) {
    auto ring = Ring::create({.entries = 64,
                              .receive_buffers = 4,
                              .receive_buffer_bytes = 4096,
                              .busy_poll_us = busy_poll_us});
    EXPECT_TRUE(ring) << ring.error().message;
    return std::move(ring).value();
}

/// A Completion that stops the loop and keeps its outcome.
struct Once {
    explicit Once(Ring& stopping) : ring(stopping) {
        completion = {[](Completion& done, const Completion::Outcome& got) {
                          Once& once = *static_cast<Once*>(done.owner);
                          once.outcome = got;
                          once.ring.stop();
                      },
                      this};
    }
    Ring& ring;
    Completion completion;
    Completion::Outcome outcome;
};

struct Noted {
    Noted(Ring& in, std::vector<std::string>& list, std::string text)
        : ring(in), notes(list), word(std::move(text)) {
        deferred.run = [](Deferred& running) {
            Noted& noted = *static_cast<Noted*>(running.owner);
            noted.notes.push_back(noted.word);
        };
        deferred.owner = this;
    }
    Ring& ring;
    std::vector<std::string>& notes;
    std::string word;
    Deferred deferred;
};

TEST(Ring, LateWorkRunsAfterEarlyWorkAndOnce) {
    auto ring = make_ring();
    std::vector<std::string> notes;
    Noted send(*ring, notes, "send"), first(*ring, notes, "first"), second(*ring, notes, "second");
    ring->defer(send.deferred, Ring::Order::late);
    ring->defer(first.deferred, Ring::Order::early);
    ring->defer(send.deferred, Ring::Order::late);
    ring->defer(second.deferred, Ring::Order::early);
    ring->stop();
    ring->run();
    EXPECT_EQ(notes, (std::vector<std::string>{"first", "second", "send"}));
}

TEST(Ring, MessagesOfOtherThreadsArriveInTheirOrder) {
    auto ring = make_ring();
    std::vector<int> seen;
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) {
            ring->post([&seen, i] { seen.push_back(i); });
        }
        ring->stop();
    });
    ring->run();
    other.join();
    ASSERT_EQ(seen.size(), 1000U);
    for (int i = 0; i < 1000; ++i) {
        EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
    }
}

TEST(Ring, ReceivesIntoItsOwnBuffersAndTakesThemBack) {
    auto ring = make_ring();
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    for (int round = 0; round < 20; ++round) {  // more often than there are buffers
        const std::string text = "round " + std::to_string(round);
        ASSERT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
        auto fresh = make_ring();
        Once once(*fresh);
        fresh->receive_provided(ends[0], once.completion);
        fresh->run();
        EXPECT_EQ(text_of(fresh->provided_bytes(once.outcome)), text);
        fresh->recycle(once.outcome);
    }
    close(ends[0]);
    close(ends[1]);
}

TEST(Ring, MissesNothingWhileItPollsAndWhenItSleepsAfterwards) {
    auto ring = make_ring(200);
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct Counter {
        Ring& ring;
        int socket;
        std::size_t bytes = 0;
        std::array<std::byte, 16> into{};
        Completion completion{};
    } counter{*ring, ends[0]};
    counter.completion = {[](Completion& done, const Completion::Outcome& outcome) {
                              Counter& all = *static_cast<Counter*>(done.owner);
                              all.bytes += static_cast<std::size_t>(outcome.result);
                              if (all.bytes == 2000) {
                                  all.ring.stop();
                              } else {
                                  all.ring.receive(all.socket, all.into, all.completion);
                              }
                          },
                          &counter};
    ring->receive(ends[0], counter.into, counter.completion);
    // One byte at a time and a message between: some come while it polls, some wake it.
    int messages = 0;  // the ring's
    std::thread other([&] {
        for (int i = 0; i < 2000; ++i) {
            if (i % 50 == 0) ring->post([&messages] { ++messages; });
            EXPECT_EQ(write(ends[1], "x", 1), 1);
        }
    });
    ring->run();
    other.join();
    EXPECT_EQ(counter.bytes, 2000U);
    EXPECT_EQ(messages, 40);  // all were posted before the last byte, and stop() after it
    close(ends[0]);
    close(ends[1]);
}

TEST(Ring, SaysWhenNoReceiveBufferIsFreeUntilOneIsRecycled) {
    auto ring = make_ring();
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    struct Collector {
        Ring& ring;
        std::size_t wanted;
        std::vector<Completion::Outcome> outcomes{};
    } collector{*ring, 5};
    std::array<Completion, 5> completions;
    for (Completion& completion : completions) {
        completion = {[](Completion& done, const Completion::Outcome& outcome) {
                          Collector& all = *static_cast<Collector*>(done.owner);
                          all.outcomes.push_back(outcome);
                          if (all.outcomes.size() == all.wanted) all.ring.stop();
                      },
                      &collector};
        ASSERT_EQ(write(ends[1], "x", 1), 1);
        ring->receive_provided(ends[0], completion);
    }
    ring->run();
    std::size_t refused = 0;
    for (const Completion::Outcome& outcome : collector.outcomes) {
        if (outcome.result == -ENOBUFS) ++refused;
    }
    EXPECT_EQ(refused, 1U);  // four buffers, five receives
    close(ends[0]);
    close(ends[1]);
}

/// On the disk, where io_uring moves the data, and on tmpfs, where it does not.
class RingFileTest : public testing::TestWithParam<std::string> {
protected:
    void SetUp() override {
        std::string name = GetParam() + "/ring_file_test.XXXXXX";
        descriptor_ = mkstemp(name.data());
        ASSERT_GE(descriptor_, 0);
        unlink(name.c_str());
        ring_ = make_ring();
        file_ = std::make_unique<RingFile>(*ring_, RingFile::Descriptors{descriptor_, descriptor_},
                                           DirectIoAlignment{1, 1});
    }

    int run(FileOperation& operation) {
        struct Answer {
            Ring& ring;
            int os_errno = -1;
        } answer{*ring_};
        operation.owner = &answer;
        operation.done = [](FileOperation& done, int os_errno) {
            Answer& answered = *static_cast<Answer*>(done.owner);
            answered.os_errno = os_errno;
            answered.ring.stop();
        };
        file_->submit(operation);
        ring_->run();
        // A ring runs once; the next operation gets a new one.
        return answer.os_errno;
    }

    int descriptor_ = -1;
    std::unique_ptr<Ring> ring_;
    std::unique_ptr<RingFile> file_;
};

TEST_P(RingFileTest, ReadsZerosPastTheEndOfTheFile) {
    ASSERT_EQ(pwrite(descriptor_, "abc", 3, 0), 3);
    std::array<std::byte, 8> into{};
    into.fill(std::byte{0xff});
    FileOperation read;
    read.kind = FileOperation::Kind::read;
    read.data = into;
    EXPECT_EQ(run(read), 0);
    EXPECT_EQ(std::memcmp(into.data(), "abc\0\0\0\0\0", 8), 0);
}

TEST_P(RingFileTest, WritesAndExtendsTheFile) {
    std::array<std::byte, 3> from{std::byte{'x'}, std::byte{'y'}, std::byte{'z'}};
    FileOperation write;
    write.kind = FileOperation::Kind::write;
    write.offset = 4096;
    write.data = from;
    EXPECT_EQ(run(write), 0);
    EXPECT_EQ(lseek(descriptor_, 0, SEEK_END), 4099);
}

TEST_P(RingFileTest, ReportsTheSystemsError) {
    FileOperation punch;
    punch.kind = FileOperation::Kind::punch_hole;
    punch.length = 0;  // the kernel calls this EINVAL
    EXPECT_EQ(run(punch), EINVAL);
}

TEST_P(RingFileTest, AppendedBytesAreInTheFileAtOnce) {
    EXPECT_EQ(file_->append_now(10, bytes_of("journal")), 0);
    char text[8] = "";
    EXPECT_EQ(pread(descriptor_, text, 7, 10), 7);
    EXPECT_STREQ(text, "journal");
}

TEST_P(RingFileTest, ReadNowAnswersOnlyWithEverything) {
    ASSERT_EQ(pwrite(descriptor_, "abcdef", 6, 0), 6);
    std::array<std::byte, 6> whole{};
    EXPECT_TRUE(file_->read_now(0, whole));
    EXPECT_EQ(text_of(whole), "abcdef");
    EXPECT_FALSE(file_->read_now(3, whole));  // the file ends before
}

TEST_P(RingFileTest, LendsWhatIsInMemoryOnceItMay) {
    const std::vector<std::byte> content(3 * 4096 + 512, std::byte{5});
    ASSERT_EQ(pwrite(descriptor_, content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    EXPECT_TRUE(file_->lend(0, 4096).empty());
    file_->allow_lending();
    const LentBytes lent = file_->lend(1024, 8192);
    EXPECT_EQ(lent.offset, 1024U);
    EXPECT_EQ(lent.length, 8192U);
    EXPECT_FALSE(file_->lend(3 * 4096, 512).empty());
    EXPECT_TRUE(file_->lend(3 * 4096, 1024).empty());  // the file ends before
    EXPECT_TRUE(file_->lend(1 << 20, 4096).empty());
}

TEST_P(RingFileTest, WhatIsLentOutlivesTheFileObject) {
    ASSERT_EQ(pwrite(descriptor_, "abcdef", 6, 0), 6);
    file_->allow_lending();
    LentBytes lent = file_->lend(2, 3);
    file_.reset();
    char text[4] = "";
    EXPECT_EQ(pread(lent.file, text, lent.length, static_cast<off_t>(lent.offset)), 3);
    EXPECT_STREQ(text, "cde");
    lent = {};
    EXPECT_EQ(fcntl(descriptor_, F_GETFD), -1);  // closed
}

TEST_P(RingFileTest, AHoleIsNotInMemory) {
    ASSERT_EQ(ftruncate(descriptor_, 1 << 20), 0);
    ASSERT_EQ(pwrite(descriptor_, "x", 1, 0), 1);
    file_->allow_lending();
    EXPECT_FALSE(file_->lend(0, 4096).empty());
    EXPECT_TRUE(file_->lend(0, 1 << 20).empty());
    EXPECT_TRUE(file_->lend(512 << 10, 4096).empty());
}

TEST_P(RingFileTest, AnswersFromTheLoopAndInOrder) {
    std::array<std::byte, 4096> content{};
    content.fill(std::byte{7});
    std::array<std::byte, 4096> into{};
    struct Script {
        Ring& ring;
        RingFile& file;
        FileOperation read{};
        bool submitting = false;
        int answers = 0;
    } script{*ring_, *file_};
    FileOperation write;
    write.kind = FileOperation::Kind::write;
    write.data = content;
    write.owner = script.read.owner = &script;
    write.done = [](FileOperation& done, int os_errno) {
        Script& running = *static_cast<Script*>(done.owner);
        EXPECT_EQ(os_errno, 0);
        EXPECT_FALSE(running.submitting);
        ++running.answers;
        running.submitting = true;  // an answer may submit, and is not answered inside of it
        running.file.submit(running.read);
        running.submitting = false;
    };
    script.read.data = into;
    script.read.done = [](FileOperation& done, int os_errno) {
        Script& running = *static_cast<Script*>(done.owner);
        EXPECT_EQ(os_errno, 0);
        EXPECT_FALSE(running.submitting);
        ++running.answers;
        running.ring.stop();
    };
    script.submitting = true;
    file_->submit(write);
    script.submitting = false;
    ring_->run();
    EXPECT_EQ(script.answers, 2);
    EXPECT_EQ(into, content);
}

TEST_P(RingFileTest, WritesToADescriptorForReadingFail) {
    const int reading = open(("/proc/self/fd/" + std::to_string(descriptor_)).c_str(), O_RDONLY);
    ASSERT_GE(reading, 0);
    file_ = std::make_unique<RingFile>(*ring_, RingFile::Descriptors{reading, reading},
                                       DirectIoAlignment{1, 1});
    std::array<std::byte, 8> from{};
    FileOperation write;
    write.kind = FileOperation::Kind::write;
    write.data = from;
    EXPECT_EQ(run(write), EBADF);
}

/// A file with O_DIRECT and without, as a live layer has it. One run of the ring per test.
class SmallWrites : public testing::Test {
protected:
    static constexpr std::uint64_t block = 4096;

    void SetUp() override {
        std::string name = "/var/tmp/ring_file_test.XXXXXX";
        buffered_ = mkstemp(name.data());
        ASSERT_GE(buffered_, 0);
        const int direct = open(name.c_str(), O_RDWR | O_DIRECT);
        unlink(name.c_str());
        struct statfs facts {};
        const bool is_disk = fstatfs(buffered_, &facts) == 0 && facts.f_type != TMPFS_MAGIC;
        if (direct < 0 || !is_disk || sysconf(_SC_PAGESIZE) != static_cast<long>(block)) {
            GTEST_SKIP() << "/var/tmp has no O_DIRECT, is no disk, or pages are not of 4 KiB";
        }
        ring_ = make_ring();
        file_ = std::make_unique<RingFile>(*ring_, RingFile::Descriptors{direct, buffered_},
                                           DirectIoAlignment{512, 512});
    }

    struct Operation : FileOperation {
        SmallWrites* test = nullptr;
        int answer = -1;
        std::uint64_t unwritten = 0;  ///< as it was submitted
    };

    Operation& submit(FileOperation::Kind kind, std::uint64_t offset, std::uint64_t length) {
        Operation& operation = *operations_.emplace_back(std::make_unique<Operation>());
        operation.kind = kind;
        operation.offset = offset;
        operation.data = MutableBytes(memory_).first(length);
        operation.test = this;
        operation.done = [](FileOperation& done, int os_errno) {
            auto& answered = static_cast<Operation&>(done);
            answered.answer = os_errno;
            answered.test->answered();
        };
        ++under_way_;
        file_->submit(operation);
        operation.unwritten = file_->unwritten_bytes();
        return operation;
    }
    Operation& write(std::uint64_t offset, std::uint64_t length = block) {
        return submit(FileOperation::Kind::write, offset, length);
    }

    void answered() {
        --under_way_;
        if (chain_ > 0) {
            --chain_;
            write(chain_ * 2 * block);
        }
        if (under_way_ != 0) return;
        if (ending_.run != nullptr) {
            ring_->defer(ending_, Ring::Order::late);
        } else {
            ring_->stop();
        }
    }
    void stop_when_closed() {
        if (fcntl(buffered_, F_GETFD) < 0) {
            ring_->stop();
        } else {
            ring_->post([this] { stop_when_closed(); });
        }
    }

    int buffered_ = -1;
    std::unique_ptr<Ring> ring_;
    std::unique_ptr<RingFile> file_;
    std::vector<std::unique_ptr<Operation>> operations_;
    std::size_t under_way_ = 0;
    Deferred ending_;          ///< runs when all is answered; nothing: the ring stops
    std::uint64_t chain_ = 0;  ///< so many writes follow, one when another is answered
    alignas(4096) std::array<std::byte, 32768> memory_{};
};

TEST_F(SmallWrites, OneThatIsAloneGoesToThePageCache) {
    memory_.fill(std::byte{7});
    Operation& alone = write(8 * block);
    EXPECT_EQ(alone.unwritten, block);
    EXPECT_EQ(alone.answer, -1);  // not inside of submit
    std::array<std::byte, block> found{};
    ASSERT_EQ(pread(buffered_, found.data(), block, 8 * block), static_cast<ssize_t>(block));
    EXPECT_EQ(std::memcmp(found.data(), memory_.data(), block), 0);
    ring_->run();
    EXPECT_EQ(alone.answer, 0);
}

TEST_F(SmallWrites, OneBesideAnotherGoesToTheDisk) {
    const Operation& first = write(0);
    const Operation& second = write(8 * block);
    EXPECT_EQ(second.unwritten, block);
    ring_->run();
    EXPECT_EQ(first.answer, 0);
    EXPECT_EQ(second.answer, 0);
}

TEST_F(SmallWrites, ALargeOneGoesToTheDisk) {
    const Operation& large = write(0, 5 * block);
    EXPECT_EQ(large.unwritten, 0U);
    ring_->run();
    EXPECT_EQ(large.answer, 0);
}

TEST_F(SmallWrites, APartOfAPageGoesToTheDisk) {
    const Operation& part = write(0, 512);
    EXPECT_EQ(part.unwritten, 0U);
    ring_->run();
    EXPECT_EQ(part.answer, 0);
}

TEST_F(SmallWrites, ASyncCoversThem) {
    const Operation& alone = write(0);
    const Operation& sync = submit(FileOperation::Kind::sync_data, 0, 0);
    EXPECT_EQ(sync.unwritten, block);
    ring_->run();
    EXPECT_EQ(alone.answer, 0);
    EXPECT_EQ(sync.answer, 0);
    EXPECT_EQ(file_->unwritten_bytes(), 0U);
}

TEST_F(SmallWrites, TheyAreWrittenBackAndGoToTheDiskWhenThatIsTooSlow) {
    // The answers come one after the other, without a look at what the kernel has to say.
    chain_ = 1000;
    write(0);
    ring_->run();
    std::size_t write_backs = 0;
    std::size_t direct = 0;
    std::size_t cached_again = 0;
    std::uint64_t before = 0;
    for (const auto& each : operations_) {
        EXPECT_EQ(each->answer, 0);
        EXPECT_LE(each->unwritten, 262144U);
        if (each->unwritten < before) ++write_backs;
        if (each->unwritten == before) ++direct;
        if (each->unwritten > before && direct > 0) ++cached_again;
        before = each->unwritten;
    }
    EXPECT_GT(write_backs, 0U);
    EXPECT_GT(direct, 0U);
    EXPECT_GT(cached_again, 0U);
}

TEST_F(SmallWrites, TheFileMayEndWhileItIsWrittenBack) {
    chain_ = 15;
    ending_.owner = this;
    ending_.run = [](Deferred& deferred) {
        auto& test =
            *static_cast<SmallWrites_TheFileMayEndWhileItIsWrittenBack_Test*>(deferred.owner);
        EXPECT_EQ(test.file_->unwritten_bytes(), 0U);  // 64 KiB: that began it
        test.file_.reset();
        EXPECT_GE(fcntl(test.buffered_, F_GETFD), 0);  // the kernel has still to use it
        test.stop_when_closed();
    };
    write(0);
    ring_->run();
    EXPECT_EQ(file_, nullptr);
}

TEST_F(SmallWrites, AnErrorIsAnswered) {
    const int reading = open(("/proc/self/fd/" + std::to_string(buffered_)).c_str(), O_RDONLY);
    const int direct =
        open(("/proc/self/fd/" + std::to_string(buffered_)).c_str(), O_RDWR | O_DIRECT);
    ASSERT_GE(reading, 0);
    ASSERT_GE(direct, 0);
    file_ = std::make_unique<RingFile>(*ring_, RingFile::Descriptors{direct, reading},
                                       DirectIoAlignment{512, 512});
    const Operation& alone = write(0);
    ring_->run();
    EXPECT_EQ(alone.answer, EBADF);
}

INSTANTIATE_TEST_SUITE_P(Disk, RingFileTest, testing::Values("/tmp"));
INSTANTIATE_TEST_SUITE_P(Memory, RingFileTest, testing::Values("/dev/shm"));

}  // namespace
}  // namespace cowtgt::ring
