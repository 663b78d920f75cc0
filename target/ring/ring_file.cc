#include "target/ring/ring_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cowtgt::ring {

namespace {

/// One read or write system call moves at most this many bytes (the kernel's own limit is lower
/// than 2 GiB, and a length is an int in the ring).
constexpr std::uint64_t transfer_max = 1U << 30;

bool moves_data(const FileOperation& operation) {
    return operation.kind == FileOperation::Kind::read ||
           operation.kind == FileOperation::Kind::write;
}

bool is_on_tmpfs(int file) {
    struct statfs facts {};
    return fstatfs(file, &facts) == 0 && facts.f_type == TMPFS_MAGIC;
}

}  // namespace

RingFile::RingFile(Ring& ring, Descriptors descriptors, DirectIoAlignment alignment)
    : ring_(ring),
      descriptors_(descriptors),
      alignment_(alignment),
      in_memory_(is_on_tmpfs(descriptors.buffered)) {
    answering_.run = [](Deferred& deferred) {
        static_cast<RingFile*>(deferred.owner)->give_answers();
    };
    answering_.owner = this;
}

RingFile::~RingFile() {
    CHECK(outstanding_ == 0);
    close(descriptors_.data);
    if (descriptors_.buffered != descriptors_.data) close(descriptors_.buffered);
}

void RingFile::expect_no_read_ahead() {
    posix_fadvise(descriptors_.buffered, 0, 0, POSIX_FADV_RANDOM);  // advice: it may fail
}

void RingFile::submit(FileOperation& operation) {
    operation.transferred = 0;
    if (in_memory_ && moves_data(operation)) {
        transfer_in_memory(operation);
        return;
    }
    if (free_.empty()) {
        all_.push_back(std::make_unique<Pending>());
        free_.push_back(all_.back().get());
    }
    Pending& pending = *free_.back();
    free_.pop_back();
    ++outstanding_;
    pending = {{completed, &pending}, this, &operation};
    start(pending);
}

void RingFile::transfer_in_memory(FileOperation& operation) {
    const MutableBytes data = operation.data;
    const bool reads = operation.kind == FileOperation::Kind::read;
    int os_errno = 0;
    while (operation.transferred < data.size() && os_errno == 0) {
        const MutableBytes rest = data.subspan(operation.transferred);
        const auto at = static_cast<off_t>(operation.offset + operation.transferred);
        const ssize_t moved = reads ? pread(descriptors_.data, rest.data(), rest.size(), at)
                                    : pwrite(descriptors_.data, rest.data(), rest.size(), at);
        if (moved > 0) {
            operation.transferred += static_cast<std::uint64_t>(moved);
        } else if (moved == 0 && reads) {
            std::memset(rest.data(), 0, rest.size());  // past the end
            operation.transferred = data.size();
        } else if (moved == 0 || errno != EINTR) {
            os_errno = moved == 0 ? EIO : errno;
        }
    }
    ++outstanding_;
    answers_.push_back({&operation, os_errno});
    ring_.defer(answering_, Ring::Order::early);
}

void RingFile::give_answers() {
    // `done` may submit again, which adds to answers_.
    being_given_.swap(answers_);
    for (const Answer& answer : being_given_) {
        --outstanding_;
        answer.operation->done(*answer.operation, answer.os_errno);
    }
    being_given_.clear();
}

void RingFile::start(Pending& pending) {
    FileOperation& operation = *pending.operation;
    const std::uint64_t at = operation.offset + operation.transferred;
    switch (operation.kind) {
        case FileOperation::Kind::read:
        case FileOperation::Kind::write: {
            const MutableBytes rest = operation.data.subspan(operation.transferred);
            const MutableBytes piece =
                rest.first(std::min<std::uint64_t>(rest.size(), transfer_max));
            if (operation.kind == FileOperation::Kind::read) {
                ring_.read(descriptors_.data, at, piece, pending.completion);
            } else {
                ring_.write(descriptors_.data, at, piece, pending.completion);
            }
            return;
        }
        case FileOperation::Kind::sync_data:
            ring_.sync_data(descriptors_.data, pending.completion);
            return;
        case FileOperation::Kind::allocate:
            ring_.allocate(descriptors_.data, 0, operation.offset, operation.length,
                           pending.completion);
            return;
        case FileOperation::Kind::punch_hole:
            ring_.allocate(descriptors_.data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           operation.offset, operation.length, pending.completion);
            return;
    }
}

void RingFile::completed(Completion& completion, const Completion::Outcome& outcome) {
    Pending& pending = *static_cast<Pending*>(completion.owner);
    pending.file->progressed(pending, outcome.result);
}

void RingFile::progressed(Pending& pending, std::int32_t result) {
    FileOperation& operation = *pending.operation;
    if (result == -EINTR) {
        start(pending);
        return;
    }
    if (result < 0) {
        finish(pending, -result);
        return;
    }
    if (!moves_data(operation)) {
        finish(pending, 0);
        return;
    }
    operation.transferred += static_cast<std::uint64_t>(result);
    if (operation.transferred == operation.data.size()) {
        finish(pending, 0);
    } else if (result == 0 && operation.kind == FileOperation::Kind::read) {
        const MutableBytes past_end = operation.data.subspan(operation.transferred);
        std::memset(past_end.data(), 0, past_end.size());
        finish(pending, 0);
    } else if (result == 0) {
        finish(pending, EIO);
    } else {
        start(pending);
    }
}

void RingFile::finish(Pending& pending, int os_errno) {
    FileOperation& operation = *pending.operation;
    free_.push_back(&pending);
    --outstanding_;
    operation.done(operation, os_errno);
}

bool RingFile::read_now(std::uint64_t offset, MutableBytes into) {
    const auto at = static_cast<off_t>(offset);
    const iovec piece{into.data(), into.size()};
    const ssize_t got = in_memory_ ? pread(descriptors_.buffered, into.data(), into.size(), at)
                                   : preadv2(descriptors_.buffered, &piece, 1, at, RWF_NOWAIT);
    return got == static_cast<ssize_t>(into.size());
}

int RingFile::append_now(std::uint64_t offset, Bytes from) {
    while (!from.empty()) {
        const ssize_t put =
            pwrite(descriptors_.buffered, from.data(), from.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put < 0 ? errno : EIO;
        from = from.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return 0;
}

}  // namespace cowtgt::ring
