#include "target/ring/ring_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cowtgt::ring {

namespace {

/// One read or write system call moves at most this many bytes (the kernel's own limit is lower
/// than 2 GiB, and a length is an int in the ring).
constexpr std::uint64_t transfer_max = 1U << 30;

/// The largest write that goes to the page cache: copying it must cost less than a wake-up.
constexpr std::uint64_t cached_write_max = 16384;
/// A page of the kernel. Of these alone such a write consists: nothing is read for it.
constexpr std::uint64_t page_bytes = 4096;
/// So many bytes in the page cache are written back, in one go.
constexpr std::uint64_t write_back_bytes = 65536;
/// With so many more while a write-back is under way, the disk is slower than they come, and
/// writes go to it directly: a flush never has more to wait for.
constexpr std::uint64_t unwritten_max = 262144;

bool moves_data(const FileOperation& operation) {
    return operation.kind == FileOperation::Kind::read ||
           operation.kind == FileOperation::Kind::write;
}

bool is_on_tmpfs(int file) {
    struct statfs facts {};
    return fstatfs(file, &facts) == 0 && facts.f_type == TMPFS_MAGIC;
}

/// How many pages one look at the page cache tells of.
constexpr std::size_t pages_per_look = 256;

/// What closes them when nobody uses them any more.
std::shared_ptr<const void> closes(RingFile::Descriptors descriptors) {
    struct Closer {
        RingFile::Descriptors descriptors;
        explicit Closer(RingFile::Descriptors taken) : descriptors(taken) {}
        Closer(const Closer&) = delete;
        Closer& operator=(const Closer&) = delete;
        ~Closer() {
            close(descriptors.data);
            if (descriptors.buffered != descriptors.data) close(descriptors.buffered);
        }
    };
    return std::make_shared<const Closer>(descriptors);
}

}  // namespace

/// The file as memory that nobody touches: mincore says which of it is in the page cache.
struct RingFile::MappedFile {
    explicit MappedFile(int file) {
        struct stat facts {};
        if (fstat(file, &facts) != 0 || facts.st_size == 0) return;
        size = static_cast<std::uint64_t>(facts.st_size);
        void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) address = static_cast<std::byte*>(mapped);
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile() {
        if (address != nullptr) munmap(address, size);
    }

    std::byte* address = nullptr;  ///< null: not to be had, nothing is lent
    std::uint64_t size = 0;        ///< bytes
    std::uint64_t page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
};

/// In the kernel it outlives the file object, if need be.
struct RingFile::WriteBack {
    Completion completion;
    RingFile* file = nullptr;                ///< null: gone
    std::shared_ptr<const void> keeps_open;  ///< the descriptors; null: not under way

    /// What failed is told by the next sync.
    static void ended(Completion& completion, const Completion::Outcome&) {
        WriteBack& self = *static_cast<WriteBack*>(completion.owner);
        self.keeps_open.reset();
        if (self.file != nullptr) self.file->write_back_if_enough();
    }
};

RingFile::RingFile(Ring& ring, Descriptors descriptors, DirectIoAlignment alignment)
    : ring_(ring),
      descriptors_(descriptors),
      keeps_open_(closes(descriptors)),
      alignment_(alignment),
      in_memory_(is_on_tmpfs(descriptors.buffered)),
      caches_small_writes_(!in_memory_ && descriptors.data != descriptors.buffered &&
                           sysconf(_SC_PAGESIZE) == static_cast<long>(page_bytes)) {
    answering_.run = [](Deferred& deferred) {
        static_cast<RingFile*>(deferred.owner)->give_answers();
    };
    answering_.owner = this;
}

RingFile::~RingFile() {
    CHECK(outstanding_ == 0);
    if (!is_writing_back()) return;
    write_back_->file = nullptr;
    ring_.keep(std::move(write_back_));
}

void RingFile::expect_no_read_ahead() {
    posix_fadvise(descriptors_.buffered, 0, 0, POSIX_FADV_RANDOM);  // advice: it may fail
}

