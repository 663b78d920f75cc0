#include "target/iscsi/chap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <ostream>

#include "target/iscsi/text.h"
#include "target/net/chap_digest.h"
#include "tests/unit/iscsi/script.h"

namespace cowtgt::iscsi {
namespace {

constexpr std::string_view user = "web01-user";
constexpr std::string_view secret = "a secret of web01";
constexpr std::string_view mutual_user = "the-target";
constexpr std::string_view mutual_secret = "a secret of ours";

constexpr std::uint8_t in_security = 0x00;
constexpr std::uint8_t security_to_operational = 0x81;
constexpr std::uint8_t security_to_full_feature = 0x83;
constexpr std::uint8_t operational_to_full_feature = 0x87;

LoginDecision::Chap demanded() {
    return {std::string(user), std::string(secret), std::string(mutual_user),
            std::string(mutual_secret), &net::openssl_chap_digest()};
}

std::string base64_constant(Bytes bytes) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text = "0b";
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t bits = 0;
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        for (std::size_t j = 0; j < 3; ++j) {
            bits = bits << 8 | (j < count ? std::to_integer<std::uint32_t>(bytes[i + j]) : 0);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            text += j <= count ? digits[bits >> (18 - 6 * j) & 63] : '=';
        }
    }
    return text;
}

/// The initiator's side: what it was asked, and the right answer to it.
struct Challenge {
    ChapAlgorithm algorithm;
    std::uint8_t identifier;
    std::vector<std::byte> challenge;

    std::vector<std::byte> response(std::string_view with_secret = secret) const {
        return chap_response(net::openssl_chap_digest(), algorithm, identifier, with_secret,
                             challenge);
    }
};

std::optional<Challenge> challenge_of(const ReceivedPdu& pdu) {
    const auto algorithm = parse_number(value_of(pdu, "CHAP_A"));
    const auto identifier = parse_number(value_of(pdu, "CHAP_I"));
    auto challenge = parse_binary(value_of(pdu, "CHAP_C"), 1024);
    if (!algorithm || !identifier || !challenge) return std::nullopt;
    return Challenge{static_cast<ChapAlgorithm>(*algorithm), static_cast<std::uint8_t>(*identifier),
                     std::move(*challenge)};
}

class ChapTest : public testing::Test {
protected:
    ChapTest() { script.owner.decision.chap = demanded(); }

    KeyValues names(const KeyValues& keys) const {
        KeyValues all = {{"InitiatorName", std::string(test_initiator)}};
        if (discovery) {
            all.emplace_back("SessionType", "Discovery");
        } else {
            all.emplace_back("TargetName", std::string(test_target));
        }
        all.insert(all.end(), keys.begin(), keys.end());
        return all;
    }

    /// Up to the challenge.
    Challenge begin(const std::string& algorithms = "5") {
        auto answers = script.login(security_to_operational, names({{"AuthMethod", "CHAP,None"}}));
        EXPECT_EQ(answers.size(), 1U);
        EXPECT_EQ(value_of(answers.at(0), "AuthMethod"), "CHAP");
        EXPECT_EQ(answers[0].as<LoginResponse>().flags, in_security);
        answers = script.login(in_security, {{"CHAP_A", algorithms}});
        EXPECT_EQ(answers.size(), 1U);
        const auto challenge = challenge_of(answers.at(0));
        EXPECT_TRUE(challenge);
        return challenge.value_or(Challenge{ChapAlgorithm::md5, 0, {}});
    }

    void expect_refused(const std::vector<ReceivedPdu>& answers, std::string_view reason) {
        ASSERT_EQ(answers.size(), 1U);
        EXPECT_EQ(answers[0].as<LoginResponse>().status.get(),
                  static_cast<std::uint16_t>(LoginStatus::authentication_failure));
        ASSERT_EQ(script.owner.closes.size(), 1U);
        EXPECT_NE(script.owner.closes[0].text.find(reason), std::string::npos)
            << script.owner.closes[0].text;
        EXPECT_FALSE(script.connection.takes_input());
        EXPECT_FALSE(script.connection.in_full_feature_phase());
    }

    void expect_passed_to_operational(const std::vector<ReceivedPdu>& answers) {
        ASSERT_EQ(answers.size(), 1U);
        const auto response = answers[0].as<LoginResponse>();
        EXPECT_EQ(response.status.get(), 0);
        EXPECT_EQ(response.flags, security_to_operational);
    }

    Script script;
    bool discovery = false;
};

