#include <algorithm>
#include <utility>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/changes.h"
#include "cow-store/store/content.h"
#include "cow-store/store/export.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/streams.h"

namespace cowtgt::store {

namespace {

Result<StreamDocument> describe_stream(const Context& context, const SendOptions& options) {
    const Result<InstanceDocument> instance = load_instance(context, options.instance);
    if (!instance) return instance.error();
    StreamDocument document;
    document.instance = options.instance;
    document.label = options.label;
    document.from = options.from;
    document.block_size = instance->block_size;
    document.identity_seed = instance->identity_seed;
    document.identity = instance->identity;
    document.first_offset = options.first_offset;
    const SnapshotEntry* snapshot = find_snapshot(*instance, options.label);
    if (snapshot == nullptr) return no_snapshot(options.instance, options.label);
    document.created_at = snapshot->created_at;
    document.layer = snapshot->layer;
    const LayerEntry* layer = find_layer(*instance, snapshot->layer);
    document.size_bytes = layer == nullptr ? 0 : layer->size_bytes;
    if (!options.from.empty()) {
        const SnapshotEntry* from = find_snapshot(*instance, options.from);
        if (from == nullptr) return no_snapshot(options.instance, options.from);
        document.from_layer = from->layer;
        const LayerEntry* below = find_layer(*instance, from->layer);
        document.from_size_bytes = below == nullptr ? 0 : below->size_bytes;
    }
    if (options.first_offset % cluster_size == 0 && options.first_offset <= document.size_bytes) {
        return document;
    }
    return Error{ErrorCode::usage, "a stream cannot go on at byte " +
                                       std::to_string(options.first_offset) +
                                       "; `cowtgt receive --status` says where"};
}

/// What differs from an older snapshot, zeros included.
Result<void> send_changes(const Context& context, const SendOptions& options,
                          const StreamDocument& document, StreamWriter& writer,
                          const Progress& progress) {
    const Result<SnapshotDisk> now = open_snapshot(context, options.instance, options.label);
    if (!now) return now.error();
    const Result<SnapshotDisk> before = open_snapshot(context, options.instance, options.from);
    if (!before) return before.error();
    const ChainReader disk(now->chain, now->size_bytes, "snapshot " + options.label);
    std::vector<std::byte> buffer(stream_payload_max);
    const std::vector<ChangedRange> ranges =
        changed_ranges(stack_of(now->chain), stack_of(before->chain), document.size_bytes);
    for (const ChangedRange& range : ranges) {
        const std::uint64_t end = range.offset + range.length;
        for (std::uint64_t at = std::max(range.offset, options.first_offset); at < end;) {
            const std::uint64_t length =
                range.content == RangeContent::zeros
                    ? end - at
                    : std::min<std::uint64_t>(end - at, stream_payload_max);
            Result<void> done;
            if (range.content == RangeContent::zeros) {
                done = writer.zeros(at, length);
            } else {
                const MutableBytes bytes = MutableBytes{buffer}.first(length);
                done = disk.read(at, bytes);
                if (done) done = writer.data(at, bytes);
            }
            if (!done) return done;
            at += length;
            if (progress) progress(at, document.size_bytes);
        }
    }
    return {};
}

Result<void> send_everything(const Context& context, const SendOptions& options,
                             StreamWriter& writer, const Progress& progress) {
    const auto put = [&](std::uint64_t offset, Bytes bytes) -> Result<void> {
        const std::uint64_t skipped =
            options.first_offset > offset
                ? std::min<std::uint64_t>(options.first_offset - offset, bytes.size())
                : 0;
        if (skipped == bytes.size()) return {};
        return writer.data(offset + skipped, bytes.subspan(skipped));
    };
    return export_snapshot(context, options.instance, options.label, put, progress);
}

}  // namespace

Result<void> Streams::send(const SendOptions& options, const StreamSink& sink,
                           const Progress& progress) const {
    const Context& context = store_.state_->context;
    const Result<StreamDocument> document = describe_stream(context, options);
    if (!document) return document.error();
    StreamWriter writer(sink);
    Result<void> done = writer.begin(*document);
    if (done) {
        done = options.from.empty() ? send_everything(context, options, writer, progress)
                                    : send_changes(context, options, *document, writer, progress);
    }
    return done ? writer.end(document->size_bytes) : done;
}

}  // namespace cowtgt::store
