#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"

/// Text of Login and Text PDUs: "key=value" pairs, each ended by a zero byte (RFC 7143
/// section 6.1).
namespace cowtgt::iscsi {

inline constexpr std::size_t key_name_length_max = 63;     ///< section 6.1: key-name
inline constexpr std::size_t iscsi_name_length_max = 223;  ///< section 4.2.7.1
inline constexpr std::size_t text_value_length_max = 255;  ///< section 6.1: unless said otherwise

/// Pairs of one text. The keys there are come to 34; without a limit a text of the shortest unknown
/// ones would make us hold many times its length.
inline constexpr std::size_t text_pairs_max = 1024;

/// A pair as it stands in a text. Ownership: points into the text.
struct TextPair {
    std::string_view key;
    std::string_view value;
};

/// All pairs of a text in their order; nothing if the text breaks the grammar: a pair without '=',
/// a key that is no standard-label, a last pair without its zero byte, or too many pairs.
/// Unused zero bytes between pairs are tolerated, since some initiators pad with them.
std::optional<std::vector<TextPair>> parse_text(std::string_view text);

/// Appends "key=value" and its zero byte.
void append_pair(std::string& text, std::string_view key, std::string_view value);

/// A decimal-constant or hex-constant of section 6.1, at most 32 bits.
std::optional<std::uint32_t> parse_number(std::string_view value);
/// "Yes" or "No", as they are spelled there.
std::optional<bool> parse_boolean(std::string_view value);
/// A binary-value of section 6.1: hex-constant ("0x...", two digits for each byte) or
/// base64-constant
/// ("0b...", RFC 4648 with its padding). Nothing for any other text, for no byte at all and for
/// more than `byte_count_max` bytes.
std::optional<std::vector<std::byte>> parse_binary(std::string_view value,
                                                   std::size_t byte_count_max);
/// "0x..."
std::string hex_constant(Bytes bytes);
/// The values of a list, "a,b,c". Ownership: points into `value`.
std::vector<std::string_view> split_list(std::string_view value);

/// Text of one negotiation step while its PDUs arrive with the C bit.
class TextCollector {
public:
    explicit TextCollector(std::uint32_t byte_count_max) : byte_count_max_(byte_count_max) {}

    /// False, and nothing is taken, if the text would grow beyond its limit.
    [[nodiscard]] bool append(Bytes piece);
    /// The text so far; the collector is empty afterwards.
    std::string take();

private:
    std::string text_;
    std::uint32_t byte_count_max_;
};

/// An answer that may be longer than one PDU; it leaves in pieces.
class TextPieces {
public:
    void append(std::string_view text) { text_ += text; }
    bool empty() const { return offset_ == text_.size(); }
    /// The next at most `byte_count_max` bytes.
    std::string_view take(std::size_t byte_count_max);
    void clear();

private:
    std::string text_;
    std::size_t offset_ = 0;
};

}  // namespace cowtgt::iscsi
