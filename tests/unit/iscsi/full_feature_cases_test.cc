// Rules of full feature phase, RFC 7143 sections 4.2 and 11: PDUs in, PDUs out, each row a test by
// its name.

#include <gtest/gtest.h>

#include <iostream>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/iscsi/pdu_words.h"

namespace cowtgt::iscsi {
namespace {

struct Exchange {
    std::string send, answer;
};
struct FullFeatureCase {
    std::string name;
    KeyValues keys;  ///< what the login negotiates
    std::vector<Exchange> exchanges;
};
void PrintTo(const FullFeatureCase& row, std::ostream* out) {
    *out << row.name;
}

class FullFeatureCases : public testing::TestWithParam<FullFeatureCase> {};
TEST_P(FullFeatureCases, AreAnsweredSo) {
    WordScript script(GetParam().keys);
    for (const Exchange& exchange : GetParam().exchanges) {
        SCOPED_TRACE(exchange.send);
        EXPECT_EQ(script.send(exchange.send), exchange.answer);
    }
}

KeyValues data_keys(const char* initial_r2t, const char* immediate_data) {
    return {{"InitialR2T", initial_r2t},
            {"ImmediateData", immediate_data},
            {"FirstBurstLength", "512"},
            {"MaxBurstLength", "1024"}};
}
const KeyValues no_r2t = data_keys("No", "Yes");
const KeyValues no_immediate = data_keys("No", "No");
const KeyValues r2t_first = data_keys("Yes", "Yes");
const KeyValues all_solicited = data_keys("Yes", "No");
const KeyValues short_segments = {{"MaxRecvDataSegmentLength", "512"}, {"MaxBurstLength", "1024"}};
const KeyValues two_r2ts = {{"InitialR2T", "Yes"},
                            {"ImmediateData", "No"},
                            {"MaxBurstLength", "512"},
                            {"MaxOutstandingR2T", "2"}};
const KeyValues discovery = {{"SessionType", "Discovery"}};

// Sense codes of the transport: 0b/0c0c unexpected unsolicited data, 0b/0c0d not enough, 0b/4703
// CRC, 0b/4705 protocol service.
const std::vector<FullFeatureCase> data_cases = {
    // Data-In, sections 11.7 and 13.13.
    {"read", {}, {{"read 512", "data-in 81 dsn=0 0+512"}}},
    {"read_nothing", {}, {{"read 0", "status=0"}}},
    {"read_shorter", {}, {{"read 512 edtl=1024", "data-in 83 dsn=0 0+512 res=512"}}},
    {"read_longer", {}, {{"read 1024 edtl=512", "data-in 85 dsn=0 0+512 res=512"}}},
    {"read_of_no_expected", {}, {{"read 512 edtl=0", "status=0 84 res=512"}}},
    {"read_one_byte", {}, {{"read 1", "data-in 81 dsn=0 0+1"}}},
    {"read_without_r_bit", {}, {{"read 512 f=80", "status=0"}}},
    {"read_in_segments",
     short_segments,
     {{"read 1024", "data-in 00 dsn=0 0+512; data-in 81 dsn=1 512+512"}}},
    {"read_in_bursts",
     short_segments,
     {{"read 1536",
       "data-in 00 dsn=0 0+512; data-in 80 dsn=1 512+512; data-in 81 dsn=2 1024+512"}}},
    {"read_with_data", {}, {{"read 512 with=4", "status=2 82 res=512 sense=0b/0c0c"}}},
    {"read_that_fails", {}, {{"fail", "status=2"}}},
    // Data-Out: the four combinations of ImmediateData and InitialR2T.
    {"immediate_all", no_r2t, {{"write 512 with=512", "status=0"}}},
    {"immediate_part_rest_unsolicited",
     no_r2t,
     {{"write 512 with=100 f=20", "-"}, {"data 100 412", "status=0"}}},
    {"immediate_part_rest_solicited",
     r2t_first,
     {{"write 1024 with=100", "r2t 0 100+924"}, {"data 100 924 ttt=r2t", "status=0"}}},
    {"unsolicited_all", no_immediate, {{"write 512 f=20", "-"}, {"data 0 512", "status=0"}}},
    {"unsolicited_in_two",
     no_immediate,
     {{"write 512 f=20", "-"}, {"data 0 256 f=00", "-"}, {"data 256 256 dsn=1", "status=0"}}},
    {"unsolicited_shorter_than_first_burst",
     no_immediate,
     {{"write 1024 f=20", "-"},
      {"data 0 256", "r2t 0 256+768"},
      {"data 256 768 ttt=r2t", "status=0"}}},
    {"unsolicited_none_after_all", no_immediate, {{"write 512", "r2t 0 0+512"}}},
    {"solicited_all",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"}, {"data 0 1024 ttt=r2t", "status=0"}}},
    {"solicited_two_bursts",
     all_solicited,
     {{"write 2048", "r2t 0 0+1024"},
      {"data 0 1024 ttt=r2t", "r2t 1 1024+1024"},
      {"data 1024 1024 ttt=r2t", "status=0"}}},
    {"solicited_last_burst_short",
     all_solicited,
     {{"write 1100", "r2t 0 0+1024"},
      {"data 0 1024 ttt=r2t", "r2t 1 1024+76"},
      {"data 1024 76 ttt=r2t", "status=0"}}},
    {"solicited_in_pieces",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"data 512 511 ttt=r2t f=00 dsn=1", "-"},
      {"data 1023 1 ttt=r2t dsn=2", "status=0"}}},
    {"one_r2t_at_a_time", two_r2ts, {{"write 1024", "r2t 0 0+512"}}},
    {"write_nothing", no_r2t, {{"write 0", "status=0"}}},
    {"write_shorter_than_expected",
     no_r2t,
     {{"write 256 edtl=512 with=512", "status=0 82 res=256"}}},
    {"write_longer_than_expected",
     no_r2t,
     {{"write 1024 edtl=512 with=512", "status=0 84 res=512"}}},
    // What breaks the rules fails the command, not the session.
    {"immediate_not_agreed",
     no_immediate,
     {{"write 512 with=512", "status=2 82 res=512 sense=0b/0c0c"}}},
    {"unsolicited_not_agreed",
     r2t_first,
     {{"write 512 f=20", "-"}, {"data 0 512", "status=2 82 res=512 sense=0b/0c0c"}}},
    {"immediate_beyond_first_burst",
     no_r2t,
     {{"write 1024 with=513", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"immediate_beyond_expected",
     no_r2t,
     {{"write 512 edtl=100 with=101", "status=2 82 res=100 sense=0b/0c0d"}}},
    {"unsolicited_beyond_first_burst",
     no_immediate,
     {{"write 1024 f=20", "-"}, {"data 0 513", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"unsolicited_and_immediate_beyond_first_burst",
     no_r2t,
     {{"write 1024 with=512 f=20", "-"}, {"data 512 1", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"unsolicited_without_f_at_its_end",
     no_immediate,
     {{"write 1024 f=20", "-"},
      {"data 0 512 f=00", "-"},
      {"data 512 0 dsn=1", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"unsolicited_after_its_end",
     no_immediate,
     {{"write 1024 f=20", "-"},
      {"data 0 512", "r2t 0 512+512"},
      {"data 512 512", "-"},
      {"data 512 512 ttt=r2t", "status=2 82 res=1024 sense=0b/0c0c"}}},
    {"data_sn_skipped",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 1024 ttt=r2t dsn=1", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"data_sn_repeated",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"data 512 512 ttt=r2t", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"data_sn_all_ones",
     all_solicited,
     {{"write 512", "r2t 0 0+512"},
      {"data 0 512 ttt=r2t dsn=4294967295", "status=2 82 res=512 sense=0b/0c0d"}}},
    {"data_sn_begins_again_with_each_r2t",
     all_solicited,
     {{"write 2048", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"data 512 512 ttt=r2t dsn=1", "r2t 1 1024+1024"},
      {"data 1024 1024 ttt=r2t dsn=2", "status=2 82 res=2048 sense=0b/0c0d"}}},
    {"offset_skipped",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 512 512 ttt=r2t", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"offset_repeated",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"data 0 512 ttt=r2t dsn=1", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"f_too_early",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"f_too_late",
     all_solicited,
     {{"write 512", "r2t 0 0+512"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"data 512 0 ttt=r2t dsn=1", "status=2 82 res=512 sense=0b/0c0d"}}},
    {"beyond_the_r2t",
     all_solicited,
     {{"write 512 edtl=1024", "r2t 0 0+512"},
      {"data 0 1024 ttt=r2t", "status=2 82 res=1024 sense=0b/0c0d"}}},
    {"another_transfer_tag",
     all_solicited,
     {{"write 512", "r2t 0 0+512"}, {"data 0 512 ttt=7777", "status=2 82 res=512 sense=0b/0c0d"}}},
    {"data_of_no_task", {}, {{"data 0 512 itt=4711", "-"}, {"ping 4", "pong 4"}}},
    {"data_after_the_answer",
     no_r2t,
     {{"write 512 with=512", "status=0"}, {"data 0 512", "-"}, {"ping 0", "pong 0"}}},
};

const std::vector<FullFeatureCase> command_cases = {
    // Command numbering, section 4.2.2.1.
    {"number_too_high", {}, {{"read 512 sn=128", "-"}, {"ping 0", "pong 0"}}},
    {"number_last_of_window_waits", {}, {{"read 512 sn=127", "-"}, {"ping 0", "pong 0"}}},
    {"number_too_low", {}, {{"read 512 sn=-1", "-"}, {"read 512", "data-in 81 dsn=0 0+512"}}},
    {"number_far_away", {}, {{"read 512 sn=2147483648", "-"}, {"ping 0", "pong 0"}}},
    {"number_twice",
     {},
     {{"read 512", "data-in 81 dsn=0 0+512"}, {"read 512 sn=-1", "-"}, {"ping 0", "pong 0"}}},
    {"immediate_takes_no_number",
     {},
     {{"read 512 immediate", "data-in 81 dsn=0 0+512"}, {"read 512", "data-in 81 dsn=0 0+512"}}},
    {"immediate_number_does_not_matter",
     {},
     {{"ping 0 sn=4711 immediate", "pong 0"}, {"ping 0", "pong 0"}}},
    {"early_one_is_answered_in_order",
     {},
     {{"read 512 sn=1", "-"}, {"read 8", "data-in 81 dsn=0 0+8; data-in 81 dsn=0 0+512"}}},
    {"early_ping_waits_too", {}, {{"ping 5 sn=1", "-"}, {"ping 4", "pong 4; pong 5"}}},
    {"early_one_after_an_abort_of_the_missing",
     {},
     {{"read 512 sn=1", "-"},
      {"abort ref=99 refsn=0 sn=2 immediate", "function=0; data-in 81 dsn=0 0+512"}}},
    // Task tags, section 11.2.1.8.
    {"tag_in_use", {}, {{"hold itt=5", "-"}, {"read 512 itt=5", "reject=07"}}},
    {"tag_used_again", {}, {{"read 8 itt=5", "data-in 81 dsn=0 0+8"}, {"hold itt=5", "-"}}},
    {"tag_reserved", {}, {{"read 512 itt=ffffffff", "reject=09"}}},
    // Additional header segments, section 11.2.2: length, type, reserved, content.
    {"extended_cdb", {}, {{"read 512 ahs=0005010000000000", "data-in 81 dsn=0 0+512"}}},
    {"bidirectional_length",
     {},
     {{"read 8 f=e0 edtl=0 ahs=0005020000000008", "data-in 81 dsn=0 0+8"}}},
    {"unknown_additional_header", {}, {{"read 512 ahs=0005030000000000", "reject=09"}}},
    {"additional_header_too_long", {}, {{"read 512 ahs=00ff010000000000", "reject=09"}}},
    {"additional_header_of_no_length", {}, {{"read 512 ahs=0000010000000000", "reject=09"}}},
    // Pings, section 11.18.
    {"ping_empty", {}, {{"ping 0", "pong 0"}}},
    {"ping_of_one", {}, {{"ping 1", "pong 1"}}},
    {"ping_of_4096", {}, {{"ping 4096", "pong 4096"}}},
    {"ping_cut_to_the_initiators_length", short_segments, {{"ping 600", "pong 512"}}},
    {"ping_without_answer", {}, {{"ping 4 itt=ffffffff immediate", "-"}}},
    {"ping_answer_of_ours", {}, {{"ping 0 itt=ffffffff ttt=5 immediate", "-"}}},
    // Task management, section 11.5.
    {"abort_a_task", {}, {{"hold", "-"}, {"abort immediate", "function=0"}}},
    {"abort_what_is_answered",
     {},
     {{"read 8", "data-in 81 dsn=0 0+8"}, {"abort immediate", "function=1"}}},
    {"abort_what_never_was", {}, {{"abort ref=1234 refsn=-1 immediate", "function=1"}}},
    {"abort_what_has_not_come",
     {},
     {{"abort ref=1234 refsn=0 sn=1 immediate", "function=0"}, {"read 8", "-"}}},
    {"abort_a_write_between_its_data",
     all_solicited,
     {{"write 1024", "r2t 0 0+1024"},
      {"data 0 512 ttt=r2t f=00", "-"},
      {"abort immediate", "function=0"},
      {"data 512 512 ttt=r2t dsn=1", "-"},
      {"ping 0", "pong 0"}}},
    {"abort_task_set", {}, {{"function 2 immediate", "function=0"}}},
    {"clear_aca", {}, {{"function 3 immediate", "function=0"}}},
    {"clear_task_set", {}, {{"function 4 immediate", "function=0"}}},
    {"logical_unit_reset", {}, {{"function 5 immediate", "function=0"}}},
    {"target_warm_reset", {}, {{"function 6 immediate", "function=0"}}},
    {"target_cold_reset", {}, {{"function 7 immediate", "function=0"}}},
    {"reassign_needs_level_2", {}, {{"function 8 immediate", "function=4"}}},
    {"function_0", {}, {{"function 0 immediate", "reject=09"}}},
    {"function_9", {}, {{"function 9 immediate", "reject=09"}}},
    {"function_in_its_turn", {}, {{"function 5", "function=0"}, {"ping 0", "pong 0"}}},
    // What is not for ErrorRecoveryLevel 0, or not for this phase: sections 11.16 and 11.17.
    {"snack", {}, {{"snack immediate", "reject=03"}, {"ping 0", "pong 0"}}},
    {"login_again", {}, {{"login immediate", "reject=04"}, {"ping 0", "pong 0"}}},
    {"opcode_07", {}, {{"opcode 7 immediate", "reject=05"}}},
    {"opcode_1c", {}, {{"opcode 28 immediate", "reject=05"}}},
    {"opcode_of_a_target", {}, {{"opcode 32 immediate", "reject=05"}}},
    {"opcode_3f", {}, {{"opcode 63 immediate", "reject=05"}, {"ping 0", "pong 0"}}},
    // Logout, section 11.14.
    {"logout_session", {}, {{"logout 0", "logout=0; closed"}}},
    {"logout_connection", {}, {{"logout 1", "logout=0; closed"}}},
    {"logout_another_connection", {}, {{"logout 1 cid=7", "logout=1"}, {"ping 0", "pong 0"}}},
    {"logout_for_recovery", {}, {{"logout 2", "logout=2"}, {"ping 0", "pong 0"}}},
    {"logout_reason_3", {}, {{"logout 3", "reject=09"}, {"ping 0", "pong 0"}}},
    {"logout_immediate", {}, {{"logout 0 immediate", "logout=0; closed"}}},
};

const std::vector<FullFeatureCase> text_cases = {
    // Section 11.10; keys of full feature phase, section 13.
    {"empty", {}, {{"text", "text 80 "}}},
    {"unknown_key", {}, {{"text X-a=1;", "text 80 X-a=NotUnderstood;"}}},
    {"two_unknown_keys", {}, {{"text X-a=1;Y=2;", "text 80 X-a=NotUnderstood;Y=NotUnderstood;"}}},
    {"login_key", {}, {{"text InitialR2T=Yes;", "text 80 InitialR2T=Reject;"}}},
    {"digest_key", {}, {{"text HeaderDigest=None;", "text 80 HeaderDigest=Reject;"}}},
    {"name_key", {}, {{"text TargetName=a;", "text 80 TargetName=Reject;"}}},
    {"alias", {}, {{"text InitiatorAlias=web01;", "text 80 "}}},
    {"segment_length",
     {},
     {{"text MaxRecvDataSegmentLength=512;", "text 80 "},
      {"read 1024", "data-in 00 dsn=0 0+512; data-in 81 dsn=1 512+512"}}},
    {"segment_length_511",
     {},
     {{"text MaxRecvDataSegmentLength=511;", "text 80 MaxRecvDataSegmentLength=Reject;"}}},
    {"segment_length_text",
     {},
     {{"text MaxRecvDataSegmentLength=big;", "text 80 MaxRecvDataSegmentLength=Reject;"}}},
    {"send_targets_lower_case", {}, {{"text sENDtARGETS=All;", "reject=04"}}},
    {"send_targets_other_value", {}, {{"text SendTargets=Alle;", "text 80 SendTargets=Reject;"}}},
    {"send_targets_please",
     {},
     {{"text SendTargetsPlease=All;", "text 80 SendTargetsPlease=NotUnderstood;"}}},
    {"send_targets_of_another", {}, {{"text SendTargets=iqn.x;", "text 80 SendTargets=Reject;"}}},
    {"without_equals", {}, {{"text Key;", "reject=04"}, {"ping 0", "pong 0"}}},
    {"without_end", {}, {{"text X-a=1", "reject=04"}, {"ping 0", "pong 0"}}},
    {"empty_key", {}, {{"text =1;", "reject=04"}}},
    {"f_and_c", {}, {{"text X-a=1; f=c0", "reject=04"}}},
    {"transfer_tag_of_none", {}, {{"text X-a=1; ttt=77", "reject=04"}}},
    {"discovery_without_targets", discovery, {{"text SendTargets=All;", "text 80 "}}},
    {"discovery_of_empty_value",
     discovery,
     {{"text SendTargets=;", "text 80 SendTargets=Reject;"}}},
    {"discovery_ping", discovery, {{"ping 3", "pong 3"}}},
    {"discovery_has_no_commands", discovery, {{"read 512", "reject=04"}, {"ping 0", "pong 0"}}},
    {"discovery_has_no_functions", discovery, {{"function 5 immediate", "reject=04"}}},
    {"discovery_has_no_data", discovery, {{"data 0 512", "reject=04"}}},
    {"discovery_logout", discovery, {{"logout 0", "logout=0; closed"}}},
};

std::string name_of(const testing::TestParamInfo<FullFeatureCase>& row) {
    return row.param.name;
}
INSTANTIATE_TEST_SUITE_P(Data, FullFeatureCases, testing::ValuesIn(data_cases), name_of);
INSTANTIATE_TEST_SUITE_P(Commands, FullFeatureCases, testing::ValuesIn(command_cases), name_of);
INSTANTIATE_TEST_SUITE_P(Texts, FullFeatureCases, testing::ValuesIn(text_cases), name_of);

/// The rows of all tables about login and full feature phase, here and in the files beside.
TEST(Cases, AreMoreThanTwoHundred) {
    const std::set<std::string> login_tables = {
        "Keys/NormalNegotiation", "Keys/DiscoveryNegotiation", "Logins/LoginStatusCases",
        "Requests/LoginFields", "Table/ChapRefusals"};
    const std::set<std::string> full_feature_tables = {
        "Data/FullFeatureCases", "Commands/FullFeatureCases", "Texts/FullFeatureCases"};
    int login = 0, full_feature = 0;
    const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
    for (int i = 0; i < tests.total_test_suite_count(); ++i) {
        const testing::TestSuite& suite = *tests.GetTestSuite(i);
        if (login_tables.contains(suite.name())) login += suite.total_test_count();
        if (full_feature_tables.contains(suite.name())) full_feature += suite.total_test_count();
    }
    std::cout << login << " login cases, " << full_feature << " full feature cases\n";
    EXPECT_GE(login, 150);
    EXPECT_GE(full_feature, 100);
}

}  // namespace
}  // namespace cowtgt::iscsi
