#include "target/iscsi/keys.h"

#include <algorithm>
#include <array>

#include "cow-store/base/check.h"
#include "target/iscsi/text.h"

namespace cowtgt::iscsi {

namespace {

constexpr std::uint32_t length_max = 0xffffff;  // 2^24 - 1, sections 13.12 to 13.14

using enum ResultFunction;
using enum Scope;

// RFC 7143 section 13 in its order, then RFC 7144, the keys that section 13.25 made obsolete, and
// section 12: key, name, result function, scope, default, lowest, highest, irrelevant in discovery.
constexpr std::array rows = {
    KeyRow{Key::header_digest, "HeaderDigest", list, connection, 0, 0, 0, false},
    KeyRow{Key::data_digest, "DataDigest", list, connection, 0, 0, 0, false},
    KeyRow{Key::max_connections, "MaxConnections", minimum, session, 1, 1, 65535, true},
    KeyRow{Key::send_targets, "SendTargets", ResultFunction::send_targets, session, 0, 0, 0, false},
    KeyRow{Key::target_name, "TargetName", declaration, session, 0, 0, 0, false},
    KeyRow{Key::initiator_name, "InitiatorName", declaration, session, 0, 0, 0, false},
    KeyRow{Key::target_alias, "TargetAlias", constant_reject, session, 0, 0, 0, false},
    KeyRow{Key::initiator_alias, "InitiatorAlias", declaration, session, 0, 0, 0, false},
    KeyRow{Key::target_address, "TargetAddress", constant_reject, session, 0, 0, 0, false},
    KeyRow{Key::target_portal_group_tag, "TargetPortalGroupTag", constant_reject, session, 0, 0,
           65535, false},
    KeyRow{Key::initial_r2t, "InitialR2T", boolean_or, session, 1, 0, 1, true},
    KeyRow{Key::immediate_data, "ImmediateData", boolean_and, session, 1, 0, 1, true},
    KeyRow{Key::max_recv_data_segment_length, "MaxRecvDataSegmentLength", declaration, connection,
           8192, 512, length_max, false},
    KeyRow{Key::max_burst_length, "MaxBurstLength", minimum, session, 262144, 512, length_max,
           true},
    KeyRow{Key::first_burst_length, "FirstBurstLength", minimum, session, 65536, 512, length_max,
           true},
    KeyRow{Key::default_time2wait, "DefaultTime2Wait", maximum, session, 2, 0, 3600, false},
    KeyRow{Key::default_time2retain, "DefaultTime2Retain", minimum, session, 20, 0, 3600, false},
    KeyRow{Key::max_outstanding_r2t, "MaxOutstandingR2T", minimum, session, 1, 1, 65535, true},
    KeyRow{Key::data_pdu_in_order, "DataPDUInOrder", boolean_or, session, 1, 0, 1, true},
    KeyRow{Key::data_sequence_in_order, "DataSequenceInOrder", boolean_or, session, 1, 0, 1, true},
    KeyRow{Key::error_recovery_level, "ErrorRecoveryLevel", minimum, session, 0, 0, 2, false},
    KeyRow{Key::session_type, "SessionType", declaration, session, 0, 0, 0, false},
    KeyRow{Key::task_reporting, "TaskReporting", list, session, 0, 0, 0, true},
    KeyRow{Key::protocol_level, "iSCSIProtocolLevel", minimum, session, 1, 0, 31, true},
    KeyRow{Key::if_marker, "IFMarker", constant_no, connection, 0, 0, 1, false},
    KeyRow{Key::of_marker, "OFMarker", constant_no, connection, 0, 0, 1, false},
    KeyRow{Key::if_mark_int, "IFMarkInt", constant_reject, connection, 0, 0, 0, false},
    KeyRow{Key::of_mark_int, "OFMarkInt", constant_reject, connection, 0, 0, 0, false},
    KeyRow{Key::auth_method, "AuthMethod", security, connection, 0, 0, 0, false},
    KeyRow{Key::chap_a, "CHAP_A", security, connection, 0, 0, 0, false},
    KeyRow{Key::chap_i, "CHAP_I", security, connection, 0, 0, 0, false},
    KeyRow{Key::chap_c, "CHAP_C", security, connection, 0, 0, 0, false},
    KeyRow{Key::chap_n, "CHAP_N", security, connection, 0, 0, 0, false},
    KeyRow{Key::chap_r, "CHAP_R", security, connection, 0, 0, 0, false},
};
static_assert(rows.size() == static_cast<std::size_t>(Key::count));

constexpr bool rows_are_in_key_order() {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].key != static_cast<Key>(i)) return false;
    }
    return true;
}
static_assert(rows_are_in_key_order());

/// iSCSIProtocolLevel of RFC 7143 (RFC 7144 section 7.1.1 gives 2 to its own features).
constexpr std::uint32_t our_protocol_level = 1;

}  // namespace

const KeyRow* find_key(std::string_view name) {
    const auto* row = std::ranges::find(rows, name, &KeyRow::name);
    return row == rows.end() ? nullptr : row;
}

