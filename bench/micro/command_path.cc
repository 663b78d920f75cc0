// The way of a command through everything of ours, without a socket and without a disk: from the
// bytes of its PDU to those of its answer, 32 at a time as one turn of the loop has them.

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/micro/allocations.h"
#include "cow-store/file_posix.h"
#include "cow-store/volume/volume.h"
#include "target/node/target.h"
#include "tests/support/iscsi_initiator.h"

namespace cowtgt::bench {
namespace {

constexpr std::size_t commands_per_turn = 32;
constexpr std::uint64_t disk_bytes = 64U << 20;
constexpr std::uint32_t block_bytes = 4096;

/// A file in memory whose operations end when run() is called.
class MemoryFile final : public AsyncFile {
public:
    explicit MemoryFile(int descriptor, std::uint64_t bytes) {
        CHECK(ftruncate(descriptor, static_cast<off_t>(bytes)) == 0);
        void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        CHECK(mapped != MAP_FAILED);
        content_ = {static_cast<std::byte*>(mapped), bytes};
    }
    ~MemoryFile() override { munmap(content_.data(), content_.size()); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    void submit(FileOperation& operation) override {
        if (operation.kind == FileOperation::Kind::read) {
            read_now(operation.offset, operation.data);
        } else if (operation.kind == FileOperation::Kind::write) {
            append_now(operation.offset, operation.data);
        }
        operation.next = nullptr;
        (last_ == nullptr ? first_ : last_->next) = &operation;
        last_ = &operation;
    }
    bool read_now(std::uint64_t offset, MutableBytes into) override {
        std::memcpy(into.data(), content_.data() + offset, into.size());
        return true;
    }
    int append_now(std::uint64_t offset, Bytes from) override {
        CHECK(offset + from.size() <= content_.size());
        std::memcpy(content_.data() + offset, from.data(), from.size());
        return 0;
    }
    DirectIoAlignment alignment() const override { return {1, 1}; }

    bool run() {
        FileOperation* operation = first_;
        first_ = last_ = nullptr;
        const bool any = operation != nullptr;
        while (operation != nullptr) {
            FileOperation& done = *operation;
            operation = done.next;
            done.done(done, 0);
        }
        return any;
    }

private:
    MutableBytes content_;
    FileOperation* first_ = nullptr;
    FileOperation* last_ = nullptr;
};

int memory_descriptor() {
    const int descriptor = memfd_create("cowtgt-micro", MFD_CLOEXEC);
    CHECK(descriptor >= 0);
    return descriptor;
}

std::unique_ptr<Volume> make_volume(int descriptor, AsyncFile& live, AsyncFile& base) {
    PosixFile file(Descriptor(dup(descriptor)), "layer");
    LayerSpec spec;
    spec.uuid.bytes = {1};
    spec.virtual_size = disk_bytes;
    spec.parent.overlap_limit = disk_bytes;
    CHECK(create_layer(file, spec));
    auto layer = open_layer(file, {});
    CHECK(layer);
    return std::make_unique<Volume>(std::move(*layer), live, SealedLayers{},
                                    BaseImage{&base, disk_bytes});
}

/// A disk on a template, a target on it, and a session that is logged in.
class Path final : public iscsi::ConnectionOwner {
public:
    Path()
        : live_descriptor_(memory_descriptor()),
          volume_(open_volume()),
          buffers_(64U << 20),
          target_(target_config(), *volume_, buffers_),
          connection_(*this, {}, [](MutableBytes) {}) {
        test::InitiatorSettings settings;
        settings.first_cmd_sn = 1;
        test::IscsiInitiator initiator(settings);
        initiator.start_login();
        CHECK(connection_.receive(initiator.take_output()) > 0);
        initiator.receive(send_all());
        CHECK(initiator.logged_in());
        cmd_sn_ = 1;
        run_commands(0x00, 1);  // TEST UNIT READY meets the unit attention
    }
    ~Path() override {
        target_.detach(connection_);
        bool closed = false;
        volume_->close([&closed](const BlockOutcome&) { closed = true; });
        while (!closed) {
            turn();
        }
        close(live_descriptor_);
    }

    /// So many READ(16) or WRITE(16) of 4 KiB, next to each other, from their PDUs to their
    /// answers.
    void run_commands(std::uint8_t operation_code, std::size_t count) {
        const bool writes = operation_code == 0x8a;
        const std::size_t pdu_bytes =
            iscsi::basic_header_size + (writes ? std::size_t{block_bytes} : 0);
        input_.resize(count * pdu_bytes);
        for (std::size_t i = 0; i < count; ++i) {
            iscsi::ScsiCommand pdu{};
            pdu.opcode = iscsi::opcode::scsi_command;
            pdu.flags = iscsi::flag_final | 1;
            pdu.initiator_task_tag = static_cast<std::uint32_t>(i);
            pdu.cmd_sn = cmd_sn_++;
            pdu.cdb[0] = operation_code;
            if (operation_code != 0) {
                pdu.flags |=
                    writes ? iscsi::ScsiCommand::flag_write : iscsi::ScsiCommand::flag_read;
                pdu.expected_data_transfer_length = block_bytes;
                const be64 lba(place_ * (block_bytes / 512));
                std::memcpy(pdu.cdb.data() + 2, &lba, sizeof lba);
                pdu.cdb[13] = block_bytes / 512;
                place_ = (place_ * 1664525 + 1013904223) % (disk_bytes / block_bytes);
            }
            if (writes) pdu.data_segment_length.set(block_bytes);
            std::memcpy(input_.data() + i * pdu_bytes, &pdu, sizeof pdu);
        }
        CHECK(connection_.receive(input_) == input_.size());
        const std::uint64_t wanted = answered_ + count;
        while (answered_ < wanted) {
            turn();
            drop_output();
        }
    }

