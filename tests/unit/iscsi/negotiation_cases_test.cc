// One row per rule of RFC 7143 sections 6 and 13: what an initiator offers in one login request,
// and what the target answers. Each row is a test by its name.

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

constexpr std::uint8_t operational_to_full_feature = 0x87;
constexpr std::uint8_t security_to_full_feature = 0x83;

struct NegotiationCase {
    std::string name;
    std::string key, offer;
    std::string answer;  ///< "<none>": the key has no answer
};
void PrintTo(const NegotiationCase& row, std::ostream* out) {
    *out << row.key << "=" << row.offer;
}

KeyValues normal_session() {
    return {{"InitiatorName", std::string(test_initiator)},
            {"TargetName", std::string(test_target)}};
}
KeyValues discovery_session() {
    return {{"InitiatorName", std::string(test_initiator)}, {"SessionType", "Discovery"}};
}

void expect_answer(KeyValues keys, const NegotiationCase& row) {
    for (const std::size_t cut : {0U, 1U}) {
        Script script(cut);
        KeyValues all = keys;
        all.emplace_back(row.key, row.offer);
        const auto answers = script.login(operational_to_full_feature, all);
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<LoginResponse>().status.get(), 0);
        EXPECT_EQ(value_of(answers[0], row.key), row.answer);
        EXPECT_TRUE(script.connection.in_full_feature_phase());
    }
}

std::string name_of(const testing::TestParamInfo<NegotiationCase>& row) {
    return row.param.name;
}

class NormalNegotiation : public testing::TestWithParam<NegotiationCase> {};
TEST_P(NormalNegotiation, IsAnsweredSo) {
    expect_answer(normal_session(), GetParam());
}

