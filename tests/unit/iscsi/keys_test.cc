#include "target/iscsi/keys.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace cowtgt::iscsi {
namespace {

struct OfferCase {
    const char* key;
    const char* offer;
    const char* normal;     ///< answer in a normal session; null: none
    const char* discovery;  ///< answer in a discovery session; null: none
};

// RFC 7143 section 13: what the target answers to an offer.
constexpr std::array offer_cases = {
    OfferCase{"HeaderDigest", "None", "None", "None"},
    OfferCase{"HeaderDigest", "CRC32C", "CRC32C", "CRC32C"},
    OfferCase{"HeaderDigest", "CRC32C,None", "CRC32C", "CRC32C"},
    OfferCase{"HeaderDigest", "None,CRC32C", "None", "None"},
    OfferCase{"DataDigest", "X-md5,CRC32C", "CRC32C", "CRC32C"},
    OfferCase{"DataDigest", "X-md5", "Reject", "Reject"},
    OfferCase{"DataDigest", "", "Reject", "Reject"},
    OfferCase{"MaxConnections", "1", "1", "Irrelevant"},
    OfferCase{"MaxConnections", "65535", "1", "Irrelevant"},
    OfferCase{"MaxConnections", "0", "Reject", "Irrelevant"},
    OfferCase{"MaxConnections", "65536", "Reject", "Irrelevant"},
    OfferCase{"InitialR2T", "Yes", "Yes", "Irrelevant"},
    OfferCase{"InitialR2T", "No", "No", "Irrelevant"},
    OfferCase{"InitialR2T", "no", "Reject", "Irrelevant"},
    OfferCase{"ImmediateData", "Yes", "Yes", "Irrelevant"},
    OfferCase{"ImmediateData", "No", "No", "Irrelevant"},
    OfferCase{"ImmediateData", "?", "Reject", "Irrelevant"},
    OfferCase{"MaxRecvDataSegmentLength", "512", nullptr, nullptr},
    OfferCase{"MaxRecvDataSegmentLength", "16777215", nullptr, nullptr},
    OfferCase{"MaxRecvDataSegmentLength", "0x40000", nullptr, nullptr},
    OfferCase{"MaxRecvDataSegmentLength", "511", "Reject", "Reject"},
    OfferCase{"MaxRecvDataSegmentLength", "16777216", "Reject", "Reject"},
    OfferCase{"MaxBurstLength", "512", "512", "Irrelevant"},
    OfferCase{"MaxBurstLength", "262144", "262144", "Irrelevant"},
    OfferCase{"MaxBurstLength", "16777215", "16776192", "Irrelevant"},
    OfferCase{"MaxBurstLength", "511", "Reject", "Irrelevant"},
    OfferCase{"MaxBurstLength", "16777216", "Reject", "Irrelevant"},
    OfferCase{"MaxBurstLength", "NotUnderstood", "Reject", "Irrelevant"},
    OfferCase{"DefaultTime2Wait", "0", "0", "0"},
    OfferCase{"DefaultTime2Wait", "2", "2", "2"},
    OfferCase{"DefaultTime2Wait", "3600", "3600", "3600"},
    OfferCase{"DefaultTime2Wait", "3601", "Reject", "Reject"},
    OfferCase{"DefaultTime2Retain", "20", "0", "0"},
    OfferCase{"DefaultTime2Retain", "3601", "Reject", "Reject"},
    OfferCase{"MaxOutstandingR2T", "1", "1", "Irrelevant"},
    OfferCase{"MaxOutstandingR2T", "65535", "1", "Irrelevant"},
    OfferCase{"MaxOutstandingR2T", "0", "Reject", "Irrelevant"},
    OfferCase{"DataPDUInOrder", "No", "Yes", "Irrelevant"},
    OfferCase{"DataSequenceInOrder", "No", "Yes", "Irrelevant"},
    OfferCase{"DataSequenceInOrder", "Yes", "Yes", "Irrelevant"},
    OfferCase{"ErrorRecoveryLevel", "0", "0", "0"},
    OfferCase{"ErrorRecoveryLevel", "2", "0", "0"},
    OfferCase{"ErrorRecoveryLevel", "3", "Reject", "Reject"},
    OfferCase{"TaskReporting", "FastAbort,RFC3720", "RFC3720", "Irrelevant"},
    OfferCase{"TaskReporting", "FastAbort", "Reject", "Irrelevant"},
    OfferCase{"iSCSIProtocolLevel", "1", "1", "Irrelevant"},
    OfferCase{"iSCSIProtocolLevel", "2", "1", "Irrelevant"},
    OfferCase{"iSCSIProtocolLevel", "0", "0", "Irrelevant"},
    OfferCase{"iSCSIProtocolLevel", "32", "Reject", "Irrelevant"},
    OfferCase{"IFMarker", "Yes", "No", "No"},
    OfferCase{"OFMarker", "No", "No", "No"},
    OfferCase{"OFMarker", "maybe", "Reject", "Reject"},
    OfferCase{"IFMarkInt", "2048~4096", "Reject", "Reject"},
    OfferCase{"OFMarkInt", "1", "Reject", "Reject"},
    OfferCase{"TargetAlias", "x", "Reject", "Reject"},
    OfferCase{"TargetAddress", "x", "Reject", "Reject"},
    OfferCase{"TargetPortalGroupTag", "1", "Reject", "Reject"},
};

TEST(Keys, EveryOfferHasItsAnswer) {
    for (const OfferCase& row : offer_cases) {
        for (const SessionType type : {SessionType::normal, SessionType::discovery}) {
            SCOPED_TRACE(std::string(row.key) + "=" + row.offer);
            KeyNegotiation negotiation{ConnectionLimits{}};
            const KeyRow* key = find_key(row.key);
            ASSERT_NE(key, nullptr);
            const char* expected = type == SessionType::normal ? row.normal : row.discovery;
            const auto answer = negotiation.answer(*key, row.offer, type);
            EXPECT_EQ(answer.value_or("<none>"), expected == nullptr ? "<none>" : expected);
        }
    }
}

TEST(Keys, NamesAreCaseSensitive) {
    EXPECT_EQ(find_key("headerdigest"), nullptr);
    EXPECT_EQ(find_key("HeaderDigestX"), nullptr);
    EXPECT_EQ(find_key(""), nullptr);
}

TEST(Keys, DefaultsAreThoseOfTheTable) {
    const OperationalParameters defaults;
    EXPECT_EQ(defaults.initial_r2t, row_of(Key::initial_r2t).default_value != 0);
    EXPECT_EQ(defaults.immediate_data, row_of(Key::immediate_data).default_value != 0);
    EXPECT_EQ(defaults.initiator_max_recv_data_segment_length,
              row_of(Key::max_recv_data_segment_length).default_value);
    EXPECT_EQ(defaults.max_burst_length, row_of(Key::max_burst_length).default_value);
    EXPECT_EQ(defaults.first_burst_length, row_of(Key::first_burst_length).default_value);
    EXPECT_EQ(defaults.max_outstanding_r2t, row_of(Key::max_outstanding_r2t).default_value);
    EXPECT_EQ(defaults.default_time2wait, row_of(Key::default_time2wait).default_value);
    EXPECT_EQ(defaults.default_time2retain, row_of(Key::default_time2retain).default_value);
}

TEST(Keys, FirstBurstLengthStaysWithinMaxBurstLength) {
    KeyNegotiation negotiation{ConnectionLimits{}};
    EXPECT_EQ(negotiation.answer(row_of(Key::max_burst_length), "4096", SessionType::normal),
              "4096");
    EXPECT_EQ(negotiation.answer_first_burst_length("65536"), "4096");
    KeyNegotiation without_offer{ConnectionLimits{}};
    EXPECT_EQ(without_offer.answer(row_of(Key::max_burst_length), "4096", SessionType::normal),
              "4096");
    EXPECT_EQ(without_offer.final_parameters().first_burst_length, 4096U);
    KeyNegotiation large{ConnectionLimits{}};
    EXPECT_EQ(large.answer(row_of(Key::max_burst_length), "1048576", SessionType::normal),
              "1048576");
    EXPECT_EQ(large.answer_first_burst_length("1048576"), "262144");
    EXPECT_EQ(large.answer_first_burst_length("511"), "Reject");
}

TEST(Keys, ResultsAreInForce) {
    KeyNegotiation negotiation{ConnectionLimits{.max_outstanding_r2t = 4}};
    const auto offer = [&](Key key, const char* value) {
        return negotiation.answer(row_of(key), value, SessionType::normal);
    };
    offer(Key::header_digest, "CRC32C,None");
    offer(Key::initial_r2t, "No");
    offer(Key::immediate_data, "No");
    offer(Key::max_recv_data_segment_length, "4096");
    offer(Key::max_burst_length, "8192");
    offer(Key::max_outstanding_r2t, "8");
    offer(Key::default_time2wait, "5");
    offer(Key::default_time2retain, "9");
    const OperationalParameters result = negotiation.final_parameters();
    EXPECT_TRUE(result.digests.header);
    EXPECT_FALSE(result.digests.data);
    EXPECT_FALSE(result.initial_r2t);
    EXPECT_FALSE(result.immediate_data);
    EXPECT_EQ(result.initiator_max_recv_data_segment_length, 4096U);
    EXPECT_EQ(result.max_burst_length, 8192U);
    EXPECT_EQ(result.max_outstanding_r2t, 4U);
    EXPECT_EQ(result.default_time2wait, 5U);
    EXPECT_EQ(result.default_time2retain, 0U);
}

TEST(Keys, EachMayBeUsedOnce) {
    KeyNegotiation negotiation{ConnectionLimits{}};
    for (std::size_t i = 0; i < static_cast<std::size_t>(Key::count); ++i) {
        EXPECT_TRUE(negotiation.use_once(static_cast<Key>(i)));
        EXPECT_FALSE(negotiation.use_once(static_cast<Key>(i)));
    }
}

}  // namespace
}  // namespace cowtgt::iscsi
