#include "cow-store/volume/verifying_file.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "tests/sim/sim_file.h"

namespace cowtgt {
namespace {

/// A file of two and a half chunks, of which the sums are known.
class VerifyingFileTest : public testing::Test {
protected:
    VerifyingFileTest() : content_(5 * chunk_size / 2) {
        sim::Random random(1);
        std::vector<std::uint64_t> hashes;
        for (std::byte& byte : content_)
            byte = static_cast<std::byte>(random());
        file_.overwrite(0, content_);
        for (std::uint64_t at = 0; at < content_.size(); at += chunk_size) {
            hashes.push_back(chunk_hash(
                Bytes{content_}.subspan(at, std::min(chunk_size, content_.size() - at))));
        }
        sums_ = std::make_shared<ChunkSums>(content_.size(), std::move(hashes),
                                            ChunkSums::Until::believed);
        verifying_ = std::make_unique<VerifyingFile>(file_, sums_);
    }

    int read(std::uint64_t offset, std::uint64_t length) {
        into_.assign(length, std::byte{0x55});
        FileOperation operation;
        int outcome = -1;
        operation.offset = offset;
        operation.length = length;
        operation.data = into_;
        operation.owner = &outcome;
        operation.done = [](FileOperation& io, int os_errno) {
            *static_cast<int*>(io.owner) = os_errno;
        };
        verifying_->submit(operation);
        while (!file_.idle())
            file_.complete_one();
        return outcome;
    }
    bool is_right(std::uint64_t offset) const {
        return std::equal(into_.begin(), into_.end(),
                          content_.begin() + static_cast<std::ptrdiff_t>(offset));
    }

    sim::File file_{1};
    std::vector<std::byte> content_, into_;
    std::shared_ptr<ChunkSums> sums_;
    std::unique_ptr<VerifyingFile> verifying_;
};

TEST_F(VerifyingFileTest, GivesWhatMatchesAcrossChunks) {
    for (const std::uint64_t offset : {std::uint64_t{0}, chunk_size - 512, 2 * chunk_size + 4096}) {
        EXPECT_EQ(read(offset, 4096), 0);
        EXPECT_TRUE(is_right(offset));
    }
    EXPECT_EQ(read(512, 2 * chunk_size), 0);
    EXPECT_TRUE(is_right(512));
}

TEST_F(VerifyingFileTest, RefusesWhateverSharesAChunkWithAFlippedBit) {
    const std::byte wrong = content_[chunk_size + 7] ^ std::byte{1};
    file_.overwrite(chunk_size + 7, {&wrong, 1});
    EXPECT_EQ(read(chunk_size + 8192, 512), EBADMSG);
    EXPECT_EQ(read(chunk_size - 512, 1024), EBADMSG);
    EXPECT_EQ(read(0, 4096), 0);
    EXPECT_EQ(read(2 * chunk_size, 4096), 0);
}

TEST_F(VerifyingFileTest, ReadsNothingAtOnceUntilItIsBelieved) {
    file_.cached = true;
    std::vector<std::byte> into(512);
    const auto read_some_time = [&] {  // the file says no now and then
        bool read = false;
        for (int attempt = 0; attempt < 50 && !read; ++attempt)
            read = verifying_->read_now(0, into);
        return read;
    };
    EXPECT_FALSE(read_some_time());
    sums_->believe();
    EXPECT_TRUE(read_some_time());
}

TEST_F(VerifyingFileTest, LendsNothingUntilItIsBelieved) {
    file_.lends = true;
    EXPECT_TRUE(verifying_->lend(4096, 8192).empty());
    sums_->believe();
    EXPECT_EQ(verifying_->lend(4096, 8192).offset, 4096U);
    EXPECT_EQ(verifying_->lend(4096, 8192).length, 8192U);
}

TEST_F(VerifyingFileTest, HandsOnWhatTheFileSays) {
    file_.arm({{FileOperation::Kind::read, 0, 1, EIO}});
    EXPECT_EQ(read(0, 4096), EIO);
    EXPECT_EQ(verifying_->append_now(0, {}), EROFS);
}

}  // namespace
}  // namespace cowtgt
