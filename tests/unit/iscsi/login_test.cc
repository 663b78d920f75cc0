#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>

#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

const std::string initiator(test_initiator);
const std::string target(test_target);
const KeyValues names = {
    {"InitiatorName", initiator}, {"TargetName", target}, {"SessionType", "Normal"}};

KeyValues with_names(const KeyValues& keys) {
    KeyValues all = names;
    all.insert(all.end(), keys.begin(), keys.end());
    return all;
}

// T, CSG, NSG.
constexpr std::uint8_t security_to_operational = 0x81;
constexpr std::uint8_t security_to_full_feature = 0x83;
constexpr std::uint8_t operational_to_full_feature = 0x87;
constexpr std::uint8_t in_security = 0x00;
constexpr std::uint8_t in_operational = 0x04;
constexpr std::uint8_t continued = 0x40;

/// Every test runs with whole PDUs and byte by byte.
class LoginTest : public testing::TestWithParam<std::size_t> {
protected:
    void expect_refused(const std::vector<ReceivedPdu>& answers, LoginStatus status) {
        ASSERT_EQ(answers.size(), 1U);
        ASSERT_EQ(answers[0].header.opcode(), opcode::login_response);
        const auto response = answers[0].as<LoginResponse>();
        EXPECT_EQ(response.status.get(), static_cast<std::uint16_t>(status));
        EXPECT_EQ(response.flags & LoginRequest::flag_transit, 0);
        EXPECT_EQ(response.initiator_task_tag.get(), 0x77U);
        ASSERT_EQ(script.owner.closes.size(), 1U);
        EXPECT_EQ(script.owner.closes[0].kind, CloseReason::Kind::login_refused);
        EXPECT_FALSE(script.connection.in_full_feature_phase());
        EXPECT_FALSE(script.connection.takes_input());
    }

