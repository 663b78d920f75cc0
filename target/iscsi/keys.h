#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "target/iscsi/connection.h"
#include "target/iscsi/pdu_reader.h"

/// The text keys of RFC 7143 section 13 and RFC 7144 as rows: how a result is found, when a key
/// may be used, its default and its range.
namespace cowtgt::iscsi {

enum class Key : std::uint8_t {
    header_digest,
    data_digest,
    max_connections,
    send_targets,
    target_name,
    initiator_name,
    target_alias,
    initiator_alias,
    target_address,
    target_portal_group_tag,
    initial_r2t,
    immediate_data,
    max_recv_data_segment_length,
    max_burst_length,
    first_burst_length,
    default_time2wait,
    default_time2retain,
    max_outstanding_r2t,
    data_pdu_in_order,
    data_sequence_in_order,
    error_recovery_level,
    session_type,
    task_reporting,
    protocol_level,
    if_marker,
    of_marker,
    if_mark_int,
    of_mark_int,
    auth_method,
    chap_a,
    chap_i,
    chap_c,
    chap_n,
    chap_r,
    count,
};

/// How the responder finds the value that both sides use (section 6.2).
enum class ResultFunction : std::uint8_t {
    declaration,      ///< the initiator says it; there is no answer
    minimum,          ///< of two numbers
    maximum,          ///< of two numbers
    boolean_and,      ///< "Yes" if both say so
    boolean_or,       ///< "Yes" if one says so
    list,             ///< the first value of the offer that we support
    constant_no,      ///< an obsolete boolean: always "No"
    constant_reject,  ///< obsolete, or only the target may send it, or not in this phase
    security,         ///< belongs to SecurityNegotiation; login.cc answers
    send_targets,     ///< a command in the form of a key; text_requests.cc answers
};

enum class Scope : std::uint8_t { connection, session };

/// One row of the table. Numbers are in the unit of the key: bytes, seconds or a count.
struct KeyRow {
    Key key;
    std::string_view name;
    ResultFunction result;
    Scope scope;
    std::uint32_t default_value;
    std::uint32_t lowest, highest;  ///< of what may be offered; 0, 1 for booleans
    bool irrelevant_in_discovery;
};

/// The row of a key, or nothing for a key that we do not understand.
const KeyRow* find_key(std::string_view name);
const KeyRow& row_of(Key key);

/// The values in force on a connection; at first the defaults of section 13.
struct OperationalParameters {
    Digests digests;
    bool initial_r2t = true;
    bool immediate_data = true;
    std::uint32_t initiator_max_recv_data_segment_length = 8192;  ///< bytes
    std::uint32_t max_burst_length = 262144;                      ///< bytes
    std::uint32_t first_burst_length = 65536;                     ///< bytes
    std::uint32_t max_outstanding_r2t = 1;
    std::uint32_t default_time2wait = 2;     ///< seconds
    std::uint32_t default_time2retain = 20;  ///< seconds
};

/// Finds the results of an initiator's offers during one login.
///
/// A key may be offered once (section 6.3: "Neither the initiator nor the target should attempt to
/// declare or negotiate a parameter more than once during login").
class KeyNegotiation {
public:
    explicit KeyNegotiation(const ConnectionLimits& limits) : limits_(limits) {}

    /// Marks a key as used; false if it has been before.
    [[nodiscard]] bool use_once(Key key);

    /// The answer to the offer of an operational key, absent if the key has none. The result is in
    /// parameters() from then on.
    /// Requires: row.result is neither `security` nor `send_targets`.
    std::optional<std::string> answer(const KeyRow& row, std::string_view offer,
                                      SessionType session_type);
    /// FirstBurstLength must not exceed MaxBurstLength (section 13.14), whatever their order, so
    /// its answer comes after the rest of the same text.
    std::optional<std::string> answer_first_burst_length(std::string_view offer);

    const OperationalParameters& parameters() const { return parameters_; }
    /// After the last answer: also without an offer FirstBurstLength stays within MaxBurstLength.
    OperationalParameters final_parameters() const;

private:
    std::optional<std::string> answer_number(const KeyRow& row, std::string_view offer);
    std::optional<std::string> answer_boolean(const KeyRow& row, std::string_view offer);
    std::optional<std::string> answer_list(const KeyRow& row, std::string_view offer);
    std::optional<std::string> declare(const KeyRow& row, std::string_view value);
    std::uint32_t our_number(const KeyRow& row) const;
    void set_number(Key key, std::uint32_t value);

    ConnectionLimits limits_;
    OperationalParameters parameters_;
    std::uint64_t used_ = 0;  // one bit per Key
    static_assert(static_cast<unsigned>(Key::count) <= 64);
};

}  // namespace cowtgt::iscsi
