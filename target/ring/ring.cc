#include "target/ring/ring.h"

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <limits>

namespace cowtgt::ring {

namespace {

constexpr int buffer_group = 0;
constexpr int looks_per_clock = 32;   ///< of the busy poll, between two looks at the clock
constexpr unsigned workers_max = 16;  ///< kernel threads per ring for what cannot be non-blocking

/// Tells the core that this is a loop that waits.
void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

struct Ring::Kernel {
    io_uring ring{};
    bool ring_ready = false;
    io_uring_buf_ring* buffers = nullptr;
    std::size_t buffer_ring_bytes = 0;
    std::byte* buffer_memory = nullptr;
    Options options;
    /// Timeouts need their time to stay until the entry is submitted; one turn's worth of them.
    std::vector<std::unique_ptr<__kernel_timespec>> times;

    ~Kernel() {
        if (ring_ready) io_uring_queue_exit(&ring);
        if (buffers != nullptr) munmap(buffers, buffer_ring_bytes);
        if (buffer_memory != nullptr) {
            munmap(buffer_memory,
                   std::size_t{options.receive_buffers} * options.receive_buffer_bytes);
        }
    }

    void provide(std::uint16_t id) {
        const std::size_t bytes = options.receive_buffer_bytes;
        io_uring_buf_ring_add(buffers, buffer_memory + id * bytes, static_cast<unsigned>(bytes), id,
                              io_uring_buf_ring_mask(options.receive_buffers), 0);
        io_uring_buf_ring_advance(buffers, 1);
    }

    Result<void> set_up_queue() {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                           IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL;
        if (options.busy_poll_us != 0) parameters.flags |= IORING_SETUP_TASKRUN_FLAG;
        parameters.cq_entries = options.entries * 8;
        const int failed = io_uring_queue_init_params(options.entries, &ring, &parameters);
        if (failed != 0) {
            return system_error(
                "set up io_uring (Linux 6.1 or newer is needed, and "
                "kernel.io_uring_disabled must be 0)",
                -failed);
        }
        ring_ready = true;
        unsigned workers[2] = {workers_max, workers_max};
        io_uring_register_iowq_max_workers(&ring, workers);  // a limit, not a need
        io_uring_register_ring_fd(&ring);                    // saves a table look-up per call
        return {};
    }

    Result<void> set_up_buffers() {
        buffer_ring_bytes = options.receive_buffers * sizeof(io_uring_buf);
        void* table = mmap(nullptr, buffer_ring_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (table == MAP_FAILED) return system_error("map the receive buffer table", errno);
        buffers = static_cast<io_uring_buf_ring*>(table);
        const std::size_t bytes =
            std::size_t{options.receive_buffers} * options.receive_buffer_bytes;
        void* memory =
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return system_error("map the receive buffers", errno);
        buffer_memory = static_cast<std::byte*>(memory);
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uint64_t>(buffers);
        registration.ring_entries = options.receive_buffers;
        registration.bgid = buffer_group;
        const int failed = io_uring_register_buf_ring(&ring, &registration, 0);
        if (failed != 0) return system_error("register the receive buffers", -failed);
        io_uring_buf_ring_init(buffers);
        for (std::uint32_t id = 0; id < options.receive_buffers; ++id) {
            provide(static_cast<std::uint16_t>(id));
        }
        return {};
    }
};

void Ring::DeferredList::push(Deferred& deferred) {
    deferred.next = nullptr;
    (last != nullptr ? last->next : first) = &deferred;
    last = &deferred;
}

Deferred* Ring::DeferredList::pop() {
    Deferred* deferred = first;
    if (deferred == nullptr) return nullptr;
    first = deferred->next;
    if (first == nullptr) last = nullptr;
    return deferred;
}

Result<std::unique_ptr<Ring>> Ring::create(const Options& options) {
    auto kernel = std::make_unique<Kernel>();
    kernel->options = options;
    if (auto done = kernel->set_up_queue(); !done) return done.error();
    if (auto done = kernel->set_up_buffers(); !done) return done.error();
    std::unique_ptr<Ring> ring(new Ring(std::move(kernel)));
    ring->inbox_event_ = eventfd(0, EFD_CLOEXEC);
    if (ring->inbox_event_ < 0) return system_error("make the inbox of a ring", errno);
    ring->arm_inbox();
    return ring;
}

Ring::Ring(std::unique_ptr<Kernel> kernel) : kernel_(std::move(kernel)) {
    inbox_completion_ = {inbox_readable, this};
}

void Ring::release() {
    kernel_.reset();
    kept_.clear();
}

Ring::~Ring() {
    kernel_.reset();
    if (inbox_event_ >= 0) close(inbox_event_);
}

io_uring_sqe& Ring::next_entry(Completion* completion) {
    io_uring_sqe* entry = io_uring_get_sqe(&kernel_->ring);
    if (entry == nullptr) {
        io_uring_submit(&kernel_->ring);
        entry = io_uring_get_sqe(&kernel_->ring);
        CHECK(entry != nullptr);
    }
    std::memset(entry, 0, sizeof *entry);
    entry->user_data = reinterpret_cast<std::uint64_t>(completion);
    return *entry;
}

namespace {

/// liburing's prep functions leave user_data alone or reset it, by version; this puts it back.
template <typename Prepare>
void prepare(io_uring_sqe& entry, Prepare&& prep) {
    const std::uint64_t user_data = entry.user_data;
    prep(&entry);
    entry.user_data = user_data;
}

}  // namespace

void Ring::accept_multishot(int listening_socket, Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_multishot_accept(entry, listening_socket, nullptr, nullptr,
                                       SOCK_CLOEXEC | SOCK_NONBLOCK);
    });
}

void Ring::receive(int socket, MutableBytes into, Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_recv(entry, socket, into.data(), into.size(), 0);
    });
}

