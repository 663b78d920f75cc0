#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct iscsi_context;

namespace cowtgt::e2e {

inline constexpr std::uint32_t block_size = 512;

/// What became of a command.
enum class Answer { good, check_condition, connection_lost };

/// One libiscsi session to LUN 0 that keeps many commands in flight. It never reconnects and never
/// sends SYNCHRONIZE CACHE.
///
/// Threads: one. Answers come from step() only. Whatever goes wrong outside of a command throws
/// std::runtime_error.
class Initiator {
public:
    using WriteDone = std::function<void(Answer)>;
    using ReadDone = std::function<void(Answer, std::span<const std::uint8_t>)>;

    /// Logs in and waits for it.
    Initiator(const std::string& name, const std::string& portal, const std::string& target);
    ~Initiator();
    Initiator(const Initiator&) = delete;
    Initiator& operator=(const Initiator&) = delete;

    /// WRITE(16). `data` is a whole number of blocks and is copied.
    void write(std::uint64_t lba, std::vector<std::uint8_t> data, WriteDone done);
    /// READ(16).
    void read(std::uint64_t lba, std::uint32_t block_count, ReadDone done);

    /// Moves bytes without waiting. False once the connection is lost: every command that was in
    /// flight has been answered with connection_lost by then.
    bool step();
    /// For poll(2).
    int descriptor() const;
    short poll_events() const;

    std::size_t in_flight() const { return in_flight_; }

private:
    struct Command;
    struct Context {
        void operator()(iscsi_context* context) const;
    };
    void lose_connection();

    std::unique_ptr<iscsi_context, Context> context_;
    std::vector<std::unique_ptr<Command>> commands_;
    std::size_t in_flight_ = 0;
    bool lost_ = false;
};

/// True if a discovery session can log in there now. A connection alone proves nothing: for a
/// moment the kernel keeps the listening socket of a process that was killed.
bool answers_discovery(const std::string& portal);

/// Waits until at least one of them can move on, at most a second, and steps all that can. Returns
/// false if one has lost its connection.
bool step_all(std::span<const std::unique_ptr<Initiator>> initiators);

}  // namespace cowtgt::e2e
