#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

struct io_uring_sqe;

namespace cowtgt::ring {

/// One operation in the kernel. Ownership: the submitter's, until `done` has run for the last time
/// (for a multishot operation: the run without `more`). `done` runs from the loop, never inside a
/// submitting function.
struct Completion {
    struct Outcome {
        std::int32_t result = 0;  ///< as the system call's: bytes, or a negated errno
        bool more = false;        ///< a multishot operation goes on
        std::uint32_t flags = 0;  ///< for Ring::provided_bytes and recycle
    };
    void (*done)(Completion&, const Outcome&) = nullptr;
    void* owner = nullptr;
};

/// Something to do before the loop goes back to the kernel. Queued at most once at a time.
struct Deferred {
    void (*run)(Deferred&) = nullptr;
    void* owner = nullptr;
    bool queued = false;
    Deferred* next = nullptr;
};

/// One io_uring and the loop that drives it: the heart of one thread. The only user of liburing.
///
/// Threads: made and used on one thread; only post() and stop() may be called from others. That
/// thread also calls release(); the object itself is destroyed when nobody posts any more. Idle,
/// the thread sleeps in the kernel and costs nothing; with busy_poll_us it looks for work that much
/// longer before it falls asleep.
/// Requires Linux 6.1 (SINGLE_ISSUER, DEFER_TASKRUN); create() says so if the kernel is older.
class Ring {
public:
    struct Options {
        std::uint32_t entries = 1024;        ///< submission queue; the completion queue has 8x
        std::uint32_t receive_buffers = 64;  ///< provided buffers, a power of two
        std::uint32_t receive_buffer_bytes = 65536;
        std::uint32_t busy_poll_us = 0;  ///< after the last bytes moved; 0: sleep at once
    };

    static Result<std::unique_ptr<Ring>> create(const Options& options);
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    /// Accepts until it fails; each outcome is a socket. It is non-blocking, which concerns system
    /// calls only: operations of the ring wait all the same.
    void accept_multishot(int listening_socket, Completion& completion);
    void receive(int socket, MutableBytes into, Completion& completion);
    /// Receives into one of the ring's own buffers; -ENOBUFS when none is free.
    void receive_provided(int socket, Completion& completion);
    Bytes provided_bytes(const Completion::Outcome& outcome) const;
    /// Gives the buffer of a receive_provided outcome back; once per outcome that has one.
    void recycle(const Completion::Outcome& outcome);
    /// `message` and what it points to must stay until the outcome.
    void send(int socket, const msghdr& message, Completion& completion);
    /// Waits until the socket takes more to send (or has failed).
    void wait_writable(int socket, Completion& completion);
    void read(int file, std::uint64_t offset, MutableBytes into, Completion& completion);
    void write(int file, std::uint64_t offset, Bytes from, Completion& completion);
    void sync_data(int file, Completion& completion);
    /// fallocate with `mode`.
    void allocate(int file, int mode, std::uint64_t offset, std::uint64_t length,
                  Completion& completion);
    /// Hands to the disk what the page cache holds of the range (sync_file_range), without waiting
    /// for it: so an error is still unseen, and the next sync_data tells it, even that of another
    /// process.
    void write_back(int file, std::uint64_t offset, std::uint64_t length, Completion& completion);
    void timeout(std::uint64_t after_ms, Completion& completion);
    /// Asks the kernel to end the operation early; its own completion still comes.
    void cancel(Completion& operation);

    /// Keeps something until release(): what an operation in the kernel refers to when whoever
    /// started it does not wait for its end.
    void keep(std::shared_ptr<const void> what) { kept_.push_back(std::move(what)); }

    /// Runs `deferred` before the loop sleeps, after what is deferred already. With `Late`, after
    /// everything that is not late: what sends, so that one send carries all that is ready.
    enum class Order : std::uint8_t { early, late };
    void defer(Deferred& deferred, Order order);

    /// Any thread: runs `message` on the ring's thread, soon. For control and hand-over, not for
    /// the data path.
    void post(std::function<void()> message);
    /// Any thread: run() returns after its current turn.
    void stop();
    void run();
    /// Ends what is in the kernel and gives its memory back; posts are still taken, to no effect.
    void release();

private:
    struct Kernel;
    struct DeferredList {
        Deferred* first = nullptr;
        Deferred* last = nullptr;
        void push(Deferred& deferred);
        Deferred* pop();
    };

    explicit Ring(std::unique_ptr<Kernel> kernel);
    io_uring_sqe& next_entry(Completion* completion);
    void dispatch_completions();
    void wait_awake();
    void run_deferred();
    void arm_inbox();
    void run_messages();
    static void inbox_readable(Completion& completion, const Completion::Outcome& outcome);

    std::unique_ptr<Kernel> kernel_;
    DeferredList early_;
    DeferredList late_;
    std::vector<std::shared_ptr<const void>> kept_;
    std::atomic<bool> stopped_{false};
    bool bytes_moved_ = false;  ///< in the last turn

    std::mutex inbox_mutex_;
    std::vector<std::function<void()>> inbox_;
    int inbox_event_ = -1;
    std::uint64_t inbox_count_ = 0;
    Completion inbox_completion_;
};

}  // namespace cowtgt::ring
