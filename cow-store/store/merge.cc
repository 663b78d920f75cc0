#include "cow-store/store/merge.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/base/bytes.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/changes.h"
#include "cow-store/store/commit.h"
#include "cow-store/store/instances.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/template_move.h"
#include "cow-store/volume/layer_writer.h"

/// Three states of each block that an instance wrote: as it was made, as it is, and as it would be
/// made on the other version. The identity of the instance is part of the first and the last.
namespace cowtgt::store {

namespace {

/// Beyond its end a disk reads as zeros.
Result<void> read_padded(const ChainReader& disk, std::uint64_t offset, MutableBytes into) {
    std::memset(into.data(), 0, into.size());
    const std::uint64_t there = disk.size() - std::min(disk.size(), offset);
    const MutableBytes part = into.first(std::min<std::uint64_t>(there, into.size()));
    return part.empty() ? Result<void>{} : disk.read(offset, part);
}

/// What an instance on this version starts from, to be read.
class Origin {
public:
    static Result<Origin> open(const Context& context, const TemplateRecord& record,
                               const InstanceDocument& document) {
        Result<OpenedChain> chain = open_chain(context, record);
        if (!chain) return std::move(chain).error();
        Result<FreshLayer> fresh = plan_layer(context, record, document);
        if (!fresh) return std::move(fresh).error();
        return Origin(std::move(*chain), std::move(*fresh), record);
    }

    const FreshLayer& fresh() const { return fresh_; }
    const OpenedChain& chain() const { return *chain_; }

    Result<void> read(std::uint64_t offset, MutableBytes into) const {
        if (Result<void> read = read_padded(*disk_, offset, into); !read) return read;
        for (const InitialBlock& block : fresh_.spec.initial_blocks)
            lay_over(block, offset, into);
        return {};
    }

private:
    Origin(OpenedChain chain, FreshLayer fresh, const TemplateRecord& record)
        : chain_(std::make_unique<OpenedChain>(std::move(chain))),
          disk_(std::make_unique<ChainReader>(
              *chain_, record.document.size_bytes,
              "template " + template_text(record.name, record.version))),
          fresh_(std::move(fresh)) {}

    static void lay_over(const InitialBlock& block, std::uint64_t offset, MutableBytes into) {
        const std::uint64_t begin = std::max(block.offset, offset);
        const std::uint64_t end = std::min(block.offset + block.bytes.size(), offset + into.size());
        if (begin >= end) return;
        std::memcpy(into.data() + (begin - offset), block.bytes.data() + (begin - block.offset),
                    end - begin);
    }

