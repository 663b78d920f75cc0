#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cow-store/journal/ring_writer.h"
#include "cow-store/volume/chain_view.h"
#include "cow-store/volume/layer_state.h"
#include "cow-store/volume/named_clusters.h"
#include "cow-store/volume/operation.h"
#include "cow-store/volume/pool.h"
#include "cow-store/volume/quarantine.h"
#include "cow-store/volume/range_locks.h"
#include "cow-store/volume/volume.h"

namespace cowtgt {

/// What a failed file operation means to whoever asked.
BlockOutcome failure_of(int os_errno);

/// The inside of a volume. One class, since all of it changes one state (map, space, journal) on
/// one thread; its parts are in files of their own:
///   engine.cc             requests in, answers out, a turn of the loop
///   read_path.cc          chain look-up, file reads
///   write_path.cc         writes: plan, merge, data
///   fill_path.cc          what lies below is taken over
///   deallocate_path.cc    deallocations
///   space_path.cc         what may be granted, preallocation, punching
///   window_path.cc        zeros ahead of small commits
///   commit_path.cc        records, flushes, fencing
///   confirm_path.cc       commits with hashes, overwrites that wait for their confirmation
///   checkpoint_path.cc    first activation, checkpoints, closing
class Volume::Engine {
public:
    Engine(Volume& volume, RecoveredLayer layer, AsyncFile& live, SealedLayers below,
           BaseImage base, const VolumeOptions& options);
    ~Engine();

    Geometry geometry() const;
    enum class WriteKind { anywhere, where_inherited };
    void submit(BlockRequest& request, WriteKind kind);
    Stretch below_live(std::uint64_t offset, std::uint64_t most) const;
    ProvisioningRun provisioning(Lba first, BlockCount wanted) const;
    bool run_ready();
    void close(CloseDone done);
    VolumeStatistics statistics() const;
    std::uint64_t allocated_bytes() const;
    std::optional<std::uint64_t> available_bytes() const;
    void set_space_max(std::uint64_t bytes);
    const LayerSummary& summary() const { return state_->summary; }

private:
    enum class CommitStage { idle, syncing_data, syncing_record };

    // engine.cc
    void raise();
    void begin(Operation& operation);
    void answer(Operation& operation, const BlockOutcome& outcome);
    void answer_all(OperationQueue& queue, const BlockOutcome& outcome);
    void give_answers();
    void count(const Operation& operation);

    // read_path.cc
    bool lend(Operation& operation);
    void start_read(Operation& operation);
    void read_part(Operation& operation, Piece* merge, const ChainPiece& where,
                   MutableBytes target);
    void read_file(Operation& operation, Piece* merge, AsyncFile& file, std::uint64_t offset,
                   MutableBytes target);
    static void read_done(FileOperation& io, int os_errno);
    void finish_read(Operation& operation);
    AsyncFile& file_of(const ChainPiece& where) const;

    // write_path.cc
    struct Need {
        std::uint64_t units = 0;  ///< new ones
        std::uint64_t parts = 0;  ///< assignments to leaves of the map
    };
    void start_change(Operation& operation);
    void wait_for_space(Operation& operation);
    void give_up(Operation& operation, const BlockOutcome& outcome);
    void start_write(Operation& operation);
    Need need_of(const Operation& operation) const;
    void write_new_clusters(Operation& operation, std::uint64_t cluster, std::uint64_t count);
    void write_clusters(Operation& operation, std::uint64_t cluster, std::uint64_t count,
                        UnitNumber unit, bool in_place);
    void write_bytes(Operation& operation, std::uint64_t file_offset, MutableBytes bytes);
    void merge_cluster(Operation& operation, std::uint64_t cluster, UnitNumber unit);
    void merge_ready(Piece& merge);
    static void write_done(FileOperation& io, int os_errno);
    void piece_done(Operation& operation, int os_errno);
    void finish_change(Operation& operation);

    // fill_path.cc
    struct ClusterRun {
        std::uint64_t first = 0;
        std::uint64_t count = 0;
    };
    std::vector<ClusterRun> runs_to_fill(const Operation& operation) const;
    void start_fill(Operation& operation);