/// The hashes by independent words: identifier 1, secret "secret", challenge 00 01 02 03.
TEST(ChapDigestTest, KnowsEveryAlgorithmByItsNumber) {
    struct Row {
        ChapAlgorithm algorithm;
        std::string_view hash;
    };
    constexpr std::array rows = {
        Row{ChapAlgorithm::md5, "0xe82cb2ed1efe04893c9cf73d4dd12e2d"},
        Row{ChapAlgorithm::sha1, "0x4ba9b914438b0a2231ce08d06e1814afdbbd02c9"},
        Row{ChapAlgorithm::sha256,
            "0x60ad105214396c736e4569759380672905396143713449e104a2be1e885b5d06"},
        Row{ChapAlgorithm::sha3_256,
            "0x5a8cab9a6c0245b91a7d0d2966f24cb7328b2a59616809840e7a77c9c4fb94d8"},
    };
    constexpr std::array<std::uint8_t, 4> challenge = {0, 1, 2, 3};
    for (const Row& row : rows) {
        const auto& digest = net::openssl_chap_digest();
        ASSERT_TRUE(digest.supports(row.algorithm));
        EXPECT_EQ(hex_constant(chap_response(digest, row.algorithm, 1, "secret",
                                             std::as_bytes(std::span(challenge)))),
                  row.hash);
    }
}

struct AlgorithmCase {
    std::string_view offer;
    std::uint8_t chosen;
};
class ChapAlgorithms : public ChapTest, public testing::WithParamInterface<AlgorithmCase> {};
INSTANTIATE_TEST_SUITE_P(Offers, ChapAlgorithms,
                         testing::Values(AlgorithmCase{"5", 5}, AlgorithmCase{"6", 6},
                                         AlgorithmCase{"7", 7}, AlgorithmCase{"8", 8},
                                         AlgorithmCase{"5,6,7,8", 5}, AlgorithmCase{"8,7,6,5", 8},
                                         AlgorithmCase{"9,6", 6}, AlgorithmCase{"x,56,7", 7}));

TEST_P(ChapAlgorithms, TheFirstThatWeHaveIsChosenAndWorksInBothDirections) {
    const Challenge challenge = begin(std::string(GetParam().offer));
    EXPECT_EQ(static_cast<std::uint8_t>(challenge.algorithm), GetParam().chosen);
    const std::vector<std::byte> ours = {std::byte{1}, std::byte{2}, std::byte{3}};
    const auto answers =
        script.login(security_to_operational, {{"CHAP_N", std::string(user)},
                                               {"CHAP_R", hex_constant(challenge.response())},
                                               {"CHAP_I", "200"},
                                               {"CHAP_C", hex_constant(ours)}});
    expect_passed_to_operational(answers);
    EXPECT_EQ(value_of(answers[0], "CHAP_N"), mutual_user);
    EXPECT_EQ(value_of(answers[0], "CHAP_R"),
              hex_constant(Challenge{challenge.algorithm, 200, ours}.response(mutual_secret)));
    const auto last = script.login(operational_to_full_feature, {{"MaxBurstLength", "65536"}});
    ASSERT_EQ(last.size(), 1U);
    EXPECT_EQ(last[0].as<LoginResponse>().flags, operational_to_full_feature);
    EXPECT_TRUE(script.connection.in_full_feature_phase());
}

class ChapWrongAlgorithms : public ChapTest, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Offers, ChapWrongAlgorithms,
                         testing::Values("", "56", "9", "05", "0x5", "5 ", ",", "MD5"));
TEST_P(ChapWrongAlgorithms, NoneIsRefused) {
    script.login(in_security, names({{"AuthMethod", "CHAP"}}));
    expect_refused(script.login(in_security, {{"CHAP_A", GetParam()}}), "no algorithm of ours");
}

TEST_F(ChapTest, OneDirectionIsEnough) {
    const Challenge challenge = begin();
    const auto answers = script.login(
        security_to_operational,
        {{"CHAP_N", std::string(user)}, {"CHAP_R", hex_constant(challenge.response())}});
    expect_passed_to_operational(answers);
    EXPECT_EQ(answers[0].text(), "");
}

TEST_F(ChapTest, TheLastStepMayGoStraightToFullFeaturePhase) {
    const Challenge challenge = begin();
    const auto answers = script.login(
        security_to_full_feature,
        {{"CHAP_N", std::string(user)}, {"CHAP_R", hex_constant(challenge.response())}});
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<LoginResponse>().flags, security_to_full_feature);
    EXPECT_TRUE(script.connection.in_full_feature_phase());
}