    std::unique_ptr<OpenedChain> chain_;
    std::unique_ptr<ChainReader> disk_;
    FreshLayer fresh_;
};

}  // namespace

struct Merge::Sides {
    Origin before, after;
    std::unique_ptr<OpenedInstance> instance;
    std::unique_ptr<ChainReader> own;
    std::vector<ChangedRange> written;
};

namespace {

enum class Verdict { as_after, as_own, conflict };

Verdict judge(Bytes before, Bytes own, Bytes after) {
    const auto same = [](Bytes a, Bytes b) { return std::ranges::equal(a, b); };
    if (same(own, after) || same(own, before)) return Verdict::as_after;
    return same(before, after) ? Verdict::as_own : Verdict::conflict;
}

void append(std::vector<MergeConflict>& list, std::uint64_t offset, std::uint64_t length) {
    if (!list.empty() && list.back().offset + list.back().length == offset) {
        list.back().length += length;
    } else {
        list.push_back({offset, length});
    }
}

/// Why what is on the instance's disk is not whole without a journal; nothing: it is.
Result<std::string> find_unclean(const Context& context, std::string_view name,
                                 const identity::Recipe& of_template) {
    const Result<identity::Recipe> recipe = examine_instance(context, name, of_template);
    if (!recipe) return recipe.error();
    const std::vector<identity::Finding> before = identity::findings_of(of_template);
    for (const identity::Finding& finding : identity::findings_of(*recipe)) {
        if (finding.kind != "fs-uuid" || finding.kept_because.empty()) continue;
        const bool was_so = std::ranges::any_of(before, [&](const identity::Finding& other) {
            return other.where == finding.where && other.kept_because == finding.kept_because;
        });
        if (!was_so) return finding.where + ": " + finding.kept_because;
    }
    return std::string();
}

}  // namespace

Merge::Merge() = default;
Merge::Merge(Merge&&) noexcept = default;
Merge::~Merge() = default;

Result<Merge> Merge::look(const Context& context, std::string_view name, const TemplateRef& to,
                          const Pace& pace) {
    Result<TemplateMove> move = plan_move(context, name, to);
    if (!move) return std::move(move).error();
    if (move->document.template_name.empty()) {
        return Error{ErrorCode::refused, "instance " + std::string(name) +
                                             " stands on no template, so nothing tells what it "
                                             "wrote from what it was made of"};
    }
    Merge merge;
    merge.name_ = name;
    const Result<TemplateRecord> from = template_of(context, name, move->document);
    if (!from) return from.error();
    Result<std::string> unclean = find_unclean(context, name, from->document.recipe);
    if (!unclean) return std::move(unclean).error();
    merge.unclean_ = std::move(*unclean);
    Result<Origin> before = Origin::open(context, *from, move->document);
    if (!before) return std::move(before).error();
    merge.from_ = template_text(from->name, from->version);
    merge.to_ = template_text(move->to.name, move->to.version);
    merge.document_ = on_template(std::move(move->document), move->to);
    Result<Origin> after = Origin::open(context, move->to, merge.document_);
    if (!after) return std::move(after).error();
    merge.document_.identity = after->fresh().identity;

    Result<std::unique_ptr<OpenedInstance>> opened = open_instance(context, name);
    if (!opened) return std::move(opened).error();
    OpenedInstance& instance = **opened;
    merge.layer_ = instance.layer.summary();
    auto own = std::make_unique<ChainReader>(instance.below, instance.info.size_bytes,
                                             "instance " + std::string(name));
    own->put_on_top(instance.layer.map(), instance.live_buffered.get(),
                    merge.layer_.parent.overlap_limit);
    std::vector<ChangedRange> written =
        changed_ranges(stack_of(instance), stack_of(before->chain()), instance.info.size_bytes);
    merge.sides_ =
        std::make_unique<Sides>(Sides{std::move(*before), std::move(*after), std::move(*opened),
                                      std::move(own), std::move(written)});
    const auto count = [&merge](std::uint64_t offset, Bytes own_bytes, bool is_conflict) {
        merge.kept_bytes_ += own_bytes.size();
        if (is_conflict) append(merge.conflicts_, offset, own_bytes.size());
        return Result<void>{};
    };
    if (Result<void> compared = merge.for_each_kept(pace, count); !compared) {
        return std::move(compared).error();
    }
    return merge;
}

std::uint64_t Merge::conflict_bytes() const {
    std::uint64_t bytes = 0;
    for (const MergeConflict& conflict : conflicts_)
        bytes += conflict.length;
    return bytes;
}

/// Calls `take` with each cluster that stays as the instance has it, in rising order.
Result<void> Merge::for_each_kept(const Pace& pace, const TakeKept& take) const {
    std::vector<std::byte> before(chunk_size), own(chunk_size), after(chunk_size);
    for (const ChangedRange& range : sides_->written) {
        // The last cluster of the disk may be cut; on a larger one it is whole.
        const std::uint64_t end =
            std::min(round_up(range.offset + range.length, cluster_size), document_.size_bytes);
        for (std::uint64_t offset = range.offset; offset < end;) {
            const auto length =
                static_cast<std::size_t>(std::min<std::uint64_t>(chunk_size, end - offset));
            if (Result<void> go_on = pace ? pace(length) : Result<void>{}; !go_on) return go_on;
            const auto part = [length](std::vector<std::byte>& bytes) {
                return MutableBytes(bytes).first(length);
            };
            Result<void> read = sides_->before.read(offset, part(before));
            if (read) read = read_padded(*sides_->own, offset, part(own));
            if (read) read = sides_->after.read(offset, part(after));
            if (!read) return read;
            for (std::size_t at = 0; at < length; at += cluster_size) {
                const std::size_t size = std::min<std::size_t>(cluster_size, length - at);
                const auto cluster = [at, size](const std::vector<std::byte>& bytes) {
                    return Bytes(bytes).subspan(at, size);
                };
                const Verdict verdict = judge(cluster(before), cluster(own), cluster(after));
                if (verdict == Verdict::as_after) continue;
                Result<void> taken = take(offset + at, cluster(own), verdict == Verdict::conflict);
                if (!taken) return taken;
            }
            offset += length;
        }
    }
    return {};
}

namespace {

/// Puts blocks of two sources into a layer in their order; where both have one, the second wins.
class OverlayWriter {
public:
    OverlayWriter(File& file, const LayerSpec& spec) : writer_(file, spec), spec_(spec) {}

