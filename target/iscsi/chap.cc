#include "target/iscsi/chap.h"

#include <algorithm>
#include <array>

#include "cow-store/base/check.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/text.h"

namespace cowtgt::iscsi {

namespace {

constexpr std::size_t our_challenge_length = 32;    ///< bytes
constexpr std::size_t challenge_length_max = 1024;  ///< bytes; section 12.1.3
constexpr std::size_t name_length_max = 255;        ///< bytes; section 6.1, text-value

struct AlgorithmRow {
    ChapAlgorithm algorithm;
    std::string_view number;
    std::size_t digest_length;  ///< bytes
};
constexpr std::array algorithm_rows = {
    AlgorithmRow{ChapAlgorithm::md5, "5", 16},
    AlgorithmRow{ChapAlgorithm::sha1, "6", 20},
    AlgorithmRow{ChapAlgorithm::sha256, "7", 32},
    AlgorithmRow{ChapAlgorithm::sha3_256, "8", 32},
};

const AlgorithmRow& row_of(ChapAlgorithm algorithm) {
    const auto* row = std::ranges::find(algorithm_rows, algorithm, &AlgorithmRow::algorithm);
    CHECK(row != algorithm_rows.end());
    return *row;
}

/// Takes as long for equal bytes as for others of the same length, so that the time of a refusal
/// says nothing about how much of a guess was right.
bool are_equal(Bytes one, Bytes other) {
    if (one.size() != other.size()) return false;
    std::byte difference{0};
    for (std::size_t i = 0; i < one.size(); ++i)
        difference |= one[i] ^ other[i];
    return difference == std::byte{0};
}

}  // namespace

std::size_t digest_length(ChapAlgorithm algorithm) {
    return row_of(algorithm).digest_length;
}

std::vector<std::byte> chap_response(const ChapDigest& digest, ChapAlgorithm algorithm,
                                     std::uint8_t identifier, std::string_view secret,
                                     Bytes challenge) {
    std::vector<std::byte> message{std::byte{identifier}};
    const Bytes secret_bytes = bytes_of(secret);
    message.insert(message.end(), secret_bytes.begin(), secret_bytes.end());
    message.insert(message.end(), challenge.begin(), challenge.end());
    std::vector<std::byte> response = digest.digest(algorithm, message);
    CHECK(response.size() == digest_length(algorithm));
    return response;
}

ChapStep Chap::receive(const ChapKeys& keys) {
    const bool has_response = keys.name || keys.response || keys.identifier || keys.challenge;
    if (!keys.algorithms && !has_response) return ChapAnswer{};
    switch (state_) {
        case State::wants_algorithms:
            if (has_response) return ChapFailure{"a CHAP response before the challenge"};
            return choose_algorithm(*keys.algorithms);
        case State::wants_response:
            if (keys.algorithms) return ChapFailure{"CHAP_A after the algorithm was chosen"};
            return check_response(keys);
        case State::authenticated:
            break;
    }
    return ChapFailure{"CHAP keys after the initiator was authenticated"};
}

ChapStep Chap::choose_algorithm(std::string_view offer) {
    for (const std::string_view number : split_list(offer)) {
        const auto* row = std::ranges::find(algorithm_rows, number, &AlgorithmRow::number);
        if (row == algorithm_rows.end() || !demanded_.digest->supports(row->algorithm)) continue;
        algorithm_ = row->algorithm;
        std::array<std::byte, 1> identifier{};
        random_(identifier);
        identifier_ = std::to_integer<std::uint8_t>(identifier[0]);
        challenge_.resize(our_challenge_length);
        random_(challenge_);
        state_ = State::wants_response;
        ChapAnswer answer;
        append_pair(answer.text, row_of(Key::chap_a).name, number);
        append_pair(answer.text, row_of(Key::chap_i).name, std::to_string(identifier_));
        append_pair(answer.text, row_of(Key::chap_c).name, hex_constant(challenge_));
        return answer;
    }
    return ChapFailure{"CHAP_A=" + std::string(offer) + " has no algorithm of ours"};
}

ChapStep Chap::check_response(const ChapKeys& keys) {
    if (!keys.name || !keys.response) return ChapFailure{"CHAP_N or CHAP_R is missing"};
    if (keys.identifier.has_value() != keys.challenge.has_value()) {
        return ChapFailure{"CHAP_I without CHAP_C, or the other way round"};
    }
    if (keys.name->size() > name_length_max) return ChapFailure{"CHAP_N is too long"};
    const auto response = parse_binary(*keys.response, digest_length(algorithm_));
    if (!response) return ChapFailure{"CHAP_R is no binary value of the right length"};
    const std::vector<std::byte> expected =
        chap_response(*demanded_.digest, algorithm_, identifier_, demanded_.secret, challenge_);
    // Both are always compared: a wrong name is told as late as a wrong secret.
    const bool name_is_right = are_equal(bytes_of(*keys.name), bytes_of(demanded_.user));
    const bool response_is_right = are_equal(*response, expected);
    if (!name_is_right) return ChapFailure{"CHAP_N is not the user that this target expects"};
    if (!response_is_right) return ChapFailure{"CHAP_R is wrong: the secrets differ"};
    if (!keys.challenge) {
        state_ = State::authenticated;
        return ChapAnswer{};
    }
    return answer_challenge(*keys.identifier, *keys.challenge);
}

ChapStep Chap::answer_challenge(std::string_view identifier, std::string_view challenge) {
    if (demanded_.mutual_secret.empty()) {
        return ChapFailure{"the initiator wants mutual CHAP, but there is no mutual secret"};
    }
    // Whoever knows one of two equal secrets could let us compute the answer to our own challenge.
    if (demanded_.mutual_secret == demanded_.secret) {
        return ChapFailure{"the secrets of both directions are the same"};
    }
    const auto number = parse_number(identifier);
    if (!number || *number > 0xff) return ChapFailure{"CHAP_I is not a number of one byte"};
    const auto bytes = parse_binary(challenge, challenge_length_max);
    if (!bytes) return ChapFailure{"CHAP_C is no binary value of 1 to 1024 bytes"};
    if (are_equal(*bytes, challenge_)) {
        return ChapFailure{"CHAP_C is our own challenge (reflection)"};
    }
    state_ = State::authenticated;
    ChapAnswer answer;
    append_pair(answer.text, row_of(Key::chap_n).name, demanded_.mutual_user);
    append_pair(answer.text, row_of(Key::chap_r).name,
                hex_constant(chap_response(*demanded_.digest, algorithm_,
                                           static_cast<std::uint8_t>(*number),
                                           demanded_.mutual_secret, *bytes)));
    return answer;
}

}  // namespace cowtgt::iscsi
