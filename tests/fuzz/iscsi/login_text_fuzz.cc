#include <cstddef>
#include <cstdint>

#include "cow-store/base/check.h"
#include "target/iscsi/login.h"

// A whole login: each step is a byte of flags (T, C, CSG, NSG), two bytes of length and its text.

namespace {

using namespace cowtgt;
using namespace cowtgt::iscsi;

/// True when the login is over, one way or the other.
bool run_step(Login& login, LoginStep step) {
    while (!std::holds_alternative<LoginAnswer>(step)) {
        if (std::holds_alternative<LoginRefused>(step)) return true;
        if (std::holds_alternative<LoginNeedsSession>(step)) {
            CHECK(!login.info().initiator_name.empty());
            const OperationalParameters parameters = login.parameters();
            CHECK(parameters.first_burst_length <= parameters.max_burst_length);
            CHECK(parameters.initiator_max_recv_data_segment_length >= 512);
            CHECK(parameters.max_outstanding_r2t >= 1);
            CHECK((login.finish().flags & LoginRequest::flag_transit) != 0);
            return true;
        }
        CHECK(!login.info().initiator_name.empty());
        step = login.decide({});
    }
    CHECK(std::get<LoginAnswer>(step).text.size() <= 8192);
    return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Login login{ConnectionLimits{}};
    Bytes rest = std::as_bytes(std::span(data, size));
    while (rest.size() >= 3) {
        LoginRequest request{};
        request.flags = std::to_integer<std::uint8_t>(rest[0]);
        std::size_t length =
            std::to_integer<std::size_t>(rest[1]) << 8 | std::to_integer<std::size_t>(rest[2]);
        rest = rest.subspan(3);
        length = length < rest.size() ? length : rest.size();
        if (run_step(login, login.receive(request, rest.first(length)))) return 0;
        rest = rest.subspan(length);
    }
    return 0;
}