    Result<void> add(std::uint64_t offset, Bytes bytes) {
        if (Result<void> done = add_identity_before(offset); !done) return done;
        while (next_ < spec_.initial_blocks.size() &&
               spec_.initial_blocks[next_].offset == offset) {
            ++next_;
        }
        const bool is_zero =
            std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
        if (!is_zero) return writer_.add_data(offset, bytes);
        writer_.add_zeros(offset, bytes.size());
        return {};
    }
    Result<void> finish() {
        if (Result<void> done = add_identity_before(spec_.virtual_size); !done) return done;
        return writer_.finish(LayerPhase::clean);
    }

private:
    Result<void> add_identity_before(std::uint64_t offset) {
        for (; next_ < spec_.initial_blocks.size(); ++next_) {
            const InitialBlock& block = spec_.initial_blocks[next_];
            if (block.offset >= offset) return {};
            Result<void> done = writer_.add_data(block.offset, block.bytes);
            if (!done) return done;
        }
        return {};
    }

    LayerWriter writer_;
    const LayerSpec& spec_;
    std::size_t next_ = 0;  ///< of the initial blocks, each of one cluster
};

}  // namespace

Result<void> Merge::write(const Context& context, const Pace& pace) {
    Result<Workplace> workplace = Workplace::make(context, Work::rebase, name_);
    if (!workplace) return std::move(workplace).error();
    const LayerSpec& spec = sides_->after.fresh().spec;
    const std::filesystem::path layer = workplace->path() / Layout::live_file;
    const Result<std::unique_ptr<File>> file = context.files.create_file(layer);
    if (!file) return file.error();
    OverlayWriter writer(**file, spec);
    Result<void> done = for_each_kept(
        pace, [&](std::uint64_t offset, Bytes bytes, bool) { return writer.add(offset, bytes); });
    if (done) done = writer.finish();
    if (!done) return done;
    document_.live_file = Layout::layer_file(spec.uuid);
    document_.live_parent = {};
    workplace_ = std::make_unique<Workplace>(std::move(*workplace));
    sides_.reset();  // nobody has it open any more
    return {};
}

Result<InstanceInfo> Merge::install(const Context& context) {
    {
        // Somebody may have had it meanwhile.
        const Result<std::unique_ptr<OpenedInstance>> opened = open_instance(context, name_);
        if (!opened) return opened.error();
        const LayerSummary& now = (*opened)->layer.summary();
        if (now.uuid != layer_.uuid || now.generation != layer_.generation) {
            return Error{ErrorCode::in_use,
                         "instance " + name_ + " was written to while it was merged; try again"};
        }
    }
    const std::filesystem::path folder = context.layout.instance(name_);
    Result<void> done =
        context.files.rename(workplace_->path() / Layout::live_file, folder / document_.live_file);
    if (done) done = context.files.sync_directory(folder);
    if (done) done = replace_document(context, name_, document_);
    workplace_.reset();
    if (!done) return std::move(done).error();
    return describe(context, name_, document_);
}

}  // namespace cowtgt::store
