#pragma once

#include <memory>
#include <vector>

#include "cow-store/file.h"
#include "target/ring/ring.h"

namespace cowtgt::ring {

/// AsyncFile over io_uring. On tmpfs, where the kernel would hand every transfer to one of its own
/// threads although nothing ever waits, transfers are made at once and answered in the same turn.
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

    void transfer_in_memory(FileOperation& operation);
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
    bool in_memory_;  ///< tmpfs
    bool lending_ = false;
    std::unique_ptr<MappedFile> mapped_;  ///< once something was to be lent
    Deferred answering_;
    std::vector<Answer> answers_;  ///< of transfers in memory, to be given
    std::vector<Answer> being_given_;
    std::vector<std::unique_ptr<Pending>> all_;
    std::vector<Pending*> free_;
    std::size_t outstanding_ = 0;
};

}  // namespace cowtgt::ring