const std::vector<NegotiationCase> normal_cases = {
    // Section 13.1: the first value of the offer that we have.
    {"header_digest_none", "HeaderDigest", "None", "None"},
    {"header_digest_crc", "HeaderDigest", "CRC32C", "CRC32C"},
    {"header_digest_none_first", "HeaderDigest", "None,CRC32C", "None"},
    {"header_digest_crc_first", "HeaderDigest", "CRC32C,None", "CRC32C"},
    {"header_digest_unknown_first", "HeaderDigest", "X-mine,CRC32C,None", "CRC32C"},
    {"header_digest_unknown_only", "HeaderDigest", "X-mine", "Reject"},
    {"header_digest_empty", "HeaderDigest", "", "Reject"},
    {"header_digest_other_case", "HeaderDigest", "crc32c", "Reject"},
    {"header_digest_with_space", "HeaderDigest", "CRC32C, None", "CRC32C"},
    {"header_digest_only_commas", "HeaderDigest", ",,", "Reject"},
    {"data_digest_none", "DataDigest", "None", "None"},
    {"data_digest_crc", "DataDigest", "CRC32C", "CRC32C"},
    {"data_digest_none_first", "DataDigest", "None,CRC32C", "None"},
    {"data_digest_crc_first", "DataDigest", "CRC32C,None", "CRC32C"},
    {"data_digest_unknown_first", "DataDigest", "X-mine,None", "None"},
    {"data_digest_unknown_only", "DataDigest", "X-mine,X-yours", "Reject"},
    // Section 13.2: minimum; one connection is all we have.
    {"max_connections_1", "MaxConnections", "1", "1"},
    {"max_connections_8", "MaxConnections", "8", "1"},
    {"max_connections_65535", "MaxConnections", "65535", "1"},
    {"max_connections_0", "MaxConnections", "0", "Reject"},
    {"max_connections_65536", "MaxConnections", "65536", "Reject"},
    {"max_connections_text", "MaxConnections", "one", "Reject"},
    {"max_connections_empty", "MaxConnections", "", "Reject"},
    {"max_connections_negative", "MaxConnections", "-1", "Reject"},
    {"max_connections_hex", "MaxConnections", "0x2", "1"},
    // Section 13.10: or; ours is No.
    {"initial_r2t_yes", "InitialR2T", "Yes", "Yes"},
    {"initial_r2t_no", "InitialR2T", "No", "No"},
    {"initial_r2t_lower_case", "InitialR2T", "yes", "Reject"},
    {"initial_r2t_number", "InitialR2T", "1", "Reject"},
    {"initial_r2t_empty", "InitialR2T", "", "Reject"},
    // Section 13.11: and; ours is Yes.
    {"immediate_data_yes", "ImmediateData", "Yes", "Yes"},
    {"immediate_data_no", "ImmediateData", "No", "No"},
    {"immediate_data_upper_case", "ImmediateData", "YES", "Reject"},
    {"immediate_data_list", "ImmediateData", "Yes,No", "Reject"},
    // Section 13.12: a declaration of each side; what is out of range is rejected.
    {"segment_511", "MaxRecvDataSegmentLength", "511", "<twice>"},
    {"segment_512", "MaxRecvDataSegmentLength", "512", "262144"},
    {"segment_8192", "MaxRecvDataSegmentLength", "8192", "262144"},
    {"segment_16777215", "MaxRecvDataSegmentLength", "16777215", "262144"},
    {"segment_16777216", "MaxRecvDataSegmentLength", "16777216", "<twice>"},
    {"segment_hex", "MaxRecvDataSegmentLength", "0x10000", "262144"},
    {"segment_text", "MaxRecvDataSegmentLength", "64k", "<twice>"},
    // Section 13.13: minimum.
    {"max_burst_511", "MaxBurstLength", "511", "Reject"},
    {"max_burst_512", "MaxBurstLength", "512", "512"},
    {"max_burst_262144", "MaxBurstLength", "262144", "262144"},
    {"max_burst_ours", "MaxBurstLength", "16776192", "16776192"},
    {"max_burst_beyond_ours", "MaxBurstLength", "16777215", "16776192"},
    {"max_burst_16777216", "MaxBurstLength", "16777216", "Reject"},
    {"max_burst_beyond_32_bits", "MaxBurstLength", "4294967808", "Reject"},
    {"max_burst_hex", "MaxBurstLength", "0x400", "1024"},
    {"max_burst_hex_upper", "MaxBurstLength", "0XFF00", "65280"},
    {"max_burst_trailing_space", "MaxBurstLength", "1024 ", "Reject"},
    {"max_burst_leading_plus", "MaxBurstLength", "+1024", "Reject"},
    {"max_burst_leading_zero", "MaxBurstLength", "01024", "1024"},
    // Section 13.14: minimum, and never beyond MaxBurstLength (262144 if nothing is offered).
    {"first_burst_511", "FirstBurstLength", "511", "Reject"},
    {"first_burst_512", "FirstBurstLength", "512", "512"},
    {"first_burst_65536", "FirstBurstLength", "65536", "65536"},
    {"first_burst_beyond", "FirstBurstLength", "16777215", "262144"},
    {"first_burst_16777216", "FirstBurstLength", "16777216", "Reject"},
    // Section 13.15: maximum; ours is 0.
    {"time2wait_0", "DefaultTime2Wait", "0", "0"},
    {"time2wait_2", "DefaultTime2Wait", "2", "2"},
    {"time2wait_3600", "DefaultTime2Wait", "3600", "3600"},
    {"time2wait_3601", "DefaultTime2Wait", "3601", "Reject"},
    // Section 13.16: minimum; ours is 0.
    {"time2retain_0", "DefaultTime2Retain", "0", "0"},
    {"time2retain_20", "DefaultTime2Retain", "20", "0"},
    {"time2retain_3600", "DefaultTime2Retain", "3600", "0"},
    {"time2retain_3601", "DefaultTime2Retain", "3601", "Reject"},
    // Section 13.17: minimum; ours is 1.
    {"outstanding_0", "MaxOutstandingR2T", "0", "Reject"},
    {"outstanding_1", "MaxOutstandingR2T", "1", "1"},
    {"outstanding_16", "MaxOutstandingR2T", "16", "1"},
    {"outstanding_65535", "MaxOutstandingR2T", "65535", "1"},
    {"outstanding_65536", "MaxOutstandingR2T", "65536", "Reject"},
    // Sections 13.18 and 13.19: or; data only come in order.
    {"pdu_in_order_yes", "DataPDUInOrder", "Yes", "Yes"},
    {"pdu_in_order_no", "DataPDUInOrder", "No", "Yes"},
    {"pdu_in_order_bad", "DataPDUInOrder", "Maybe", "Reject"},
    {"sequence_in_order_yes", "DataSequenceInOrder", "Yes", "Yes"},
    {"sequence_in_order_no", "DataSequenceInOrder", "No", "Yes"},
    {"sequence_in_order_bad", "DataSequenceInOrder", "", "Reject"},
    // Section 13.20: minimum; ours is 0.
    {"recovery_0", "ErrorRecoveryLevel", "0", "0"},
    {"recovery_1", "ErrorRecoveryLevel", "1", "0"},
    {"recovery_2", "ErrorRecoveryLevel", "2", "0"},
    {"recovery_3", "ErrorRecoveryLevel", "3", "Reject"},
    // Section 13.22: what only operational texts of extensions define.
    {"private_key", "X-org.example.key", "1", "NotUnderstood"},
    {"public_key", "X#key", "1", "NotUnderstood"},
    {"unknown_key", "Shoesize", "44", "NotUnderstood"},
    {"unknown_key_of_63", std::string(63, 'K'), "", "NotUnderstood"},
    // Section 13.23.
    {"task_reporting_base", "TaskReporting", "RFC3720", "RFC3720"},
    {"task_reporting_list", "TaskReporting", "FastAbort,ResponseFence,RFC3720", "RFC3720"},
    {"task_reporting_unknown", "TaskReporting", "FastAbort", "Reject"},
    // RFC 7144 section 7.1.
    {"protocol_level_0", "iSCSIProtocolLevel", "0", "0"},
    {"protocol_level_1", "iSCSIProtocolLevel", "1", "1"},
    {"protocol_level_2", "iSCSIProtocolLevel", "2", "1"},
    {"protocol_level_31", "iSCSIProtocolLevel", "31", "1"},
    {"protocol_level_32", "iSCSIProtocolLevel", "32", "Reject"},
    // Section 13.25: obsolete.
    {"if_marker_yes", "IFMarker", "Yes", "No"},
    {"if_marker_no", "IFMarker", "No", "No"},
    {"if_marker_bad", "IFMarker", "2048", "Reject"},
    {"of_marker_yes", "OFMarker", "Yes", "No"},
    {"of_marker_no", "OFMarker", "No", "No"},
    {"if_mark_int", "IFMarkInt", "2048~8192", "Reject"},
    {"of_mark_int", "OFMarkInt", "2048", "Reject"},
    // Keys that are not the initiator's, or not of this phase.
    {"send_targets", "SendTargets", "All", "Reject"},
    {"target_alias", "TargetAlias", "mine", "Reject"},
    {"target_address", "TargetAddress", "10.0.0.1:3260,1", "Reject"},
    {"auth_method_after_security", "AuthMethod", "None", "Reject"},
    {"chap_after_security", "CHAP_A", "5", "Reject"},
    {"initiator_alias", "InitiatorAlias", "web01", "<none>"},
    {"session_type", "SessionType", "Normal", "<none>"},
};
INSTANTIATE_TEST_SUITE_P(Keys, NormalNegotiation, testing::ValuesIn(normal_cases), name_of);

