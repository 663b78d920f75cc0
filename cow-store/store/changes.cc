#include "cow-store/store/changes.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "cow-store/format/units.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/volume/chain_view.h"

namespace cowtgt::store {

namespace {

/// Clusters [begin, end).
struct Span {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// What a layer maps, to data or to zeros.
void add_mapped(const ClusterMap& map, std::vector<Span>& spans) {
    for (std::uint32_t from = 0;;) {
        const std::optional<std::uint32_t> leaf = map.next_used_leaf(from);
        if (!leaf) return;
        from = *leaf + 1;
        const std::uint64_t end =
            std::min(map.cluster_count(), std::uint64_t{from} * clusters_per_leaf);
        for (std::uint64_t at = std::uint64_t{*leaf} * clusters_per_leaf; at < end;) {
            const Extent extent = map.find(ClusterIndex{at}, ClusterCount{end - at});
            if (!std::holds_alternative<InParent>(extent.place)) {
                spans.push_back({at, at + extent.count.value});
            }
            at += extent.count.value;
        }
    }
}

std::vector<Span> united(std::vector<Span> spans) {
    std::ranges::sort(spans, {}, &Span::begin);
    std::vector<Span> result;
    for (const Span& span : spans) {
        if (!result.empty() && span.begin <= result.back().end) {
            result.back().end = std::max(result.back().end, span.end);
        } else {
            result.push_back(span);
        }
    }
    return result;
}

/// Layers at the bottom that both stacks have.
std::size_t common_levels(const LayerStack& one, const LayerStack& other) {
    std::size_t count = 0;
    while (count < one.levels.size() && count < other.levels.size() &&
           one.levels[one.levels.size() - count - 1].uuid ==
               other.levels[other.levels.size() - count - 1].uuid) {
        ++count;
    }
    return count;
}

ChainView view_of(const LayerStack& stack) {
    ChainView view;
    for (const LayerStack::Level& level : stack.levels)
        view.levels.push_back({level.map, level.overlap_limit});
    view.base_size = stack.base_size;
    return view;
}

/// Cuts a span where data and zeros meet.
void add_ranges(const ChainView& view, std::uint64_t begin, std::uint64_t end,
                std::vector<ChangedRange>& ranges) {
    while (begin < end) {
        const ChainPiece piece = view.find(begin, end - begin);
        const RangeContent content =
            piece.source == ChainSource::zeros ? RangeContent::zeros : RangeContent::data;
        const bool goes_on = !ranges.empty() && ranges.back().content == content &&
                             ranges.back().offset + ranges.back().length == begin;
        if (goes_on) {
            ranges.back().length += piece.length;
        } else {
            ranges.push_back({begin, piece.length, content});
        }
        begin += piece.length;
    }
}

LayerStack::Level level_of(const OpenedLayer& layer) {
    return {layer.uuid, layer.map.get(), layer.overlap_limit};
}

/// What is compared with when nothing is named: the template alone.
struct Before {
    std::string name;
    std::uint64_t size_bytes = 0;
    OpenedChain chain;
};

Result<Before> open_before(const Context& context, std::string_view name, std::string_view from) {
    if (!from.empty()) {
        Result<SnapshotDisk> disk = open_snapshot(context, name, from);
        if (!disk) return std::move(disk).error();
        return Before{std::string(name) + "@" + std::string(from), disk->size_bytes,
                      std::move(disk->chain)};
    }
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    Result<OpenedChain> chain = open_chain(context, *record);
    if (!chain) return std::move(chain).error();
    const std::string below =
        record->name.empty() ? "nothing" : template_text(record->name, record->version);
    return Before{below, record->document.size_bytes, std::move(*chain)};
}

}  // namespace

LayerStack stack_of(const OpenedChain& chain) {
    LayerStack stack;
    for (const OpenedLayer& layer : chain.layers)
        stack.levels.push_back(level_of(layer));
    stack.base_size = chain.base_size;
    return stack;
}

LayerStack stack_of(const OpenedInstance& instance) {
    LayerStack stack = stack_of(instance.below);
    const LayerSummary& live = instance.layer.summary();
    stack.levels.insert(stack.levels.begin(),
                        {live.uuid, &instance.layer.map(), live.parent.overlap_limit});
    return stack;
}

std::vector<ChangedRange> changed_ranges(const LayerStack& now, const LayerStack& before,
                                         std::uint64_t size) {
    const std::size_t common = common_levels(now, before);
    std::vector<Span> spans;
    for (const LayerStack* stack : {&now, &before}) {
        for (std::size_t i = 0; i + common < stack->levels.size(); ++i)
            add_mapped(*stack->levels[i].map, spans);
    }
    const ChainView view = view_of(now);
    std::vector<ChangedRange> ranges;
    for (const Span& span : united(std::move(spans))) {
        add_ranges(view, std::min(size, span.begin * cluster_size),
                   std::min(size, span.end * cluster_size), ranges);
    }
    return ranges;
}

Result<Changes> find_changes(const Context& context, std::string_view name, std::string_view label,
                             std::string_view from) {
    const Result<Before> before = open_before(context, name, from);
    if (!before) return before.error();
    Changes changes;
    changes.from = before->name;
    changes.from_size_bytes = before->size_bytes;
    const LayerStack base = stack_of(before->chain);
    if (!label.empty()) {
        const Result<SnapshotDisk> disk = open_snapshot(context, name, label);
        if (!disk) return disk.error();
        changes.size_bytes = disk->size_bytes;
        changes.ranges = changed_ranges(stack_of(disk->chain), base, disk->size_bytes);
        return changes;
    }
    const Result<std::unique_ptr<OpenedInstance>> opened = open_instance(context, name);
    if (!opened) return opened.error();
    changes.size_bytes = (*opened)->info.size_bytes;
    changes.ranges = changed_ranges(stack_of(**opened), base, changes.size_bytes);
    return changes;
}

}  // namespace cowtgt::store