const KeyRow& row_of(Key key) {
    return rows[static_cast<std::size_t>(key)];
}

bool KeyNegotiation::use_once(Key key) {
    const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(key);
    if ((used_ & bit) != 0) return false;
    used_ |= bit;
    return true;
}

std::optional<std::string> KeyNegotiation::answer(const KeyRow& row, std::string_view offer,
                                                  SessionType session_type) {
    if (row.irrelevant_in_discovery && session_type == SessionType::discovery) {
        return "Irrelevant";
    }
    switch (row.result) {
        case declaration:
            return declare(row, offer);
        case minimum:
        case maximum:
            return answer_number(row, offer);
        case boolean_and:
        case boolean_or:
            return answer_boolean(row, offer);
        case list:
            return answer_list(row, offer);
        case constant_no:
            return parse_boolean(offer) ? "No" : "Reject";
        case constant_reject:
            return "Reject";
        case security:
        case ResultFunction::send_targets:
            break;
    }
    CHECK(false);
}

std::optional<std::string> KeyNegotiation::answer_number(const KeyRow& row,
                                                         std::string_view offer) {
    const std::optional<std::uint32_t> theirs = parse_number(offer);
    if (!theirs || *theirs < row.lowest || *theirs > row.highest) return "Reject";
    const std::uint32_t ours = our_number(row);
    const std::uint32_t result =
        row.result == minimum ? std::min(*theirs, ours) : std::max(*theirs, ours);
    set_number(row.key, result);
    return std::to_string(result);
}

std::optional<std::string> KeyNegotiation::answer_first_burst_length(std::string_view offer) {
    const KeyRow& row = row_of(Key::first_burst_length);
    const std::optional<std::uint32_t> theirs = parse_number(offer);
    if (!theirs || *theirs < row.lowest || *theirs > row.highest) return "Reject";
    parameters_.first_burst_length =
        std::min({*theirs, our_number(row), parameters_.max_burst_length});
    return std::to_string(parameters_.first_burst_length);
}

std::optional<std::string> KeyNegotiation::answer_boolean(const KeyRow& row,
                                                          std::string_view offer) {
    const std::optional<bool> theirs = parse_boolean(offer);
    if (!theirs) return "Reject";
    // InitialR2T is ours "No", ImmediateData "Yes": the initiator decides both. Data only comes in
    // order, so the two order keys are "Yes" whatever is offered.
    bool result = true;
    if (row.key == Key::initial_r2t) result = parameters_.initial_r2t = *theirs;
    if (row.key == Key::immediate_data) result = parameters_.immediate_data = *theirs;
    return result ? "Yes" : "No";
}

std::optional<std::string> KeyNegotiation::answer_list(const KeyRow& row, std::string_view offer) {
    const bool is_digest = row.key == Key::header_digest || row.key == Key::data_digest;
    const std::string_view basic = is_digest ? "None" : "RFC3720";
    for (const std::string_view value : split_list(offer)) {
        if (value == basic) return std::string(value);
        if (!is_digest || value != "CRC32C") continue;
        (row.key == Key::header_digest ? parameters_.digests.header : parameters_.digests.data) =
            true;
        return std::string(value);
    }
    return "Reject";
}

std::optional<std::string> KeyNegotiation::declare(const KeyRow& row, std::string_view value) {
    if (row.key != Key::max_recv_data_segment_length) return std::nullopt;
    const std::optional<std::uint32_t> theirs = parse_number(value);
    if (!theirs || *theirs < row.lowest || *theirs > row.highest) return "Reject";
    parameters_.initiator_max_recv_data_segment_length = *theirs;
    return std::nullopt;
}

std::uint32_t KeyNegotiation::our_number(const KeyRow& row) const {
    switch (row.key) {
        case Key::max_connections:
            return 1;
        case Key::max_burst_length:
            return limits_.max_burst_length;
        case Key::first_burst_length:
            return limits_.first_burst_length;
        case Key::max_outstanding_r2t:
            return limits_.max_outstanding_r2t;
        case Key::protocol_level:
            return our_protocol_level;
        default:
            return 0;  // DefaultTime2Wait, DefaultTime2Retain, ErrorRecoveryLevel
    }
}

void KeyNegotiation::set_number(Key key, std::uint32_t value) {
    switch (key) {
        case Key::max_burst_length:
            parameters_.max_burst_length = value;
            break;
        case Key::max_outstanding_r2t:
            parameters_.max_outstanding_r2t = value;
            break;
        case Key::default_time2wait:
            parameters_.default_time2wait = value;
            break;
        case Key::default_time2retain:
            parameters_.default_time2retain = value;
            break;
        default:
            break;  // one connection, error recovery level 0 and protocol level 1 are all there is
    }
}

OperationalParameters KeyNegotiation::final_parameters() const {
    OperationalParameters result = parameters_;
    result.first_burst_length = std::min(result.first_burst_length, result.max_burst_length);
    return result;
}

}  // namespace cowtgt::iscsi
