#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "cow-store/format/map_page.h"

namespace cowtgt {

/// 1024 clusters of the map in the smallest of four shapes: nothing, one run, a list of runs, or
/// every value. All shapes say the same; the list turns into values when it gets long, and back
/// only in compact().
class Leaf {
public:
    struct Piece {
        std::uint32_t count = 0;  ///< clusters, never 0
        MapValue value = 0;       ///< of the first
    };

    bool is_empty() const { return std::holds_alternative<std::monostate>(shape_); }
    bool is_dense() const { return std::holds_alternative<Values>(shape_); }
    /// The longest run from `first`, at most `wanted`. Requires: 0 < wanted <= 1024 - first.
    Piece find(std::uint32_t first, std::uint32_t wanted) const;
    /// Gives `count` clusters from `first` the values value, value + 1, ... (data) or all `value`.
    void assign(std::uint32_t first, std::uint32_t count, MapValue value);
    /// Looks for a smaller shape after much has changed.
    void compact();

    /// Requires: not dense.
    std::span<const LeafRun> runs() const;
    /// Requires: dense.
    const DenseLeaf& values() const { return *std::get<Values>(shape_); }
    /// Takes decoded content, which is well formed.
    static Leaf from_runs(std::vector<LeafRun> runs);
    static Leaf from_values(const DenseLeaf& values);

    std::size_t heap_bytes() const;

private:
    using Runs = std::vector<LeafRun>;
    using Values = std::unique_ptr<DenseLeaf>;

    void replace_runs(std::uint32_t first, std::uint32_t count, MapValue value);
    void make_dense();
    void set_runs(Runs runs);

    std::variant<std::monostate, LeafRun, Runs, Values> shape_;
};

}  // namespace cowtgt