TEST_F(ChapTest, ADiscoverySessionIsAuthenticatedTheSameWay) {
    discovery = true;
    const Challenge challenge = begin("7");
    script.login(security_to_full_feature,
                 {{"CHAP_N", std::string(user)}, {"CHAP_R", hex_constant(challenge.response())}});
    EXPECT_TRUE(script.connection.in_full_feature_phase());
}

TEST_F(ChapTest, Base64IsTakenForResponseAndChallenge) {
    const Challenge challenge = begin();
    const std::vector<std::byte> ours(20, std::byte{0x5a});
    const auto answers =
        script.login(security_to_operational, {{"CHAP_N", std::string(user)},
                                               {"CHAP_R", base64_constant(challenge.response())},
                                               {"CHAP_I", "0x10"},
                                               {"CHAP_C", base64_constant(ours)}});
    expect_passed_to_operational(answers);
    EXPECT_EQ(value_of(answers[0], "CHAP_R"),
              hex_constant(Challenge{challenge.algorithm, 16, ours}.response(mutual_secret)));
}

class ChapUserNames : public ChapTest, public testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Literal, ChapUserNames,
                         testing::Values("0x6c6962", "0b6c6962", "0bTGli", "0x", "a b", "None"));
TEST_P(ChapUserNames, AreTakenAsTheyStand) {
    script.owner.decision.chap->user = GetParam();
    const Challenge challenge = begin();
    expect_passed_to_operational(
        script.login(security_to_operational,
                     {{"CHAP_N", GetParam()}, {"CHAP_R", hex_constant(challenge.response())}}));
}

/// What follows the challenge, and why it is refused. "@" stands for the right response in hex,
/// "%" for it in base64, "&" for our own challenge.
struct RefusalCase {
    std::string_view name;
    KeyValues keys;
    std::string_view reason;
};
void PrintTo(const RefusalCase& refusal, std::ostream* out) {
    *out << refusal.name;
}
class ChapRefusals : public ChapTest, public testing::WithParamInterface<RefusalCase> {};

const std::string right_user(user);
const std::string long_challenge = "0x" + std::string(2 * 1025, '1');
const std::vector<RefusalCase> refusals = {
    {"wrong_secret", {{"CHAP_N", right_user}, {"CHAP_R", "0x" + std::string(32, '0')}}, "wrong"},
    {"wrong_user", {{"CHAP_N", "web02"}, {"CHAP_R", "@"}}, "not the user"},
    {"longer_user", {{"CHAP_N", right_user + "2"}, {"CHAP_R", "@"}}, "not the user"},
    {"empty_user", {{"CHAP_N", ""}, {"CHAP_R", "@"}}, "not the user"},
    {"other_case", {{"CHAP_N", "Web01-user"}, {"CHAP_R", "@"}}, "not the user"},
    {"user_of_256", {{"CHAP_N", std::string(256, 'u')}, {"CHAP_R", "@"}}, "too long"},
    {"no_response", {{"CHAP_N", right_user}}, "missing"},
    {"no_name", {{"CHAP_R", "@"}}, "missing"},
    {"empty_response", {{"CHAP_N", right_user}, {"CHAP_R", ""}}, "right length"},
    {"only_0x", {{"CHAP_N", right_user}, {"CHAP_R", "0x"}}, "right length"},
    {"only_0b", {{"CHAP_N", right_user}, {"CHAP_R", "0b"}}, "right length"},
    {"no_prefix", {{"CHAP_N", right_user}, {"CHAP_R", std::string(32, '0')}}, "right length"},
    {"short_hex", {{"CHAP_N", right_user}, {"CHAP_R", "0x" + std::string(30, '0')}}, "CHAP_R"},
    {"long_hex", {{"CHAP_N", right_user}, {"CHAP_R", "@00"}}, "right length"},
    {"odd_hex", {{"CHAP_N", right_user}, {"CHAP_R", "0x" + std::string(31, '0')}}, "right length"},
    {"no_hex", {{"CHAP_N", right_user}, {"CHAP_R", "0x" + std::string(32, 'g')}}, "right length"},
    {"long_base64", {{"CHAP_N", right_user}, {"CHAP_R", "%AAAA"}}, "right length"},
    {"huge_base64", {{"CHAP_N", right_user}, {"CHAP_R", "0b" + std::string(6000, 'A')}}, "length"},
    {"base64_without_padding",
     {{"CHAP_N", right_user}, {"CHAP_R", "0b" + std::string(22, 'A')}},
     "right length"},
    {"base64_with_loose_bits",
     {{"CHAP_N", right_user}, {"CHAP_R", "0b" + std::string(21, 'A') + "B=="}},
     "right length"},
    {"identifier_alone",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "1"}},
     "CHAP_I without CHAP_C"},
    {"challenge_alone",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_C", "0x11"}},
     "CHAP_I without CHAP_C"},
    {"reflection",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "1"}, {"CHAP_C", "&"}},
     "reflection"},
    {"identifier_256",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "256"}, {"CHAP_C", "0x11"}},
     "one byte"},
    {"identifier_no_number",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "a"}, {"CHAP_C", "0x11"}},
     "one byte"},
    {"empty_challenge",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "1"}, {"CHAP_C", "0x"}},
     "1 to 1024"},
    {"challenge_of_1025",
     {{"CHAP_N", right_user}, {"CHAP_R", "@"}, {"CHAP_I", "1"}, {"CHAP_C", long_challenge}},
     "1 to 1024"},
    {"wrong_response_with_challenge",
     {{"CHAP_N", right_user},
      {"CHAP_R", "0x" + std::string(32, '0')},
      {"CHAP_I", "1"},
      {"CHAP_C", "0x11"}},
     "wrong"},
};
INSTANTIATE_TEST_SUITE_P(Table, ChapRefusals, testing::ValuesIn(refusals),
                         [](const auto& row) { return std::string(row.param.name); });