class DiscoveryNegotiation : public testing::TestWithParam<NegotiationCase> {};
TEST_P(DiscoveryNegotiation, IsAnsweredSo) {
    expect_answer(discovery_session(), GetParam());
}

// Section 13: "Irrelevant when: SessionType=Discovery".
const std::vector<NegotiationCase> discovery_cases = {
    {"max_connections", "MaxConnections", "1", "Irrelevant"},
    {"initial_r2t", "InitialR2T", "Yes", "Irrelevant"},
    {"immediate_data", "ImmediateData", "No", "Irrelevant"},
    {"max_burst", "MaxBurstLength", "512", "Irrelevant"},
    {"first_burst", "FirstBurstLength", "512", "Irrelevant"},
    {"outstanding", "MaxOutstandingR2T", "1", "Irrelevant"},
    {"pdu_in_order", "DataPDUInOrder", "Yes", "Irrelevant"},
    {"sequence_in_order", "DataSequenceInOrder", "Yes", "Irrelevant"},
    {"task_reporting", "TaskReporting", "RFC3720", "Irrelevant"},
    {"header_digest", "HeaderDigest", "CRC32C", "CRC32C"},
    {"data_digest", "DataDigest", "None", "None"},
    {"segment", "MaxRecvDataSegmentLength", "65536", "262144"},
    {"time2wait", "DefaultTime2Wait", "5", "5"},
    {"time2retain", "DefaultTime2Retain", "5", "0"},
    {"recovery", "ErrorRecoveryLevel", "2", "0"},
    {"unknown_key", "X-a", "1", "NotUnderstood"},
};
INSTANTIATE_TEST_SUITE_P(Keys, DiscoveryNegotiation, testing::ValuesIn(discovery_cases), name_of);

