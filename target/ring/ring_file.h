#pragma once

#include <memory>
#include <vector>

#include "cow-store/file.h"
#include "target/ring/ring.h"

namespace cowtgt::ring {

/// AsyncFile over io_uring. On tmpfs, where the kernel would hand every transfer to one of its own
/// threads although nothing ever waits, transfers are made at once and answered in the same turn.
///
/// So are small writes of whole pages while nothing else of the file is under way: they go to the
/// page cache, and the disk gets them in the background. That spares who has one command in flight
/// the wait for the disk and for being woken up. A write-back that fails is told by the next
/// sync_data; until then reads may find the old bytes. The page cache gets nothing while a direct
/// write is under way: the two never meet in one page, however large the kernel's pages are.
///
/// Ownership: owns its descriptors, together with who was lent bytes. Destroy it only when no
/// operation is under way.
/// Threads: the ring's.
class RingFile final : public AsyncFile {
public:
    struct Descriptors {
        int data = -1;      ///< reads, writes, syncs; O_DIRECT where the file system has it
        int buffered = -1;  ///< append_now and read_now; may be the same number as data
    };

    RingFile(Ring& ring, Descriptors descriptors, DirectIoAlignment alignment);
    ~RingFile() override;
    RingFile(const RingFile&) = delete;
    RingFile& operator=(const RingFile&) = delete;

    /// Reads what is asked for and no more: whoever asks reads ahead by himself.
    void expect_no_read_ahead();
    /// From now on lend() lends what the page cache has.
    /// Requires: the content never changes, nor does the size.
    void allow_lending() { lending_ = true; }
    /// Bytes of writes that went to the page cache since the last write-back began or sync_data
    /// came back.
    std::uint64_t unwritten_bytes() const { return unwritten_.bytes; }

    void submit(FileOperation& operation) override;
    bool read_now(std::uint64_t offset, MutableBytes into) override;
    LentBytes lend(std::uint64_t offset, std::uint64_t length) override;
    int append_now(std::uint64_t offset, Bytes from) override;
    DirectIoAlignment alignment() const override { return alignment_; }

private:
    struct Pending {
        Completion completion;
        RingFile* file = nullptr;
        FileOperation* operation = nullptr;
    };

    struct MappedFile;

    struct Answer {
        FileOperation* operation = nullptr;
        int os_errno = 0;
    };

    /// What lies in the page cache and perhaps not on the disk.
    struct Unwritten {
        std::uint64_t bytes = 0;
        std::uint64_t first = ~std::uint64_t{0};  ///< offset of the first of them
        std::uint64_t end = 0;
    };
    struct WriteBack;

    bool goes_to_page_cache(const FileOperation& operation) const;
    void write_to_page_cache(FileOperation& operation);
    bool is_writing_back() const;
    void write_back_if_enough();
    void begin_write_back();
    void transfer_now(FileOperation& operation, int file);
    void answer_later(FileOperation& operation, int os_errno);
    void give_answers();
    void start(Pending& pending);
    void finish(Pending& pending, int os_errno);
    void progressed(Pending& pending, std::int32_t result);
    static void completed(Completion& completion, const Completion::Outcome& outcome);

    bool is_in_memory(std::uint64_t offset, std::uint64_t length);

    Ring& ring_;
    Descriptors descriptors_;
    std::shared_ptr<const void> keeps_open_;  ///< closes the descriptors
    DirectIoAlignment alignment_;
    bool in_memory_;            ///< tmpfs
    bool caches_small_writes_;  ///< that come alone
    Unwritten unwritten_;
    std::shared_ptr<WriteBack> write_back_;  ///< once there was one
    bool lending_ = false;
    std::unique_ptr<MappedFile> mapped_;  ///< once something was to be lent
    Deferred answering_;
    std::vector<Answer> answers_;  ///< of transfers made at once, to be given
    std::vector<Answer> being_given_;
    std::vector<std::unique_ptr<Pending>> all_;
    std::vector<Pending*> free_;
    std::size_t outstanding_ = 0;
};

}  // namespace cowtgt::ring