void Ring::receive_provided(int socket, Completion& completion) {
    io_uring_sqe& entry = next_entry(&completion);
    prepare(entry, [&](io_uring_sqe* e) { io_uring_prep_recv(e, socket, nullptr, 0, 0); });
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.buf_group = buffer_group;
}

Bytes Ring::provided_bytes(const Completion::Outcome& outcome) const {
    CHECK((outcome.flags & IORING_CQE_F_BUFFER) != 0 && outcome.result >= 0);
    const std::size_t id = outcome.flags >> IORING_CQE_BUFFER_SHIFT;
    return {kernel_->buffer_memory + id * kernel_->options.receive_buffer_bytes,
            static_cast<std::size_t>(outcome.result)};
}

void Ring::recycle(const Completion::Outcome& outcome) {
    if ((outcome.flags & IORING_CQE_F_BUFFER) == 0) return;
    kernel_->provide(static_cast<std::uint16_t>(outcome.flags >> IORING_CQE_BUFFER_SHIFT));
}

void Ring::send(int socket, const msghdr& message, Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_sendmsg(entry, socket, &message, MSG_NOSIGNAL);
    });
}

void Ring::wait_writable(int socket, Completion& completion) {
    prepare(next_entry(&completion),
            [&](io_uring_sqe* entry) { io_uring_prep_poll_add(entry, socket, POLLOUT); });
}

void Ring::read(int file, std::uint64_t offset, MutableBytes into, Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_read(entry, file, into.data(), static_cast<unsigned>(into.size()), offset);
    });
}

void Ring::write(int file, std::uint64_t offset, Bytes from, Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_write(entry, file, from.data(), static_cast<unsigned>(from.size()), offset);
    });
}

void Ring::sync_data(int file, Completion& completion) {
    prepare(next_entry(&completion),
            [&](io_uring_sqe* entry) { io_uring_prep_fsync(entry, file, IORING_FSYNC_DATASYNC); });
}

void Ring::allocate(int file, int mode, std::uint64_t offset, std::uint64_t length,
                    Completion& completion) {
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_fallocate(entry, file, mode, static_cast<off_t>(offset),
                                static_cast<off_t>(length));
    });
}

void Ring::write_back(int file, std::uint64_t offset, std::uint64_t length,
                      Completion& completion) {
    // A length is 32 bits here; 0 means up to the end of the file.
    const bool fits = length <= std::numeric_limits<unsigned>::max();
    prepare(next_entry(&completion), [&](io_uring_sqe* entry) {
        io_uring_prep_sync_file_range(entry, file, fits ? static_cast<unsigned>(length) : 0, offset,
                                      SYNC_FILE_RANGE_WRITE);
    });
}

