#include "cow-store/map/leaf.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

constexpr std::uint32_t end_of(const LeafRun& run) {
    return std::uint32_t{run.start} + run.count;
}

LeafRun make_run(std::uint32_t start, std::uint32_t end, MapValue value) {
    return {static_cast<std::uint16_t>(start), static_cast<std::uint16_t>(end - start), value};
}

/// Appends, joined with the last run where the two say the same as one.
void append(std::vector<LeafRun>& runs, const LeafRun& run) {
    if (run.count == 0 || run.value == value_inherit) return;
    if (!runs.empty()) {
        LeafRun& last = runs.back();
        if (end_of(last) == run.start && is_data(last.value) == is_data(run.value) &&
            value_after(last.value, last.count) == run.value) {
            last.count = static_cast<std::uint16_t>(last.count + run.count);
            return;
        }
    }
    runs.push_back(run);
}

/// Puts `changed` in the place of [from, to).
void splice(std::vector<LeafRun>& list, std::vector<LeafRun>::iterator from,
            std::vector<LeafRun>::iterator to, const std::vector<LeafRun>& changed) {
    const auto same = std::min(to - from, static_cast<std::ptrdiff_t>(changed.size()));
    const auto at = std::copy_n(changed.begin(), same, from);
    if (at != to) {
        list.erase(at, to);
    } else {
        list.insert(at, changed.begin() + same, changed.end());
    }
}

std::vector<LeafRun> runs_of(const DenseLeaf& values) {
    std::vector<LeafRun> runs;
    for (std::uint32_t i = 0; i < clusters_per_leaf; ++i) {
        append(runs, make_run(i, i + 1, values[i]));
    }
    return runs;
}

}  // namespace

std::span<const LeafRun> Leaf::runs() const {
    if (const auto* run = std::get_if<LeafRun>(&shape_)) return {run, 1};
    if (const auto* list = std::get_if<Runs>(&shape_)) return *list;
    CHECK(is_empty());
    return {};
}

Leaf::Piece Leaf::find(std::uint32_t first, std::uint32_t wanted) const {
    CHECK(wanted > 0 && first + wanted <= clusters_per_leaf);
    if (const auto* dense = std::get_if<Values>(&shape_)) {
        const DenseLeaf& all = **dense;
        const MapValue value = all[first];
        std::uint32_t count = 1;
        while (count < wanted && all[first + count] == value_after(value, count)) {
            ++count;
        }
        return {count, value};
    }
    const std::span<const LeafRun> list = runs();
    const auto after =
        std::upper_bound(list.begin(), list.end(), first,
                         [](std::uint32_t at, const LeafRun& run) { return at < run.start; });
    if (after != list.begin()) {
        const LeafRun& run = *(after - 1);
        if (first < end_of(run)) {
            return {std::min(wanted, end_of(run) - first),
                    value_after(run.value, first - run.start)};
        }
    }
    const std::uint32_t next = after == list.end() ? clusters_per_leaf : after->start;
    return {std::min(wanted, next - first), value_inherit};
}

void Leaf::assign(std::uint32_t first, std::uint32_t count, MapValue value) {
    CHECK(count > 0 && first + count <= clusters_per_leaf);
    if (!is_dense()) {
        replace_runs(first, count, value);
        return;
    }
    DenseLeaf& all = *std::get<Values>(shape_);
    for (std::uint32_t i = 0; i < count; ++i) {
        all[first + i] = value_after(value, i);
    }
}

void Leaf::replace_runs(std::uint32_t first, std::uint32_t count, MapValue value) {
    const std::uint32_t end = first + count;
    if (is_empty()) {
        if (value != value_inherit) shape_ = make_run(first, end, value);
        return;
    }
    if (const auto* single = std::get_if<LeafRun>(&shape_)) shape_ = Runs{*single};
    Runs& list = std::get<Runs>(shape_);
    // The runs that touch the new one, and one on each side that it may join.
    const auto starts_after = [](std::uint32_t at, const LeafRun& run) { return at < run.start; };
    auto from = std::upper_bound(list.begin(), list.end(), first, starts_after);
    for (int step = 0; step < 2 && from != list.begin(); ++step) {
        --from;
    }
    auto to = std::upper_bound(from, list.end(), end, starts_after);
    if (to != list.end()) ++to;

    Runs changed;
    changed.reserve(static_cast<std::size_t>(to - from) + 2);
    const auto keep_part = [&changed](const LeafRun& run, std::uint32_t begin, std::uint32_t stop) {
        if (begin < stop) {
            append(changed, make_run(begin, stop, value_after(run.value, begin - run.start)));
        }
    };
    for (auto at = from; at != to; ++at) {
        keep_part(*at, at->start, std::min(end_of(*at), first));
    }
    append(changed, make_run(first, end, value));
    for (auto at = from; at != to; ++at) {
        keep_part(*at, std::max<std::uint32_t>(at->start, end), end_of(*at));
    }
    splice(list, from, to, changed);
    if (list.size() <= 1 || list.size() > packed_runs_max) set_runs(std::move(list));
}

void Leaf::set_runs(Runs runs) {
    // `runs` may have been moved out of the shape that is replaced here.
    if (runs.empty()) {
        shape_ = std::monostate{};
    } else if (runs.size() == 1) {
        shape_ = runs.front();
    } else {
        const bool long_list = runs.size() > packed_runs_max;
        shape_ = std::move(runs);
        if (long_list) make_dense();
    }
}

void Leaf::make_dense() {
    auto values = std::make_unique<DenseLeaf>();
    values->fill(value_inherit);
    for (const LeafRun& run : runs()) {
        for (std::uint32_t i = 0; i < run.count; ++i) {
            (*values)[run.start + i] = value_after(run.value, i);
        }
    }
    shape_ = std::move(values);
}

void Leaf::compact() {
    if (const auto* list = std::get_if<Runs>(&shape_)) {
        if (list->capacity() > list->size() * 2) {
            Runs exact(list->begin(), list->end());
            shape_ = std::move(exact);
        }
        return;
    }
    if (!is_dense()) return;
    Runs runs = runs_of(values());
    // Well below the limit, so that a leaf at the edge does not change its shape all the time.
    if (runs.size() <= packed_runs_max * 3 / 4) set_runs(std::move(runs));
}

Leaf Leaf::from_runs(std::vector<LeafRun> runs) {
    Runs joined;
    joined.reserve(runs.size());
    for (const LeafRun& run : runs) {
        append(joined, run);
    }
    Leaf leaf;
    leaf.set_runs(std::move(joined));
    return leaf;
}

Leaf Leaf::from_values(const DenseLeaf& values) {
    Leaf leaf;
    leaf.shape_ = std::make_unique<DenseLeaf>(values);
    leaf.compact();
    return leaf;
}

std::size_t Leaf::heap_bytes() const {
    if (const auto* list = std::get_if<Runs>(&shape_)) return list->capacity() * sizeof(LeafRun);
    return is_dense() ? sizeof(DenseLeaf) : 0;
}

}  // namespace cowtgt
