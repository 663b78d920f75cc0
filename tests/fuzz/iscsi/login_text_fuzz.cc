#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "cow-store/base/check.h"
#include "target/iscsi/login.h"

// A whole login: each step is a byte of flags (T, C, CSG, NSG), two bytes of length and its text.
// An initiator with an alias has to authenticate itself, with hashes that are all zero.

namespace {

using namespace cowtgt;
using namespace cowtgt::iscsi;

class ZeroDigest final : public ChapDigest {
public:
    bool supports(ChapAlgorithm) const override { return true; }
    std::vector<std::byte> digest(ChapAlgorithm algorithm, Bytes) const override {
        return std::vector<std::byte>(digest_length(algorithm));
    }
};
const ZeroDigest zero_digest;

LoginDecision decision_about(const LoginRequestInfo& info) {
    LoginDecision decision;
    if (info.initiator_alias.empty()) return decision;
    decision.chap = {"u", "secret", "t", "other secret", &zero_digest};
    return decision;
}

/// True when the login is over, one way or the other. `input` is all that the initiator said.
bool run_step(Login& login, LoginStep step, std::string_view input) {
    while (!std::holds_alternative<LoginAnswer>(step)) {
        if (std::holds_alternative<LoginRefused>(step)) return true;
        if (std::holds_alternative<LoginNeedsSession>(step)) {
            CHECK(!login.info().initiator_name.empty());
            CHECK(login.info().initiator_alias.empty() ||
                  input.find("CHAP_R=0") != std::string_view::npos);
            const OperationalParameters parameters = login.parameters();
            CHECK(parameters.first_burst_length <= parameters.max_burst_length);
            CHECK(parameters.initiator_max_recv_data_segment_length >= 512);
            CHECK(parameters.max_outstanding_r2t >= 1);
            CHECK((login.finish().flags & LoginRequest::flag_transit) != 0);
            return true;
        }
        CHECK(!login.info().initiator_name.empty());
        step = login.decide(decision_about(login.info()));
    }
    CHECK(std::get<LoginAnswer>(step).text.size() <= 8192);
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Login login(ConnectionLimits{}, [](MutableBytes bytes) {
        for (std::byte& byte : bytes)
            byte = std::byte{7};
    });
    Bytes rest = std::as_bytes(std::span(data, size));
    const std::string_view input = text_of(rest);
    while (rest.size() >= 3) {
        LoginRequest request{};
        request.flags = std::to_integer<std::uint8_t>(rest[0]);
        std::size_t length =
            std::to_integer<std::size_t>(rest[1]) << 8 | std::to_integer<std::size_t>(rest[2]);
        rest = rest.subspan(3);
        length = length < rest.size() ? length : rest.size();
        if (run_step(login, login.receive(request, rest.first(length)), input)) return 0;
        rest = rest.subspan(length);
    }
    return 0;
}