    // deallocate_path.cc
    void start_deallocate(Operation& operation);
    void zero_edge(Operation& operation, std::uint64_t cluster);
    void deallocate_step(Operation& operation);
    void make_zero(std::uint64_t cluster, std::uint64_t count);
    bool reads_as_zeros(std::uint64_t cluster) const;
    void add_entry(const RecordEntry& entry);

    // space_path.cc
    enum class Purpose { new_data, freeing };
    bool can_grant(const Need& need, Purpose purpose) const;
    std::uint64_t kept_units(std::uint64_t parts) const;
    bool quota_allows(std::uint64_t units) const;
    std::uint32_t quota_segments() const;
    void wait_for_quota(Operation& operation);
    std::uint32_t batch_segments() const;
    void want_space();
    void reserve_ahead();
    void reserve(std::uint32_t segments);
    static void reserved(FileOperation& io, int os_errno);
    void space_arrived();
    void space_failed(int os_errno);
    void release_quarantine();
    void punch_spare();
    static void punch_done(FileOperation& io, int os_errno);

    // window_path.cc
    void note_commit_size();
    bool commits_are_small() const;
    std::uint64_t window_units() const;
    void zero_ahead();
    void zero_next_part();
    static void part_zeroed(FileOperation& io, int os_errno);

    // commit_path.cc
    void record_pending();
    bool append_record(const RingPieces& pieces);
    void sort_recorded();
    void start_commit();
    static void data_synced(FileOperation& io, int os_errno);
    void write_commit_record();
    static void commit_synced(FileOperation& io, int os_errno);
    void sync_commit(CommitStage stage, void (*done)(FileOperation&, int));
    void finish_commit();
    void fence(int os_errno);
    void mark_fenced();

    // confirm_path.cc
    void note_content(const Operation& operation, bool good);
    bool can_commit_with_hashes() const;
    void write_hashed_commit();
    void forget_named(bool names);
    bool wait_for_confirmation(Operation& operation, std::uint64_t first, std::uint64_t end);
    void confirm(std::uint64_t sequence);

    // checkpoint_path.cc
    void activate();
    void make_ring();
    void zero_ring();
    static void ring_zeroed(FileOperation& io, int os_errno);
    static void ring_synced(FileOperation& io, int os_errno);
    void open_superblock();
    void finish_activation();
    void activation_failed(const BlockOutcome& outcome);
    void consider_checkpoint();
    void start_checkpoint();
    void write_pages();
    void submit_pages();
    static void pages_written(FileOperation& io, int os_errno);
    void retry_pages();
    static void pages_synced(FileOperation& io, int os_errno);
    void flip_to_new_map();
    void write_superblock(const Superblock& superblock);
    void flip_step();
    static void flip_done(FileOperation& io, int os_errno);
    void finish_checkpoint();
    void release_replaced();
    void abandon_checkpoint();
    void consider_close();

    /// Free units that writes leave alone, so that deallocations have map space on a full disk.
    static constexpr std::uint64_t slack_units = 16;

    static Engine& engine_of(FileOperation& io) { return *static_cast<Engine*>(io.owner); }
    static Piece& piece_of(FileOperation& io) { return *static_cast<Piece*>(io.owner); }
    Piece& take_piece(Operation& operation);
    void sync_live(FileOperation& io, void (*done)(FileOperation&, int));

    Volume& volume_;
    std::unique_ptr<LayerState> state_;
    AsyncFile& live_;
    SealedLayers below_;
    BaseImage base_;
    VolumeOptions options_;
    ChainView chain_;
    DirectIoAlignment alignment_;

    // Requests
    Pool<Operation> operations_;
    Pool<Piece> pieces_;
    Pool<ClusterBuffer> buffers_;
    RangeLocks locks_;
    OperationQueue runnable_;       ///< own their range, to be started
    OperationQueue space_waiters_;  ///< own their range, need space
    OperationQueue
        confirm_waiters_;           ///< own their range, which a commit may still be compared with
    OperationQueue stepping_;       ///< long deallocations, a step per turn
    OperationQueue unrecorded_;     ///< changed, waiting for the journal, by rising mark
    OperationQueue flush_waiters_;  ///< for the next commit
    OperationQueue committing_;     ///< for the running one
    OperationQueue ready_;          ///< to be answered
    std::uint64_t active_ = 0;      ///< operations taken and not answered
    bool raised_ = false;
    VolumeStatistics statistics_;