void Ring::timeout(std::uint64_t after_ms, Completion& completion) {
    auto time = std::make_unique<__kernel_timespec>();
    time->tv_sec = static_cast<long long>(after_ms / 1000);
    time->tv_nsec = static_cast<long long>(after_ms % 1000) * 1'000'000;
    prepare(next_entry(&completion),
            [&](io_uring_sqe* entry) { io_uring_prep_timeout(entry, time.get(), 0, 0); });
    kernel_->times.push_back(std::move(time));
}

void Ring::cancel(Completion& operation) {
    prepare(next_entry(nullptr), [&](io_uring_sqe* entry) {
        io_uring_prep_cancel64(entry, reinterpret_cast<std::uint64_t>(&operation), 0);
    });
}

void Ring::defer(Deferred& deferred, Order order) {
    if (deferred.queued) return;
    deferred.queued = true;
    (order == Order::early ? early_ : late_).push(deferred);
}

void Ring::post(std::function<void()> message) {
    bool was_empty = false;
    {
        const std::lock_guard lock(inbox_mutex_);
        was_empty = inbox_.empty();
        inbox_.push_back(std::move(message));
    }
    if (!was_empty) return;
    // Adding 1 can only fail when the counter is at its end, and then it is readable anyway.
    [[maybe_unused]] const int added = eventfd_write(inbox_event_, 1);
}

void Ring::stop() {
    post([this] { stopped_ = true; });
}

void Ring::arm_inbox() {
    read(inbox_event_, 0, std::as_writable_bytes(std::span<std::uint64_t, 1>(&inbox_count_, 1)),
         inbox_completion_);
}

void Ring::inbox_readable(Completion& completion, const Completion::Outcome&) {
    Ring& ring = *static_cast<Ring*>(completion.owner);
    ring.arm_inbox();
    ring.run_messages();
}

void Ring::run_messages() {
    std::vector<std::function<void()>> messages;
    {
        const std::lock_guard lock(inbox_mutex_);
        messages.swap(inbox_);
    }
    for (const auto& message : messages) {
        message();
    }
}

void Ring::run_deferred() {
    while (true) {
        Deferred* deferred = early_.pop();
        if (deferred == nullptr) deferred = late_.pop();
        if (deferred == nullptr) return;
        deferred->queued = false;
        deferred->run(*deferred);
    }
}

void Ring::dispatch_completions() {
    io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(&kernel_->ring, &entry) == 0) {
        auto* completion = reinterpret_cast<Completion*>(entry->user_data);
        const Completion::Outcome outcome{entry->res, (entry->flags & IORING_CQE_F_MORE) != 0,
                                          entry->flags};
        bytes_moved_ = bytes_moved_ || outcome.result > 0;
        io_uring_cqe_seen(&kernel_->ring, entry);
        if (completion != nullptr) completion->done(*completion, outcome);
    }
}

/// Looks for completions without sleeping, for busy_poll_us. The kernel's word for "enter me" is
/// in shared memory, so looking is no system call.
void Ring::wait_awake() {
    using std::chrono::steady_clock;
    io_uring& ring = kernel_->ring;
    io_uring_submit(&ring);
    const auto end = steady_clock::now() + std::chrono::microseconds(kernel_->options.busy_poll_us);
    while (io_uring_cq_ready(&ring) == 0 && steady_clock::now() < end) {
        for (int i = 0; i < looks_per_clock; ++i) {
            if ((io_uring_smp_load_acquire(ring.sq.kflags) & IORING_SQ_TASKRUN) != 0) {
                io_uring_get_events(&ring);
                break;
            }
            relax();
        }
    }
}

void Ring::run() {
    while (!stopped_) {
        run_deferred();
        if (kernel_->options.busy_poll_us != 0 && std::exchange(bytes_moved_, false)) {
            wait_awake();
        }
        const int submitted = io_uring_submit_and_wait(&kernel_->ring, 1);
        CHECK(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN ||
              submitted == -EBUSY || submitted == -ETIME);
        kernel_->times.clear();
        dispatch_completions();
    }
    run_deferred();
    io_uring_submit(&kernel_->ring);
}

}  // namespace cowtgt::ring