    Script script{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Cuts, LoginTest, testing::Values(0, 1, 7));

LoginResponse response_of(const std::vector<ReceivedPdu>& answers) {
    EXPECT_EQ(answers.size(), 1U);
    return answers.empty() ? LoginResponse{} : answers[0].as<LoginResponse>();
}

// ipxe: two requests, security first (facts of its source and of a capture).
TEST_P(LoginTest, IpxeLogsInInTwoSteps) {
    script.login_request.isid = {0x40, 0x00, 0x27, 0x23, 0x12, 0x34};
    script.login_request.cmd_sn = 0;
    auto answers = script.login(security_to_operational, {{"InitiatorName", initiator},
                                                          {"TargetName", target},
                                                          {"SessionType", "Normal"},
                                                          {"AuthMethod", "None"}});
    auto response = response_of(answers);
    EXPECT_EQ(response.status.get(), 0);
    EXPECT_EQ(response.flags, security_to_operational);
    EXPECT_EQ(response.tsih.get(), 0);
    EXPECT_EQ(answers[0].text(),
              text_of_keys({{"TargetPortalGroupTag", "1"}, {"AuthMethod", "None"}}));

    answers = script.login(operational_to_full_feature, {{"HeaderDigest", "None"},
                                                         {"DataDigest", "None"},
                                                         {"MaxConnections", "1"},
                                                         {"InitialR2T", "Yes"},
                                                         {"ImmediateData", "No"},
                                                         {"MaxRecvDataSegmentLength", "8192"},
                                                         {"MaxBurstLength", "262144"},
                                                         {"FirstBurstLength", "65536"},
                                                         {"DefaultTime2Wait", "0"},
                                                         {"DefaultTime2Retain", "0"},
                                                         {"MaxOutstandingR2T", "1"},
                                                         {"DataPDUInOrder", "Yes"},
                                                         {"DataSequenceInOrder", "Yes"},
                                                         {"ErrorRecoveryLevel", "0"}});
    response = response_of(answers);
    EXPECT_EQ(response.flags, operational_to_full_feature);
    EXPECT_EQ(response.tsih.get(), 7);
    EXPECT_EQ(response.stat_sn.get(), 1U);
    EXPECT_EQ(response.isid, script.login_request.isid);
    EXPECT_EQ(answers[0].text(), text_of_keys({{"MaxRecvDataSegmentLength", "262144"},
                                               {"HeaderDigest", "None"},
                                               {"DataDigest", "None"},
                                               {"MaxConnections", "1"},
                                               {"InitialR2T", "Yes"},
                                               {"ImmediateData", "No"},
                                               {"MaxBurstLength", "262144"},
                                               {"DefaultTime2Wait", "0"},
                                               {"DefaultTime2Retain", "0"},
                                               {"MaxOutstandingR2T", "1"},
                                               {"DataPDUInOrder", "Yes"},
                                               {"DataSequenceInOrder", "Yes"},
                                               {"ErrorRecoveryLevel", "0"},
                                               {"FirstBurstLength", "65536"}}));
    EXPECT_EQ(script.owner.events,
              (std::vector<std::string>{"login requested", "session wanted", "session started"}));
    EXPECT_EQ(script.connection.tsih(), 7);
}

/// The one request of open-iscsi 2.1.8.
KeyValues open_iscsi_keys(const std::string& digest, const std::string& max_burst,
                          const std::string& first_burst) {
    return {{"InitiatorName", initiator},
            {"InitiatorAlias", "web01"},
            {"TargetName", target},
            {"SessionType", "Normal"},
            {"HeaderDigest", digest},
            {"DataDigest", digest},
            {"DefaultTime2Wait", "2"},
            {"DefaultTime2Retain", "0"},
            {"IFMarker", "No"},
            {"OFMarker", "No"},
            {"ErrorRecoveryLevel", "0"},
            {"InitialR2T", "No"},
            {"ImmediateData", "Yes"},
            {"MaxBurstLength", max_burst},
            {"FirstBurstLength", first_burst},
            {"MaxOutstandingR2T", "1"},
            {"MaxConnections", "1"},
            {"DataPDUInOrder", "Yes"},
            {"DataSequenceInOrder", "Yes"},
            {"MaxRecvDataSegmentLength", "262144"}};
}

TEST_P(LoginTest, IscsistartLogsInInOneStep) {
    script.login_request.cmd_sn = 0;
    const auto answers =
        script.login(operational_to_full_feature, open_iscsi_keys("None", "16776192", "262144"));
    const auto response = response_of(answers);
    EXPECT_EQ(response.status.get(), 0);
    EXPECT_EQ(response.flags, operational_to_full_feature);
    EXPECT_EQ(response.exp_cmd_sn.get(), 0U);
    EXPECT_EQ(response.max_cmd_sn.get(), 127U);
    EXPECT_EQ(answers[0].text(), text_of_keys({{"TargetPortalGroupTag", "1"},
                                               {"MaxRecvDataSegmentLength", "262144"},
                                               {"HeaderDigest", "None"},
                                               {"DataDigest", "None"},
                                               {"DefaultTime2Wait", "2"},
                                               {"DefaultTime2Retain", "0"},
                                               {"IFMarker", "No"},
                                               {"OFMarker", "No"},
                                               {"ErrorRecoveryLevel", "0"},
                                               {"InitialR2T", "No"},
                                               {"ImmediateData", "Yes"},
                                               {"MaxBurstLength", "16776192"},
                                               {"MaxOutstandingR2T", "1"},
                                               {"MaxConnections", "1"},
                                               {"DataPDUInOrder", "Yes"},
                                               {"DataSequenceInOrder", "Yes"},
                                               {"FirstBurstLength", "262144"}}));
    EXPECT_EQ(script.owner.login.initiator_alias, "web01");
    EXPECT_EQ(script.connection.login_info().target_name, target);
}

TEST_P(LoginTest, IscsidTakesASessionOverWithTheOldCmdSn) {
    script.login_request.cmd_sn = 1366;
    const auto answers = script.login(operational_to_full_feature,
                                      open_iscsi_keys("None,CRC32C", "262144", "65536"));
    const auto response = response_of(answers);
    EXPECT_EQ(response.exp_cmd_sn.get(), 1366U);
    EXPECT_EQ(value_of(answers[0], "HeaderDigest"), "None");
    EXPECT_EQ(value_of(answers[0], "FirstBurstLength"), "65536");
    NopOut ping{};
    ping.initiator_task_tag = 1;
    ping.target_transfer_tag = reserved_tag;
    ping.cmd_sn = 1366;
    const auto pongs = script.send(ping);
    ASSERT_EQ(pongs.size(), 1U);
    EXPECT_EQ(pongs[0].as<NopIn>().exp_cmd_sn.get(), 1367U);
}

// libiscsi negotiates in two steps and offers every digest order.
TEST_P(LoginTest, LibiscsiLogsIn) {
    script.login_request.isid = {0x80, 0x12, 0x34, 0x56, 0x00, 0x00};
    auto answers = script.login(security_to_operational, {{"InitiatorName", initiator},
                                                          {"InitiatorAlias", "libiscsi"},
                                                          {"TargetName", target},
                                                          {"SessionType", "Normal"},
                                                          {"AuthMethod", "None"}});
    EXPECT_EQ(response_of(answers).flags, security_to_operational);
    script.digests.header = true;
    answers = script.login(operational_to_full_feature, {{"HeaderDigest", "CRC32C,None"},
                                                         {"DataDigest", "None"},
                                                         {"InitialR2T", "No"},
                                                         {"ImmediateData", "Yes"},
                                                         {"MaxBurstLength", "262144"},
                                                         {"FirstBurstLength", "262144"},
                                                         {"MaxRecvDataSegmentLength", "262144"},
                                                         {"DefaultTime2Wait", "2"},
                                                         {"DefaultTime2Retain", "0"},
                                                         {"ErrorRecoveryLevel", "0"},
                                                         {"IFMarker", "No"},
                                                         {"OFMarker", "No"},
                                                         {"MaxConnections", "1"},
                                                         {"MaxOutstandingR2T", "1"},
                                                         {"DataPDUInOrder", "Yes"},
                                                         {"DataSequenceInOrder", "Yes"}});
    EXPECT_EQ(response_of(answers).flags, operational_to_full_feature);
    EXPECT_EQ(value_of(answers[0], "HeaderDigest"), "CRC32C");
    const auto pongs = script.send([] {
        NopOut ping{};
        ping.opcode = opcode::nop_out | opcode::immediate;
        ping.initiator_task_tag = 3;
        ping.target_transfer_tag = reserved_tag;
        return ping;
    }());
    ASSERT_EQ(pongs.size(), 1U);  // both directions carry header digests now
}

TEST_P(LoginTest, DiscoveryDeclaresNoPortalGroup) {
    const auto answers =
        script.login(operational_to_full_feature, {{"InitiatorName", initiator},
                                                   {"InitiatorAlias", "web01"},
                                                   {"SessionType", "Discovery"},
                                                   {"HeaderDigest", "None"},
                                                   {"DataDigest", "None"},
                                                   {"DefaultTime2Wait", "2"},
                                                   {"DefaultTime2Retain", "0"},
                                                   {"IFMarker", "No"},
                                                   {"OFMarker", "No"},
                                                   {"ErrorRecoveryLevel", "0"},
                                                   {"DataSequenceInOrder", "Yes"},
                                                   {"FirstBurstLength", "512"},
                                                   {"MaxRecvDataSegmentLength", "32768"}});
    EXPECT_EQ(response_of(answers).status.get(), 0);
    EXPECT_EQ(value_of(answers[0], "TargetPortalGroupTag"), "<none>");
    EXPECT_EQ(value_of(answers[0], "MaxRecvDataSegmentLength"), "262144");
    EXPECT_EQ(value_of(answers[0], "DataSequenceInOrder"), "Irrelevant");
    EXPECT_EQ(value_of(answers[0], "FirstBurstLength"), "Irrelevant");
    EXPECT_EQ(script.owner.login.session_type, SessionType::discovery);
    EXPECT_EQ(script.owner.login.target_name, "");
}

TEST_P(LoginTest, TheAliasOfTheTargetIsDeclared) {
    script.owner.decision.target_alias = "Web server";
    script.owner.decision.target_portal_group_tag = 3;
    const auto answers = script.login(operational_to_full_feature, names);
    EXPECT_EQ(value_of(answers[0], "TargetAlias"), "Web server");
    EXPECT_EQ(value_of(answers[0], "TargetPortalGroupTag"), "3");
}

TEST_P(LoginTest, SecurityMayLeadStraightToFullFeature) {
    const auto answers = script.login(security_to_full_feature, names);
    EXPECT_EQ(response_of(answers).flags, security_to_full_feature);
    EXPECT_EQ(value_of(answers[0], "MaxRecvDataSegmentLength"), "262144");
    EXPECT_TRUE(script.connection.in_full_feature_phase());
}

TEST_P(LoginTest, StagesMayTakeSeveralRequests) {
    EXPECT_EQ(response_of(script.login(in_security, names)).flags, in_security);
    EXPECT_EQ(response_of(script.login(in_security, {{"AuthMethod", "CHAP,None"}})).flags,
              in_security);
    EXPECT_EQ(response_of(script.login(security_to_operational, {})).flags,
              security_to_operational);
    EXPECT_EQ(response_of(script.login(in_operational, {{"InitialR2T", "No"}})).flags,
              in_operational);
    const auto last = response_of(script.login(operational_to_full_feature, {}));
    EXPECT_EQ(last.flags, operational_to_full_feature);
    EXPECT_EQ(last.stat_sn.get(), 4U);
}

TEST_P(LoginTest, KeysMayBeSplitOverRequests) {
    const std::string text = text_of_keys(with_names({{"InitialR2T", "No"}}));
    for (std::size_t split = 1; split < text.size(); split += 11) {
        SCOPED_TRACE(split);
        Script split_script(GetParam());
        auto request = split_script.login_request;
        request.flags = in_operational | continued;
        const auto first =
            split_script.send(request, bytes_of(std::string_view(text).substr(0, split)));
        EXPECT_EQ(response_of(first).flags, in_operational);
        EXPECT_TRUE(first[0].data.empty());
        request.flags = operational_to_full_feature;
        const auto second =
            split_script.send(request, bytes_of(std::string_view(text).substr(split)));
        EXPECT_EQ(response_of(second).flags, operational_to_full_feature);
        EXPECT_EQ(value_of(second[0], "InitialR2T"), "No");
    }
}

TEST_P(LoginTest, ALongAnswerComesInPieces) {
    KeyValues unknown;
    std::string expected =
        text_of_keys({{"TargetPortalGroupTag", "1"}, {"MaxRecvDataSegmentLength", "262144"}});
    for (int i = 0; i < 700; ++i) {
        unknown.push_back({"X-" + std::to_string(i), ""});
        expected += "X-" + std::to_string(i) + "=NotUnderstood" + '\0';
    }
    auto answers = script.login(operational_to_full_feature, with_names(unknown));
    std::string text;
    int requests = 1;
    while (response_of(answers).flags == (in_operational | continued)) {
        EXPECT_EQ(answers[0].data.size(), 8192U);
        text += answers[0].text();
        answers = script.login(operational_to_full_feature, {});
        ASSERT_LT(++requests, 10);
    }
    text += answers[0].text();
    EXPECT_EQ(response_of(answers).flags, operational_to_full_feature);
    EXPECT_EQ(text, expected);
    EXPECT_EQ(requests, 2);
}

TEST_P(LoginTest, UnknownKeysAreNotUnderstood) {
    const auto answers =
        script.login(operational_to_full_feature,
                     with_names({{"X-com.example.key", "1"}, {"X#tag", "2"}, {"Unknown", "3"}}));
    EXPECT_EQ(value_of(answers[0], "X-com.example.key"), "NotUnderstood");
    EXPECT_EQ(value_of(answers[0], "X#tag"), "NotUnderstood");
    EXPECT_EQ(value_of(answers[0], "Unknown"), "NotUnderstood");
    EXPECT_TRUE(script.connection.in_full_feature_phase());
}

TEST_P(LoginTest, TheOwnerMayAnswerLater) {
    script.owner.answers_login_later = true;
    EXPECT_TRUE(script.login(operational_to_full_feature, names).empty());
    EXPECT_FALSE(script.connection.takes_input());
    script.connection.decide_login({});
    EXPECT_TRUE(script.output().empty());
    EXPECT_FALSE(script.connection.takes_input());
    script.connection.finish_login(LoginStatus::success, 9);
    EXPECT_EQ(response_of(script.output()).tsih.get(), 9);
    EXPECT_TRUE(script.connection.takes_input());
}

struct RefusalCase {
    const char* what;
    LoginStatus status;
    std::uint8_t flags;
    KeyValues keys;
};

TEST_P(LoginTest, RefusalsHaveTheirStatus) {
    const std::string long_name = "iqn.2026-01.org.example:" + std::string(200, 'x');
    const std::vector<RefusalCase> cases = {
        {"no InitiatorName", LoginStatus::missing_parameter, 0x87, {{"TargetName", target}}},
        {"no TargetName", LoginStatus::missing_parameter, 0x87, {{"InitiatorName", initiator}}},
        {"nothing at all", LoginStatus::missing_parameter, 0x87, {}},
        {"empty InitiatorName",
         LoginStatus::missing_parameter,
         0x87,
         {{"InitiatorName", ""}, {"TargetName", target}}},
        {"long InitiatorName",
         LoginStatus::initiator_error,
         0x87,
         {{"InitiatorName", long_name}, {"TargetName", target}}},
        {"unknown SessionType",
         LoginStatus::session_type_not_supported,
         0x87,
         {{"InitiatorName", initiator}, {"TargetName", target}, {"SessionType", "Boot"}}},
        {"InitiatorName twice", LoginStatus::initiator_error, 0x87,
         with_names({{"InitiatorName", initiator}})},
        {"a key twice", LoginStatus::initiator_error, 0x87,
         with_names({{"HeaderDigest", "None"}, {"HeaderDigest", "None"}})},
        {"MaxRecvDataSegmentLength twice", LoginStatus::initiator_error, 0x87,
         with_names({{"MaxRecvDataSegmentLength", "512"}, {"MaxRecvDataSegmentLength", "512"}})},
        {"a key in lower case", LoginStatus::initiator_error, 0x87,
         with_names({{"headerDigest", "None"}})},
        {"a key name too long", LoginStatus::initiator_error, 0x87,
         with_names({{std::string(64, 'K'), "None"}})},
        {"only CHAP", LoginStatus::authentication_failure, 0x81,
         with_names({{"AuthMethod", "CHAP"}})},
        {"no AuthMethod of ours", LoginStatus::authentication_failure, 0x81,
         with_names({{"AuthMethod", "KRB5,SRP"}})},
        {"reserved current stage", LoginStatus::initiator_error, 0x8b, names},
        {"current stage full feature", LoginStatus::initiator_error, 0x8f, names},
        {"reserved next stage", LoginStatus::initiator_error, 0x82, names},
        {"next stage operational from operational", LoginStatus::initiator_error, 0x85, names},
        {"next stage security", LoginStatus::initiator_error, 0x84, names},
        {"T and C together", LoginStatus::initiator_error, 0xc7, names},
    };
    for (const RefusalCase& row : cases) {
        SCOPED_TRACE(row.what);
        Script fresh(GetParam());
        const auto answers = fresh.login(row.flags, row.keys);
        const auto response = response_of(answers);
        EXPECT_EQ(response.status.get(), static_cast<std::uint16_t>(row.status));
        EXPECT_EQ(response.flags, 0);
        ASSERT_EQ(fresh.owner.closes.size(), 1U);
        EXPECT_EQ(fresh.owner.closes[0].kind, CloseReason::Kind::login_refused);
        EXPECT_FALSE(fresh.owner.closes[0].text.empty());
    }
}

TEST_P(LoginTest, RefusesTextWithoutItsEnd) {
    auto request = script.login_request;
    request.flags = operational_to_full_feature;
    expect_refused(script.send(request, bytes_of("InitiatorName=iqn.x")),
                   LoginStatus::initiator_error);
}

TEST_P(LoginTest, RefusesAnotherVersion) {
    script.login_request.version_max = 2;
    script.login_request.version_min = 1;
    expect_refused(script.login(operational_to_full_feature, names),
                   LoginStatus::unsupported_version);
}

TEST_P(LoginTest, AcceptsAHigherVersionMax) {
    script.login_request.version_max = 2;
    const auto response = response_of(script.login(operational_to_full_feature, names));
    EXPECT_EQ(response.status.get(), 0);
    EXPECT_EQ(response.version_max, 0);
    EXPECT_EQ(response.version_active, 0);
}

TEST_P(LoginTest, RefusesATsihOfNoSession) {
    script.login_request.tsih = 5;
    expect_refused(script.login(operational_to_full_feature, names),
                   LoginStatus::session_does_not_exist);
    EXPECT_EQ(script.owner.login.tsih, 5);
}

TEST_P(LoginTest, TheTsihOfASessionReinstatesItsConnection) {
    script.login_request.tsih = test_tsih;
    const auto response = response_of(script.login(operational_to_full_feature, names));
    EXPECT_EQ(response.status.get(), 0);
    EXPECT_EQ(response.tsih.get(), test_tsih);
}

TEST_P(LoginTest, TheOwnerMayRefuse) {
    for (const LoginStatus status :
         {LoginStatus::target_not_found, LoginStatus::authorization_failure,
          LoginStatus::service_unavailable, LoginStatus::too_many_connections}) {
        Script fresh(GetParam());
        fresh.owner.decision.status = status;
        EXPECT_EQ(response_of(fresh.login(operational_to_full_feature, names)).status.get(),
                  static_cast<std::uint16_t>(status));
        Script at_the_end(GetParam());
        at_the_end.owner.session_status = status;
        EXPECT_EQ(response_of(at_the_end.login(operational_to_full_feature, names)).status.get(),
                  static_cast<std::uint16_t>(status));
    }
}

TEST_P(LoginTest, AKeyMayNotComeAgainInALaterRequest) {
    script.login(in_operational, with_names({{"InitialR2T", "No"}}));
    expect_refused(script.login(operational_to_full_feature, {{"InitialR2T", "No"}}),
                   LoginStatus::initiator_error);
}

TEST_P(LoginTest, TheStageMayNotGoBack) {
    script.login(security_to_operational, names);
    expect_refused(script.login(security_to_operational, {}), LoginStatus::initiator_error);
}

TEST_P(LoginTest, RequestsBelongTogether) {
    const std::vector<std::function<void(LoginRequest&)>> changes = {
        [](LoginRequest& r) { r.isid[5] ^= 1; },
        [](LoginRequest& r) { r.tsih = 1; },
        [](LoginRequest& r) { r.cid = 1; },
        [](LoginRequest& r) { r.initiator_task_tag = 0x78; },
    };
    for (std::size_t i = 0; i < changes.size(); ++i) {
        SCOPED_TRACE(i);
        Script fresh(GetParam());
        fresh.login(in_operational, names);
        changes[i](fresh.login_request);
        EXPECT_EQ(response_of(fresh.login(operational_to_full_feature, {})).status.get(), 0x0200);
    }
}

TEST_P(LoginTest, TextOfOneStepIsLimited) {
    ConnectionLimits limits;
    limits.login_text_max = 10000;
    Script limited(GetParam(), limits);
    auto request = limited.login_request;
    request.flags = in_operational | continued;
    const std::string piece(8000, 'A');
    EXPECT_EQ(response_of(limited.send(request, bytes_of(piece))).status.get(), 0);
    EXPECT_EQ(response_of(limited.send(request, bytes_of(piece))).status.get(),
              static_cast<std::uint16_t>(LoginStatus::out_of_resources));
}

TEST_P(LoginTest, ASegmentBeyondTheDefaultLengthCloses) {
    auto request = script.login_request;
    request.flags = in_operational | continued;
    EXPECT_TRUE(script.send(request, bytes_of(std::string(8193, 'A'))).empty());
    ASSERT_EQ(script.owner.closes.size(), 1U);
    EXPECT_EQ(script.owner.closes[0].kind, CloseReason::Kind::protocol_error);
}

TEST_P(LoginTest, AnotherPduBeforeLoginCloses) {
    for (const std::uint8_t opcode :
         {opcode::nop_out, opcode::scsi_command, opcode::text_request, std::uint8_t{0x1c}}) {
        Script fresh(GetParam());
        NopOut pdu{};
        pdu.opcode = opcode;
        EXPECT_TRUE(fresh.send(pdu).empty());
        ASSERT_EQ(fresh.owner.closes.size(), 1U);
        EXPECT_EQ(fresh.owner.closes[0].kind, CloseReason::Kind::protocol_error);
    }
    script.login(in_operational, names);
    EXPECT_TRUE(script.send(NopOut{}).empty());
    EXPECT_EQ(script.owner.closes.size(), 1U);
}

TEST_P(LoginTest, ALostTransportEndsTheLogin) {
    script.owner.answers_login_later = true;
    script.login(operational_to_full_feature, names);
    script.connection.transport_lost();
    EXPECT_FALSE(script.connection.takes_input());
    script.connection.decide_login({});  // too late, and harmless
    EXPECT_FALSE(script.connection.has_output());
}

}  // namespace
}  // namespace cowtgt::iscsi
