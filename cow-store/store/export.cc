#include "cow-store/store/export.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/content.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/volume/chain_view.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t step_max = std::uint64_t{64} << 20;  ///< bytes between two looks at the map

/// Reads a disk that nobody serves, and skips what is known to be zeros.
class DiskReader {
public:
    /// `chain` outlives the reader; `live`, on top of it, may be null.
    DiskReader(const OpenedChain& chain, const OpenedInstance* live, std::uint64_t size,
               std::string name)
        : base_(readable(chain.base)), name_(std::move(name)), size_(size) {
        if (live != nullptr) {
            const LayerSummary& summary = live->layer.summary();
            view_.levels.push_back({&live->layer.map(), summary.parent.overlap_limit});
            files_.push_back({live->live_buffered.get(), nullptr, name_});
        }
        for (const OpenedLayer& layer : chain.layers) {
            view_.levels.push_back({layer.map.get(), layer.overlap_limit});
            files_.push_back(readable(layer.file));
        }
        view_.base_size = chain.base_size;
    }

    /// Hands out what is not zero, in order.
    Result<void> hand_out_all(const ChunkSink& sink, const Progress& progress) {
        for (std::uint64_t at = 0; at < size_;) {
            const ChainPiece piece = view_.find(at, std::min(step_max, size_ - at));
            Result<void> done;
            if (piece.source == ChainSource::layer) {
                done = hand_out(files_[piece.level], piece.offset, at, piece.length, sink);
            } else if (piece.source == ChainSource::base) {
                done = hand_out_base(piece, at, sink);
            }
            if (!done) return done;
            at += piece.length;
            if (progress) progress(at, size_);
        }
        return {};
    }

private:
    /// `length` bytes at `offset` of a file, which are the disk's from `at`.
    Result<void> hand_out(const ReadableFile& file, std::uint64_t offset, std::uint64_t at,
                          std::uint64_t length, const ChunkSink& sink) {
        buffer_.resize(chunk_size);
        while (length > 0) {
            const MutableBytes into = MutableBytes{buffer_}.first(
                static_cast<std::size_t>(std::min<std::uint64_t>(length, buffer_.size())));
            if (Result<void> read = read_verified(file, offset, into); !read) return read;
            if (Result<void> sent = without_zero_runs(at, into, sink); !sent) return sent;
            offset += into.size();
            at += into.size();
            length -= into.size();
        }
        return {};
    }

    /// The same for the template, whose holes are skipped.
    Result<void> hand_out_base(const ChainPiece& piece, std::uint64_t at, const ChunkSink& sink) {
        // A hole may be where data has been.
        if (base_.is_in_doubt()) return hand_out(base_, piece.offset, at, piece.length, sink);
        const std::uint64_t end = piece.offset + piece.length;
        for (std::uint64_t from = piece.offset; from < end;) {
            const Result<std::optional<DataRun>> run =
                next_data_run(base_.descriptor, round_down(from, chunk_size), end, name_);
            if (!run) return run.error();
            if (!run->has_value()) return {};
            const std::uint64_t begin = std::max((*run)->begin, from);
            const std::uint64_t stop = std::min((*run)->end, end);
            if (begin >= stop) return {};
            Result<void> sent =
                hand_out(base_, begin, at + (begin - piece.offset), stop - begin, sink);
            if (!sent) return sent;
            from = stop;
        }
        return {};
    }

    ReadableFile base_;
    std::string name_;
    std::uint64_t size_;  ///< bytes
    ChainView view_;
    std::vector<ReadableFile> files_;  ///< of the levels
    std::vector<std::byte> buffer_;
};

}  // namespace

Result<void> export_instance(const Context& context, std::string_view name, const Store::Sink& sink,
                             const Progress& progress) {
    const Result<std::unique_ptr<OpenedInstance>> instance = open_instance(context, name);
    if (!instance) return instance.error();
    return DiskReader((*instance)->below, instance->get(), (*instance)->info.size_bytes,
                      "instance " + std::string(name))
        .hand_out_all(sink, progress);
}

Result<void> export_snapshot(const Context& context, std::string_view name, std::string_view label,
                             const Store::Sink& sink, const Progress& progress) {
    const Result<SnapshotDisk> disk = open_snapshot(context, name, label);
    if (!disk) return disk.error();
    return DiskReader(disk->chain, nullptr, disk->size_bytes,
                      "snapshot " + std::string(name) + "@" + std::string(label))
        .hand_out_all(sink, progress);
}

Result<void> export_template(const Context& context, const TemplateRef& ref,
                             const Store::Sink& sink, const Progress& progress) {
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    const Result<TemplateRecord> record = load_template(context, ref.name, *version);
    if (!record) return record.error();
    const Result<OpenedChain> chain = open_chain(context, *record);
    if (!chain) return chain.error();
    return DiskReader(*chain, nullptr, record->document.size_bytes,
                      "template " + template_text(ref.name, *version))
        .hand_out_all(sink, progress);
}

}  // namespace cowtgt::store
