#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::references {

/// A text that was found: one of the values of the disk, in the case in which it is written, and
/// with its dashes as "\x2d" where systemd escapes them: "dev-disk-by\x2duuid-c0ff\x2dee42.device".
struct Occurrence {
    std::string text;
    std::uint64_t offset = 0;  ///< bytes, of what was searched

    friend bool operator==(const Occurrence&, const Occurrence&) = default;
};

/// Texts by which files can name the values of a recipe, in small letters.
std::vector<std::string> texts_of(const identity::Recipe& recipe);

/// Finds such texts in a stream, in capital and small letters, also across the borders of pieces.
/// A text is found as a word of its own: no digit may stand right before or behind it.
///
/// Pure; about as fast as memory, as long as dashes are rare.
class TextSearch {
public:
    /// Of one text; a disk that names it more often is full of logs.
    static constexpr std::size_t occurrences_max = 4096;

    /// Requires: `texts` as texts_of returns them.
    explicit TextSearch(const std::vector<std::string>& texts);

    /// Pieces come in rising order and do not overlap; a gap between two parts texts.
    void feed(std::uint64_t offset, Bytes piece);
    /// Call it once, after the last piece: ascending by offset.
    std::vector<Occurrence> finish();
    /// Texts that were found so often that not every place was kept.
    std::vector<std::string> too_often() const;

private:
    struct Wanted {
        std::string text;   ///< small letters
        std::size_t dash;   ///< where its first dash is
        bool takes_number;  ///< "-01" follows: a partition of an MBR
        std::size_t found = 0;
    };
    static constexpr std::size_t reach = 64;  ///< bytes; longer than any text and its borders

    void search(bool is_end);
    void look_at_each(std::string_view dash, std::size_t end);
    void look_at_dash(std::size_t at, std::string_view dash);
    bool is_word(const Wanted& wanted, std::size_t begin, std::size_t end,
                 std::string_view dash) const;
    void search_without_dash(Wanted& wanted, std::size_t from, std::size_t end);

    std::vector<Wanted> wanted_;
    std::bitset<65536> keys_;  ///< by the four digits before the first dash
    std::vector<Occurrence> found_;
    std::string buffer_;  ///< what was not searched yet, behind what precedes it
    std::uint64_t buffer_offset_ = 0;
    std::size_t searched_ = 0;  ///< of the buffer
};

}  // namespace cowtgt::references
