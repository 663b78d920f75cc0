#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "bench/macro/histogram.h"
#include "cow-store/base/bytes.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/pdu_reader.h"

/// The part of an initiator that a load needs: a session in full feature phase that keeps a number
/// of READ, WRITE or UNMAP commands in flight and throws away what it reads. Its cost has to be
/// small against that of the targets it measures, so it checks little; tests/support has the one
/// that checks everything.
namespace cowtgt::bench {

struct Workload {
    enum class Order : std::uint8_t {
        random,
        sequential,  ///< from a place of the session's own, round and round
        each_once,   ///< random, but no block twice
        fill,        ///< from the beginning to the end, once
        trace,       ///< as `trace` says, once
    };
    enum class Changes : std::uint8_t { write, unmap };  ///< what a command that does not read does
    struct Place {
        std::uint64_t offset = 0;  ///< bytes
        std::uint32_t bytes = 0;
    };

    Order order = Order::random;
    std::uint32_t read_percent = 100;
    std::uint32_t block_bytes = 4096;  ///< of one command; a multiple of 512
    std::uint32_t depth = 1;           ///< commands in flight
    std::uint64_t span_bytes = 0;      ///< of the disk, from its beginning
    std::uint64_t seed = 1;
    Changes changes = Changes::write;
    std::uint32_t commands_per_flush = 0;  ///< SYNCHRONIZE CACHE after so many; 0: never
    std::vector<Place> trace;
};

/// What a login has agreed on, as LoadSession needs it.
struct LoginOutcome {
    iscsi::Digests digests;
    std::uint32_t cmd_sn = 0, exp_stat_sn = 0, max_cmd_sn = 0;
    std::uint32_t target_max_recv_data_segment_length = 8192;  ///< bytes
    std::uint32_t first_burst_length = 65536;                  ///< bytes
    bool initial_r2t = true, immediate_data = true;
};

/// Where the commands of a load go.
class Places {
public:
    explicit Places(const Workload& workload);
    bool exhausted() const { return left_ == 0; }
    /// Requires: not exhausted.
    Workload::Place next();
    /// Whether the next command reads.
    bool next_reads() { return random() % 100 < workload_.read_percent; }

private:
    std::uint64_t random();

    Workload workload_;
    std::uint64_t state_;
    std::uint64_t block_count_;
    std::uint64_t next_ = 0;
    std::uint64_t left_ = ~std::uint64_t{0};  ///< commands
    std::vector<std::uint32_t> order_;        ///< each_once only
};

/// Ownership: `payload` (at least 2 MiB, any content) outlives the session. Threads: none.
class LoadSession {
public:
    LoadSession(const LoginOutcome& login, std::uint64_t lun, const Workload& workload,
                Bytes payload);

    /// Begins as many commands as depth and command window allow.
    void begin_commands(std::uint64_t now_ns);
    /// What is to be sent, in order; sent() takes it off the front.
    std::size_t gather(std::span<iovec> out) const;
    void sent(std::size_t byte_count);
    bool has_output() const { return !output_.empty(); }
    void receive(Bytes in, std::uint64_t now_ns);

    bool is_done() const { return places_.exhausted() && !flush_is_due() && in_flight_ == 0; }
    /// When the last command ended.
    std::uint64_t finished_ns() const { return finished_ns_; }
    /// Commands, those that flush not counted; so with the latencies.
    std::uint64_t completed() const { return completed_; }
    std::uint64_t completed_bytes() const { return completed_bytes_; }
    const Histogram& latencies() const { return latencies_; }
    /// Forgets what was counted, at the end of the warm-up.
    void begin_to_measure() {
        completed_ = completed_bytes_ = 0;
        latencies_.clear();
    }
    /// What went wrong first; empty: nothing.
    const std::string& failure() const { return failure_; }

private:
    struct Command {
        bool busy = false;
        bool reads = true;
        std::uint32_t bytes = 0;
        std::uint64_t began_ns = 0;
        bool flushes = false;
        Bytes data;  ///< that it sends
        std::array<std::byte, 24> unmap_list{};
    };
    struct Unit {
        std::array<std::byte, iscsi::basic_header_size + iscsi::digest_size> header;
        std::array<std::byte, iscsi::digest_size> trailer;
        std::uint8_t header_size = 0, trailer_size = 0;
        Bytes data;
        std::size_t size() const { return header_size + data.size() + trailer_size; }
    };

    bool flush_is_due() const {
        return workload_.commands_per_flush != 0 && since_flush_ >= workload_.commands_per_flush;
    }
    void begin_command(std::uint32_t tag, std::uint64_t now_ns);
    void begin_flush(std::uint32_t tag);
    void send_change(std::uint32_t tag, iscsi::ScsiCommand pdu);
    iscsi::ScsiCommand next_pdu(std::uint32_t tag);
    template <typename Pdu>
    void put(Pdu pdu, Bytes data);
    void put_data_out(std::uint32_t tag, std::uint32_t transfer_tag, std::uint32_t begin,
                      std::uint32_t end);
    void take_pdu(std::uint64_t now_ns);
    void complete(std::uint32_t tag, std::uint8_t status, std::uint64_t now_ns);
    void fail(std::string text);

    LoginOutcome login_;
    std::uint64_t lun_;  ///< as the 8-byte field of a PDU
    Workload workload_;
    Places places_;
    Bytes payload_;
    iscsi::PduReader reader_;
    std::vector<Command> commands_;    ///< by task tag
    std::vector<std::uint32_t> idle_;  ///< task tags
    std::deque<Unit> output_;
    std::size_t front_sent_ = 0;  ///< bytes of output_.front() that have left
    std::uint32_t in_flight_ = 0;
    std::uint32_t since_flush_ = 0;  ///< commands begun since the last one
    std::uint64_t completed_ = 0, completed_bytes_ = 0;
    std::uint64_t finished_ns_ = 0;
    std::uint64_t payload_at_ = 0;
    Histogram latencies_;
    std::string failure_;
};

}  // namespace cowtgt::bench