/// Whole logins that end with a status.
struct StatusCase {
    std::string name;
    std::uint8_t flags;
    KeyValues keys;
    LoginStatus status;
};
void PrintTo(const StatusCase& row, std::ostream* out) {
    *out << row.name;
}
class LoginStatusCases : public testing::TestWithParam<StatusCase> {};
TEST_P(LoginStatusCases, EndSo) {
    for (const std::size_t cut : {0U, 1U}) {
        Script script(cut);
        const auto answers = script.login(GetParam().flags, GetParam().keys);
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<LoginResponse>().status.get(),
                  static_cast<std::uint16_t>(GetParam().status));
        EXPECT_EQ(script.connection.in_full_feature_phase(),
                  GetParam().status == LoginStatus::success);
    }
}

KeyValues with(const KeyValues& more) {
    KeyValues keys = normal_session();
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
}
const std::string name_of_223(std::string("iqn.2026-01.org.example:") + std::string(199, 'x'));

const std::vector<StatusCase> status_cases = {
    {"one_step", operational_to_full_feature, normal_session(), LoginStatus::success},
    {"security_alone", security_to_full_feature, normal_session(), LoginStatus::success},
    {"security_none", security_to_full_feature, with({{"AuthMethod", "None"}}),
     LoginStatus::success},
    {"name_of_223",
     operational_to_full_feature,
     {{"InitiatorName", name_of_223}, {"TargetName", std::string(test_target)}},
     LoginStatus::success},
    {"name_of_224",
     operational_to_full_feature,
     {{"InitiatorName", name_of_223 + "x"}, {"TargetName", std::string(test_target)}},
     LoginStatus::initiator_error},
    {"target_of_224",
     operational_to_full_feature,
     {{"InitiatorName", std::string(test_initiator)}, {"TargetName", name_of_223 + "x"}},
     LoginStatus::initiator_error},
    {"alias_of_255", operational_to_full_feature, with({{"InitiatorAlias", std::string(255, 'a')}}),
     LoginStatus::success},
    {"alias_of_256", operational_to_full_feature, with({{"InitiatorAlias", std::string(256, 'a')}}),
     LoginStatus::initiator_error},
    {"target_name_twice", operational_to_full_feature,
     with({{"TargetName", std::string(test_target)}}), LoginStatus::initiator_error},
    {"session_type_twice", operational_to_full_feature,
     with({{"SessionType", "Normal"}, {"SessionType", "Normal"}}), LoginStatus::initiator_error},
    {"session_type_lower_case", operational_to_full_feature, with({{"SessionType", "normal"}}),
     LoginStatus::session_type_not_supported},
    {"discovery_with_target", operational_to_full_feature, with({{"SessionType", "Discovery"}}),
     LoginStatus::success},
    {"max_burst_twice", operational_to_full_feature,
     with({{"MaxBurstLength", "512"}, {"MaxBurstLength", "1024"}}), LoginStatus::initiator_error},
    {"unknown_key_twice", operational_to_full_feature, with({{"X-a", "1"}, {"X-a", "1"}}),
     LoginStatus::success},
    {"key_begins_with_digit", operational_to_full_feature, with({{"1Key", "1"}}),
     LoginStatus::initiator_error},
    {"key_with_space", operational_to_full_feature, with({{"Some Key", "1"}}),
     LoginStatus::initiator_error},
    {"empty_key", operational_to_full_feature, with({{"", "1"}}), LoginStatus::initiator_error},
    {"kerberos_only", security_to_full_feature, with({{"AuthMethod", "KRB5"}}),
     LoginStatus::authentication_failure},
    {"empty_auth_method", security_to_full_feature, with({{"AuthMethod", ""}}),
     LoginStatus::authentication_failure},
    {"auth_method_twice", security_to_full_feature,
     with({{"AuthMethod", "None"}, {"AuthMethod", "None"}}), LoginStatus::initiator_error},
    {"stage_0_to_0", 0x80, normal_session(), LoginStatus::initiator_error},
    {"stage_0_to_2", 0x82, normal_session(), LoginStatus::initiator_error},
    {"stage_1_to_0", 0x84, normal_session(), LoginStatus::initiator_error},
    {"stage_1_to_1", 0x85, normal_session(), LoginStatus::initiator_error},
    {"stage_1_to_2", 0x86, normal_session(), LoginStatus::initiator_error},
    {"stage_2_to_3", 0x8b, normal_session(), LoginStatus::initiator_error},
    {"stage_3_to_3", 0x8f, normal_session(), LoginStatus::initiator_error},
    {"stage_2_stays", 0x08, normal_session(), LoginStatus::initiator_error},
    {"stage_3_stays", 0x0c, normal_session(), LoginStatus::initiator_error},
    {"transit_while_continued", 0xc7, normal_session(), LoginStatus::initiator_error},
};
INSTANTIATE_TEST_SUITE_P(Logins, LoginStatusCases, testing::ValuesIn(status_cases),
                         [](const auto& row) { return row.param.name; });

