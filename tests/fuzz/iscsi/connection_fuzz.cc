#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cow-store/base/check.h"
#include "target/iscsi/connection.h"

// A connection against a peer that may send anything. Byte 0 chooses how the stream is cut and how
// the owner behaves; the rest is the stream.

namespace {

using namespace cowtgt;
using namespace cowtgt::iscsi;

/// Answers at once or later, and checks that the connection keeps its word to its owner.
class FuzzOwner : public ConnectionOwner {
public:
    explicit FuzzOwner(bool answers_later) : answers_later_(answers_later), memory_(65536) {}

    void login_requested(Connection& connection, const LoginRequestInfo& info) override {
        CHECK(!info.initiator_name.empty());
        connection.decide_login({});
    }
    void session_wanted(Connection& connection, const LoginRequestInfo&) override {
        connection.finish_login(LoginStatus::success, 1);
    }
    void session_started(Connection& connection) override {
        CHECK(connection.in_full_feature_phase());
    }
    void scsi_command_received(Connection& connection, ScsiTask& task) override {
        ++live_;
        if (answers_later_) {
            waiting_.push_back(&task);
        } else {
            answer(connection, task);
        }
    }
    void data_out_received(Connection& connection, ScsiTask& task) override {
        connection.complete(task, {.data_out_length = task.cdb[1]});
    }
    void task_finished(Connection&, ScsiTask& task) override {
        CHECK(live_ > 0);
        --live_;
        std::erase(waiting_, &task);
    }
    void task_management_received(Connection& connection,
                                  const TaskManagementRequest& request) override {
        if (ScsiTask* task = request.referenced_task) {
            std::erase(waiting_, task);
            task->aborted = true;
            connection.complete(*task, {});
        }
        connection.answer_task_management(request, TaskFunctionResponse::complete);
    }
    std::vector<TargetRecord> targets_wanted(Connection&, std::string_view) override {
        return {{"iqn.2026-01.org.example:a", {"192.0.2.1:3260,1"}}};
    }
    void logout_received(Connection& connection, std::uint8_t) override {
        connection.answer_logout();
    }
    void ping_answered(Connection&) override {}
    void close_wanted(Connection&, const CloseReason&) override {
        CHECK(!closed_);
        closed_ = true;
    }

    void answer_one(Connection& connection) {
        if (waiting_.empty()) return;
        ScsiTask& task = *waiting_.front();
        waiting_.erase(waiting_.begin());
        answer(connection, task);
    }
    std::size_t live() const { return live_; }

private:
    void answer(Connection& connection, ScsiTask& task) {
        const std::size_t length = std::size_t{task.cdb[1]} * 64;
        if (task.write && task.cdb[0] % 2 == 0) {
            const std::size_t wanted = length < task.expected_data_transfer_length
                                           ? length
                                           : task.expected_data_transfer_length;
            if (wanted > 0) {
                connection.receive_data_out(task, MutableBytes(memory_).first(wanted));
                return;
            }
        }
        connection.complete(task, {.status = static_cast<std::uint8_t>(task.cdb[2] & 2),
                                   .sense = Bytes(memory_).first(task.cdb[3]),
                                   .data_in = Bytes(memory_).first(length),
                                   .data_in_length = length});
    }

    bool answers_later_;
    bool closed_ = false;
    std::vector<std::byte> memory_;
    std::vector<ScsiTask*> waiting_;
    std::size_t live_ = 0;
};

void send_some(Connection& connection, std::size_t limit) {
    std::array<OutputPiece, 4> pieces;
    const std::size_t count = connection.gather(pieces);
    CHECK((count > 0) == connection.has_output());
    std::size_t byte_count = 0;
    for (std::size_t i = 0; i < count; ++i) {
        CHECK(pieces[i].size() > 0);
        byte_count += pieces[i].size();
    }
    connection.sent(byte_count < limit ? byte_count : limit);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t cut = (data[0] & 0x0f) == 0 ? size : std::size_t{data[0]} & 0x0f;
    FuzzOwner owner((data[0] & 0x10) != 0);
    ConnectionLimits limits;
    limits.command_window = 4;
    limits.max_recv_data_segment_length = 8192;
    Connection connection(owner, limits, [](MutableBytes) {});
    Bytes stream = std::as_bytes(std::span(data + 1, size - 1));
    while (!stream.empty()) {
        const MutableBytes window = connection.direct_receive_window();
        std::size_t taken = 0;
        if (!window.empty() && (data[0] & 0x20) != 0) {
            taken = window.size() < stream.size() ? window.size() : stream.size();
            std::copy_n(stream.begin(), taken, window.begin());
            connection.received_directly(taken);
        } else {
            taken = connection.receive(stream.first(cut < stream.size() ? cut : stream.size()));
        }
        stream = stream.subspan(taken);
        send_some(connection, (data[0] & 0x40) != 0 ? 7 : 1000000);
        if (taken > 0) continue;
        if (!connection.has_output() && owner.live() == 0) break;
        owner.answer_one(connection);
        if (!connection.takes_input() && !connection.has_output()) break;
    }
    if ((data[0] & 0x80) == 0) {
        while (connection.has_output())
            send_some(connection, 1000000);
        CHECK(connection.output_bytes() == 0);
    }
    connection.transport_lost();
    CHECK(owner.live() == 0);
    return 0;
}