    // Space
    Quarantine quarantine_;
    FileOperation reserve_io_, punch_io_;
    SegmentRange reserving_, punching_;
    bool reserve_running_ = false;
    bool reserve_failed_ = false;  ///< the last one did not fit
    bool punch_running_ = false;
    bool punch_works_ = true;
    std::uint64_t granted_parts_ = 0;                          ///< of writes under way
    static constexpr std::uint64_t zeroing_part = 256 * 1024;  ///< bytes
    struct alignas(4096) ZeroBuffer {
        std::array<std::byte, zeroing_part> bytes{};
    };
    std::unique_ptr<ZeroBuffer> zeros_;  ///< while a segment is being zeroed
    FileOperation zeroing_io_;
    SegmentRange zeroing_;
    std::uint64_t zeroed_bytes_ = 0;  ///< of that segment
    bool zeroing_works_ = true;
    std::uint64_t units_granted_ = 0;    ///< for data, ever
    std::uint64_t units_at_commit_ = 0;  ///< of them, at the last commit
    std::uint32_t small_commits_ = 0;    ///< see note_commit_size()

    // Journal
    std::optional<RingWriter> ring_;  ///< once the layer is active
    std::vector<RecordEntry> pending_entries_;
    std::uint64_t marks_queued_ = 0;    ///< entries ever put into pending_entries_
    std::uint64_t marks_recorded_ = 0;  ///< of them, in the ring
    std::uint64_t last_tentative_ = 0;  ///< sequence
    std::uint64_t committed_ = 0;       ///< records up to this sequence are durable
    CommitStage commit_stage_ = CommitStage::idle;
    std::uint64_t naming_ = 0;  ///< last sequence of the commit under way
    std::uint64_t proving_ =
        0;  ///< commits up to this sequence are confirmed by the sync under way
    bool commit_wanted_ = false;
    FileOperation commit_io_;
    NamedClusters named_;                       ///< by the next commit
    UnconfirmedClusters unconfirmed_;           ///< named by the last two, at most
    std::uint32_t commits_without_hashes_ = 0;  ///< to come, since an overwrite had to wait
    bool fenced_ = false;
    int fence_errno_ = 0;

    // Activation and checkpoints
    enum class Activity { dormant, making_ring, zeroing_ring, flipping, active };
    Activity activity_ = Activity::dormant;
    UnitRun new_ring_;
    std::uint64_t ring_bytes_zeroed_ = 0;
    enum class CheckpointStage { idle, building, needs_units, page_retry, syncing, flipping };
    CheckpointStage checkpoint_stage_ = CheckpointStage::idle;
    std::optional<CheckpointBuilder> builder_;
    RingCut cut_;
    std::uint64_t cut_sequence_ = 0;
    std::uint64_t assignments_at_cut_ = 0;
    std::uint64_t builder_budget_ = 0;  ///< units
    bool checkpoint_wanted_ = false;
    bool closing_checkpoint_ = false;  ///< the running one leaves the layer clean
    struct PageBatch;                  ///< page_batch.h
    std::unique_ptr<PageBatch> batch_;
    MapOnDisk new_map_;
    FileOperation checkpoint_io_;

    struct alignas(4096) FlipBuffer {
        std::array<std::byte, unit_size> bytes;
    };
    std::unique_ptr<FlipBuffer> flip_buffer_ = std::make_unique<FlipBuffer>();
    FileOperation flip_io_;
    Superblock next_superblock_;
    static constexpr std::uint32_t flip_steps = 4;  ///< copy A, sync, copy B, sync
    std::uint32_t flip_steps_done_ = flip_steps;
    bool flip_running_ = false;
    bool fence_mark_written_ = false;

    CloseDone close_done_;
    bool closing_ = false;
};

}  // namespace cowtgt