/// Fields of the first request that have to stay as they are, or have one value.
struct FieldCase {
    std::string name;
    void (*change)(LoginRequest&);
    LoginStatus first, second;  ///< status of a login with the change, and of a change in between
};
void PrintTo(const FieldCase& row, std::ostream* out) {
    *out << row.name;
}
class LoginFields : public testing::TestWithParam<FieldCase> {};
TEST_P(LoginFields, AreHeld) {
    Script first;
    GetParam().change(first.login_request);
    const auto answers = first.login(operational_to_full_feature, normal_session());
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<LoginResponse>().status.get(),
              static_cast<std::uint16_t>(GetParam().first));

    Script second;
    ASSERT_EQ(second.login(0x04, normal_session()).size(), 1U);
    GetParam().change(second.login_request);
    const auto later = second.login(operational_to_full_feature, {});
    ASSERT_EQ(later.size(), 1U);
    EXPECT_EQ(later[0].as<LoginResponse>().status.get(),
              static_cast<std::uint16_t>(GetParam().second));
}
const std::vector<FieldCase> field_cases = {
    {"isid", [](LoginRequest& pdu) { pdu.isid[5] ^= 1; }, LoginStatus::success,
     LoginStatus::initiator_error},
    {"tsih", [](LoginRequest& pdu) { pdu.tsih = 0x1234; }, LoginStatus::session_does_not_exist,
     LoginStatus::initiator_error},
    {"cid", [](LoginRequest& pdu) { pdu.cid = 7; }, LoginStatus::success,
     LoginStatus::initiator_error},
    {"task_tag", [](LoginRequest& pdu) { pdu.initiator_task_tag = 0x99; }, LoginStatus::success,
     LoginStatus::initiator_error},
    {"version_min", [](LoginRequest& pdu) { pdu.version_min = 1; },
     LoginStatus::unsupported_version, LoginStatus::unsupported_version},
    {"version_max", [](LoginRequest& pdu) { pdu.version_max = 0xff; }, LoginStatus::success,
     LoginStatus::success},
    {"cmd_sn", [](LoginRequest& pdu) { pdu.cmd_sn = 0xffffffff; }, LoginStatus::success,
     LoginStatus::success},
    {"exp_stat_sn", [](LoginRequest& pdu) { pdu.exp_stat_sn = 0xdeadbeef; }, LoginStatus::success,
     LoginStatus::success},
};
INSTANTIATE_TEST_SUITE_P(Requests, LoginFields, testing::ValuesIn(field_cases),
                         [](const auto& row) { return row.param.name; });

/// Two offers of one request whose results depend on each other, in both orders.
TEST(Negotiation, FirstBurstLengthStaysWithinMaxBurstLength) {
    struct Row {
        std::string first, max, first_answer, max_answer;
    };
    const Row rows[] = {
        {"512", "1024", "512", "1024"},      {"1024", "1024", "1024", "1024"},
        {"65536", "1024", "1024", "1024"},   {"16777215", "16777215", "262144", "16776192"},
        {"65536", "511", "65536", "Reject"}, {"511", "1024", "Reject", "1024"},
        {"16777215", "512", "512", "512"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.first + " " + row.max);
        for (const bool first_comes_first : {true, false}) {
            KeyValues keys = normal_session();
            const std::pair<std::string, std::string> first{"FirstBurstLength", row.first};
            const std::pair<std::string, std::string> max{"MaxBurstLength", row.max};
            keys.push_back(first_comes_first ? first : max);
            keys.push_back(first_comes_first ? max : first);
            Script script;
            const auto answers = script.login(operational_to_full_feature, keys);
            ASSERT_EQ(answers.size(), 1U);
            EXPECT_EQ(value_of(answers[0], "FirstBurstLength"), row.first_answer);
            EXPECT_EQ(value_of(answers[0], "MaxBurstLength"), row.max_answer);
        }
    }
}

}  // namespace
}  // namespace cowtgt::iscsi