TEST_P(ChapRefusals, EndTheLoginWithAuthenticationFailure) {
    const Challenge challenge = begin();
    KeyValues keys = GetParam().keys;
    for (auto& [key, value] : keys) {
        if (value.starts_with("@")) value = hex_constant(challenge.response()) + value.substr(1);
        if (value.starts_with("%")) value = base64_constant(challenge.response()) + value.substr(1);
        if (value == "&") value = hex_constant(challenge.challenge);
    }
    const auto answers = script.login(security_to_operational, keys);
    expect_refused(answers, GetParam().reason);
    EXPECT_EQ(answers[0].text(), "") << "nothing that could help with a guess";
}

TEST_F(ChapTest, AChallengeOf1024BytesIsAnswered) {
    const Challenge challenge = begin();
    const std::vector<std::byte> ours(1024, std::byte{0x77});
    expect_passed_to_operational(
        script.login(security_to_operational, {{"CHAP_N", std::string(user)},
                                               {"CHAP_R", hex_constant(challenge.response())},
                                               {"CHAP_I", "1"},
                                               {"CHAP_C", hex_constant(ours)}}));
}

TEST_F(ChapTest, MutualIsRefusedWithoutASecretForIt) {
    script.owner.decision.chap->mutual_secret.clear();
    const Challenge challenge = begin();
    expect_refused(
        script.login(security_to_operational, {{"CHAP_N", std::string(user)},
                                               {"CHAP_R", hex_constant(challenge.response())},
                                               {"CHAP_I", "1"},
                                               {"CHAP_C", "0x11"}}),
        "no mutual secret");
}

TEST_F(ChapTest, MutualIsRefusedWithOneSecretForBothDirections) {
    script.owner.decision.chap->mutual_secret = secret;
    const Challenge challenge = begin();
    expect_refused(
        script.login(security_to_operational, {{"CHAP_N", std::string(user)},
                                               {"CHAP_R", hex_constant(challenge.response())},
                                               {"CHAP_I", "1"},
                                               {"CHAP_C", "0x11"}}),
        "the same");
}

TEST_F(ChapTest, NoneIsRefusedWhereChapIsDemanded) {
    expect_refused(script.login(security_to_operational, names({{"AuthMethod", "None"}})),
                   "must be CHAP");
}

TEST_F(ChapTest, SecurityCannotBeSkipped) {
    expect_refused(script.login(operational_to_full_feature, names({})), "without security");
}

TEST_F(ChapTest, SecurityCannotBeLeftWithoutAMethod) {
    expect_refused(script.login(security_to_operational, names({})), "was not offered");
}

TEST_F(ChapTest, KeysBeforeTheMethodAreRefused) {
    expect_refused(script.login(in_security, names({{"CHAP_A", "5"}})), "before AuthMethod");
}

TEST_F(ChapTest, AResponseBeforeTheChallengeIsRefused) {
    script.login(in_security, names({{"AuthMethod", "CHAP"}}));
    expect_refused(script.login(in_security, {{"CHAP_N", std::string(user)}, {"CHAP_R", "0x00"}}),
                   "before the challenge");
}

