// What somebody who has not logged in can make one connection hold, whatever it sends: a program
// of its own, because it counts every allocation.

#include <gtest/gtest.h>
#include <malloc.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "target/iscsi/connection.h"
#include "target/iscsi/pdu.h"

namespace {
std::size_t live_bytes = 0;  // one thread
std::size_t peak_bytes = 0;
}  // namespace

void* operator new(std::size_t size) {
    void* memory = std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    live_bytes += malloc_usable_size(memory);
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
    return memory;
}
void operator delete(void* memory) noexcept {
    if (memory != nullptr) live_bytes -= malloc_usable_size(memory);
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}

namespace cowtgt::iscsi {
namespace {

/// Bytes; the login's text three times over (collected, answered, in the queue) and the answer that
/// is longer than its question.
constexpr std::size_t memory_max = 192U << 10;

/// Answers as the daemon does, and holds nothing itself.
class BareOwner final : public ConnectionOwner {
public:
    void login_requested(Connection& connection, const LoginRequestInfo&) override {
        connection.decide_login({});
    }
    void session_wanted(Connection& connection, const LoginRequestInfo&) override {
        connection.finish_login(LoginStatus::authorization_failure, 0);
    }
    void session_started(Connection&) override {}
    void scsi_command_received(Connection&, ScsiTask&) override {}
    void data_out_received(Connection&, ScsiTask&) override {}
    void task_finished(Connection&, ScsiTask&) override {}
    void task_management_received(Connection&, const TaskManagementRequest&) override {}
    std::vector<TargetRecord> targets_wanted(Connection&, std::string_view) override { return {}; }
    void logout_received(Connection&, std::uint8_t) override {}
    void ping_answered(Connection&) override {}
    void close_wanted(Connection&, const CloseReason&) override {}
};

std::vector<std::byte> request(std::uint8_t flags, std::string_view text) {
    LoginRequest pdu{};
    pdu.opcode = opcode::login_request | opcode::immediate;
    pdu.flags = flags;
    pdu.data_segment_length.set(static_cast<std::uint32_t>(text.size()));
    const Bytes header = bytes_of_struct(pdu);
    std::vector<std::byte> bytes(header.begin(), header.end());
    const Bytes data = bytes_of(text);
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.resize(bytes.size() + (4 - bytes.size() % 4) % 4);
    return bytes;
}

/// The most that one connection holds while it is given the PDUs of `next`, until it takes no more
/// or 2000 have come. Answers are read, as a peer has to if it wants to go on, or are not.
std::size_t most_held(const std::function<std::vector<std::byte>(int)>& next, bool reads_answers) {
    BareOwner owner;
    std::vector<std::vector<std::byte>> inputs;
    for (int i = 0; i < 2000; ++i)
        inputs.push_back(next(i));
    const std::size_t before = live_bytes;
    Connection connection(owner, {}, [](MutableBytes) {});
    peak_bytes = live_bytes;
    for (const std::vector<std::byte>& input : inputs) {
        Bytes rest = input;
        while (!rest.empty() && connection.takes_input())
            rest = rest.subspan(connection.receive(rest));
        std::array<OutputPiece, 8> pieces;
        while (reads_answers) {
            const std::size_t count = connection.gather(pieces);
            if (count == 0) break;
            for (std::size_t i = 0; i < count; ++i)
                connection.sent(pieces[i].size());
        }
    }
    return peak_bytes - before;
}

const std::string names = std::string("InitiatorName=iqn.2026-01.org.example:i") + '\0' +
                          "TargetName=iqn.2026-01.org.example:t" + '\0';

std::string unknown_keys(std::size_t byte_count) {
    std::string text;
    while (text.size() + 3 <= byte_count)
        text += std::string("A=") + '\0';
    return text;
}

TEST(LoginMemory, IsBoundedWhateverIsSent) {
    struct Row {
        const char* what;
        std::function<std::vector<std::byte>(int)> next;
    };
    const std::string zeros(8192, '\0');
    const std::string keys = unknown_keys(8192);
    const Row rows[] = {
        {"an endless text", [&](int) { return request(0x44, zeros); }},
        {"an endless text of keys", [&](int i) { return request(0x44, i == 0 ? names : keys); }},
        {"unknown keys in every request",
         [&](int i) { return request(0x04, i == 0 ? names : keys); }},
        {"the longest text at once, then more",
         [&](int i) {
             return request(i % 2 == 0 ? 0x44 : 0x04, i == 0 ? names + keys.substr(200) : keys);
         }},
        {"empty requests without end", [&](int i) { return request(0x04, i == 0 ? names : ""); }},
        {"empty requests in security", [&](int i) { return request(0x00, i == 0 ? names : ""); }},
        {"a segment that does not come",
         [&](int) {
             auto bytes = request(0x44, zeros);
             bytes.resize(100);
             return bytes;
         }},
    };
    for (const Row& row : rows) {
        for (const bool reads_answers : {true, false}) {
            SCOPED_TRACE(row.what);
            SCOPED_TRACE(reads_answers);
            const std::size_t held = most_held(row.next, reads_answers);
            EXPECT_GT(held, 0U);
            EXPECT_LE(held, memory_max);
        }
    }
}

TEST(LoginMemory, IsBoundedForRandomBytes) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto noise = [&](int) {
        std::vector<std::byte> bytes(1 + random() % 4096);
        for (std::byte& byte : bytes)
            byte = static_cast<std::byte>(random());
        bytes[0] = std::byte{0x43};
        return bytes;
    };
    for (int i = 0; i < 20; ++i)
        EXPECT_LE(most_held(noise, i % 2 == 0), memory_max);
}

}  // namespace
}  // namespace cowtgt::iscsi