    // ConnectionOwner:
    void login_requested(iscsi::Connection&, const iscsi::LoginRequestInfo&) override {
        connection_.decide_login({});
    }
    void session_wanted(iscsi::Connection&, const iscsi::LoginRequestInfo&) override {
        const std::uint16_t tsih = target_.attach(connection_, {"micro", 0}, {});
        connection_.finish_login(iscsi::LoginStatus::success, tsih);
    }
    void session_started(iscsi::Connection&) override {}
    void scsi_command_received(iscsi::Connection&, iscsi::ScsiTask& task) override {
        target_.command_received(connection_, task);
    }
    void data_out_received(iscsi::Connection&, iscsi::ScsiTask& task) override {
        target_.data_out_received(connection_, task);
    }
    void task_finished(iscsi::Connection&, iscsi::ScsiTask& task) override {
        ++answered_;
        target_.task_finished(connection_, task);
    }
    void task_management_received(iscsi::Connection&,
                                  const iscsi::TaskManagementRequest&) override {}
    std::vector<iscsi::TargetRecord> targets_wanted(iscsi::Connection&, std::string_view) override {
        return {};
    }
    void logout_received(iscsi::Connection&, std::uint8_t) override {}
    void ping_answered(iscsi::Connection&) override {}
    void close_wanted(iscsi::Connection&, const iscsi::CloseReason&) override {}

private:
    std::unique_ptr<Volume> open_volume() {
        base_ = std::make_unique<MemoryFile>(memory_descriptor(), disk_bytes);
        auto volume_file = std::make_unique<MemoryFile>(live_descriptor_, 2 * disk_bytes);
        live_ = std::move(volume_file);
        return make_volume(live_descriptor_, *live_, *base_);
    }

    node::Target::Config target_config() const {
        node::Target::Config config;
        config.name = "iqn.2026-01.org.example:test";
        config.logical_unit.geometry = volume_->geometry();
        return config;
    }

    void turn() {
        live_->run();
        base_->run();
        while (volume_->run_ready()) {
        }
    }

    void drop_output() {
        while (connection_.has_output()) {
            std::array<iscsi::OutputPiece, 128> pieces;
            std::size_t bytes = 0;
            for (std::size_t i = 0, count = connection_.gather(pieces); i < count; ++i) {
                bytes += pieces[i].size();
            }
            connection_.sent(bytes);
        }
    }

    std::vector<std::byte> send_all() {
        std::vector<std::byte> wire;
        while (connection_.has_output()) {
            std::array<iscsi::OutputPiece, 16> pieces;
            const std::size_t before = wire.size();
            for (std::size_t i = 0, count = connection_.gather(pieces); i < count; ++i) {
                wire.insert(wire.end(), pieces[i].bytes.begin(), pieces[i].bytes.end());
            }
            connection_.sent(wire.size() - before);
        }
        return wire;
    }

    int live_descriptor_;
    std::unique_ptr<MemoryFile> base_, live_;
    std::unique_ptr<Volume> volume_;
    node::BufferPool buffers_;
    node::Target target_;
    iscsi::Connection connection_;
    std::vector<std::byte> input_;
    std::uint32_t cmd_sn_ = 0;
    std::uint64_t place_ = 1;
    std::uint64_t answered_ = 0;
};

/// From the template, then, once every block was written, from the overlay.
void read_command(benchmark::State& state) {
    Path path;
    if (state.range(0) != 0) {
        for (std::uint64_t i = 0; i < 2 * disk_bytes / block_bytes / commands_per_turn; ++i) {
            path.run_commands(0x8a, commands_per_turn);
        }
    }
    path.run_commands(0x88, commands_per_turn);
    const CountAllocations counting(state, commands_per_turn);
    for (auto _ : state) {
        path.run_commands(0x88, commands_per_turn);
    }
}
BENCHMARK(read_command)->ArgName("written")->Arg(0)->Arg(1);

void overwrite_command(benchmark::State& state) {
    Path path;
    for (std::uint64_t i = 0; i < 2 * disk_bytes / block_bytes / commands_per_turn; ++i) {
        path.run_commands(0x8a, commands_per_turn);
    }
    const CountAllocations counting(state, commands_per_turn);
    for (auto _ : state) {
        path.run_commands(0x8a, commands_per_turn);
    }
}
BENCHMARK(overwrite_command);

}  // namespace
}  // namespace cowtgt::bench