void RingFile::submit(FileOperation& operation) {
    operation.transferred = 0;
    if (in_memory_ && moves_data(operation)) {
        transfer_now(operation, descriptors_.data);
        return;
    }
    if (goes_to_page_cache(operation)) {
        write_to_page_cache(operation);
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

bool RingFile::goes_to_page_cache(const FileOperation& operation) const {
    const std::uint64_t length = operation.data.size();
    return caches_small_writes_ && operation.kind == FileOperation::Kind::write &&
           outstanding_ == 0 && length <= cached_write_max && length % page_bytes == 0 &&
           operation.offset % page_bytes == 0 && unwritten_.bytes + length <= unwritten_max;
}

void RingFile::write_to_page_cache(FileOperation& operation) {
    transfer_now(operation, descriptors_.buffered);
    unwritten_.bytes += operation.data.size();
    unwritten_.first = std::min(unwritten_.first, operation.offset);
    unwritten_.end = std::max(unwritten_.end, operation.offset + operation.data.size());
    write_back_if_enough();
}

void RingFile::write_back_if_enough() {
    if (unwritten_.bytes >= write_back_bytes && !is_writing_back()) begin_write_back();
}

bool RingFile::is_writing_back() const {
    return write_back_ != nullptr && write_back_->keeps_open != nullptr;
}

void RingFile::begin_write_back() {
    if (write_back_ == nullptr) {
        write_back_ = std::make_shared<WriteBack>();
        write_back_->completion = {WriteBack::ended, write_back_.get()};
        write_back_->file = this;
    }
    write_back_->keeps_open = keeps_open_;
    ring_.write_back(descriptors_.buffered, unwritten_.first, unwritten_.end - unwritten_.first,
                     write_back_->completion);
    unwritten_ = {};
}

void RingFile::transfer_now(FileOperation& operation, int file) {
    const MutableBytes data = operation.data;
    const bool reads = operation.kind == FileOperation::Kind::read;
    int os_errno = 0;
    while (operation.transferred < data.size() && os_errno == 0) {
        const MutableBytes rest = data.subspan(operation.transferred);
        const auto at = static_cast<off_t>(operation.offset + operation.transferred);
        const ssize_t moved = reads ? pread(file, rest.data(), rest.size(), at)
                                    : pwrite(file, rest.data(), rest.size(), at);
        if (moved > 0) {
            operation.transferred += static_cast<std::uint64_t>(moved);
        } else if (moved == 0 && reads) {
            std::memset(rest.data(), 0, rest.size());  // past the end
            operation.transferred = data.size();
        } else if (moved == 0 || errno != EINTR) {
            os_errno = moved == 0 ? EIO : errno;
        }
    }
    answer_later(operation, os_errno);
}

void RingFile::answer_later(FileOperation& operation, int os_errno) {
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
    if (operation.kind == FileOperation::Kind::sync_data) {
        // While it was under way nothing went to the page cache, so it covered all of that.
        unwritten_ = {};
        // What still goes to this disk tells at once whether it arrived.
        if (os_errno != 0) caches_small_writes_ = false;
    }
    operation.done(operation, os_errno);
}

bool RingFile::read_now(std::uint64_t offset, MutableBytes into) {
    const auto at = static_cast<off_t>(offset);
    const iovec piece{into.data(), into.size()};
    const ssize_t got = in_memory_ ? pread(descriptors_.buffered, into.data(), into.size(), at)
                                   : preadv2(descriptors_.buffered, &piece, 1, at, RWF_NOWAIT);
    return got == static_cast<ssize_t>(into.size());
}

LentBytes RingFile::lend(std::uint64_t offset, std::uint64_t length) {
    if (!lending_ || !is_in_memory(offset, length)) return {};
    return {keeps_open_, descriptors_.buffered, offset, length};
}

bool RingFile::is_in_memory(std::uint64_t offset, std::uint64_t length) {
    if (mapped_ == nullptr) mapped_ = std::make_unique<MappedFile>(descriptors_.buffered);
    if (mapped_->address == nullptr || offset > mapped_->size || length > mapped_->size - offset) {
        return false;
    }
    const std::uint64_t page = mapped_->page;
    const std::uint64_t end = round_up(offset + length, page);
    std::array<unsigned char, pages_per_look> here{};
    for (std::uint64_t at = round_down(offset, page); at < end;) {
        const std::uint64_t pages = std::min<std::uint64_t>((end - at) / page, here.size());
        if (mincore(mapped_->address + at, pages * page, here.data()) != 0) return false;
        for (std::uint64_t i = 0; i < pages; ++i) {
            if ((here[i] & 1) == 0) return false;
        }
        at += pages * page;
    }
    return true;
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