TEST_F(ChapTest, TheStageIsNotLeftBeforeTheResponse) {
    begin();
    const auto answers = script.login(security_to_full_feature, {});
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(answers[0].as<LoginResponse>().status.get(), 0);
    EXPECT_EQ(answers[0].as<LoginResponse>().flags, in_security);
    EXPECT_TRUE(script.connection.takes_input());
}

TEST_F(ChapTest, AMutualChallengeAfterwardsIsRefused) {
    const Challenge challenge = begin();
    script.login(in_security,
                 {{"CHAP_N", std::string(user)}, {"CHAP_R", hex_constant(challenge.response())}});
    expect_refused(script.login(in_security, {{"CHAP_I", "1"}, {"CHAP_C", "0x11"}}),
                   "after the initiator was authenticated");
}

TEST_F(ChapTest, WithoutADemandTheKeysAreRejectedAndNobodyIsAsked) {
    script.owner.decision.chap.reset();
    const auto answers = script.login(security_to_operational,
                                      names({{"AuthMethod", "CHAP,None"}, {"CHAP_A", "5"}}));
    expect_passed_to_operational(answers);
    EXPECT_EQ(value_of(answers[0], "AuthMethod"), "None");
    EXPECT_EQ(value_of(answers[0], "CHAP_A"), "Reject");
}

/// A digest of a library that has SHA-256 only.
class OnlySha256 : public ChapDigest {
public:
    bool supports(ChapAlgorithm algorithm) const override {
        return algorithm == ChapAlgorithm::sha256;
    }
    std::vector<std::byte> digest(ChapAlgorithm algorithm, Bytes message) const override {
        return net::openssl_chap_digest().digest(algorithm, message);
    }
};

TEST_F(ChapTest, WhatTheLibraryLacksIsNotChosen) {
    const OnlySha256 digest;
    script.owner.decision.chap->digest = &digest;
    EXPECT_EQ(begin("5,6,7,8").algorithm, ChapAlgorithm::sha256);
}

void fill_with_count(MutableBytes bytes) {
    std::ranges::for_each(bytes,
                          [n = 1](std::byte& byte) mutable { byte = static_cast<std::byte>(n++); });
}

TEST(Chap, ChallengesAreRandomAndThirtyTwoBytes) {
    Chap chap(demanded(), fill_with_count);
    const ChapStep step = chap.receive({.algorithms = "5"});
    ASSERT_TRUE(std::holds_alternative<ChapAnswer>(step));
    EXPECT_EQ(std::get<ChapAnswer>(step).text,
              text_of_keys({{"CHAP_A", "5"},
                            {"CHAP_I", "1"},
                            {"CHAP_C",
                             "0x0102030405060708090a0b0c0d0e0f10"
                             "1112131415161718191a1b1c1d1e1f20"}}));
}

TEST(Chap, TheAlgorithmIsChosenOnce) {
    Chap chap(demanded(), fill_with_count);
    chap.receive({.algorithms = "5"});
    const ChapStep step = chap.receive({.algorithms = "5"});
    ASSERT_TRUE(std::holds_alternative<ChapFailure>(step));
    EXPECT_FALSE(chap.is_authenticated());
}

TEST(BinaryValues, AreReadInBothForms) {
    struct Row {
        std::string_view text;
        std::optional<std::string_view> bytes;
    };
    const Row rows[] = {
        {"0x61", "a"},
        {"0X4A6b", "Jk"},
        {"0b", std::nullopt},
        {"0bYQ==", "a"},
        {"0BYWI=", "ab"},
        {"0bYWJj", "abc"},
        {"0bYWJjZA==", "abcd"},
        {"0bYQ=", std::nullopt},
        {"0bYQ", std::nullopt},
        {"0b====", std::nullopt},
        {"0bY===", std::nullopt},
        {"0bYR==", std::nullopt},
        {"0b=YQ=", std::nullopt},
        {"0bY Q=", std::nullopt},
        {"61", std::nullopt},
        {"", std::nullopt},
        {"0", std::nullopt},
        {"0x6", std::nullopt},
        {"0x616263646566", std::nullopt},
        {"0bYWJjZGVm", std::nullopt},
        {"0x6162636465", "abcde"},
        {"0bYWJjZGU=", "abcde"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.text);
        const auto bytes = parse_binary(row.text, 5);
        ASSERT_EQ(bytes.has_value(), row.bytes.has_value());
        if (bytes) {
            EXPECT_EQ(text_of(*bytes), *row.bytes);
        }
    }
}

}  // namespace
}  // namespace cowtgt::iscsi
