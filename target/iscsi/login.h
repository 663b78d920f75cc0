#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "target/iscsi/chap.h"
#include "target/iscsi/connection.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/text.h"

namespace cowtgt::iscsi {

/// CSG and NSG of RFC 7143 section 11.12.3. 2 is reserved.
enum class LoginStage : std::uint8_t { security = 0, operational = 1, full_feature = 3 };

/// A Login Response to send, without the fields that only echo the request.
struct LoginAnswer {
    std::uint8_t flags = 0;
    std::string text;
};
/// The owner has to decide about the initiator and the target it asked for.
struct LoginNeedsDecision {};
/// All is negotiated; the owner has to give the session its TSIH. `text` goes with the last answer.
struct LoginNeedsSession {};
struct LoginRefused {
    LoginStatus status;
    std::string reason;  ///< for the log
};
using LoginStep = std::variant<LoginAnswer, LoginNeedsDecision, LoginNeedsSession, LoginRefused>;

/// The login phase of one connection (RFC 7143 section 6.3): stages, names and keys.
///
/// Bytes in, values out; whoever owns it sends the answers. It exists only until full feature
/// phase, so what it holds costs an idle session nothing.
/// AuthMethod is None, or CHAP if the decision demands it.
class Login {
public:
    /// `random` fills CHAP challenges.
    Login(const ConnectionLimits& limits, void (*random)(MutableBytes))
        : limits_(limits),
          random_(random),
          collector_(limits.login_text_max),
          negotiation_(limits) {}

    /// One Login Request with its data segment.
    LoginStep receive(const LoginRequest& request, Bytes data);
    /// Answers LoginNeedsDecision.
    LoginStep decide(const LoginDecision& decision);
    /// Answers LoginNeedsSession: the last Login Response.
    LoginAnswer finish();

    const LoginRequestInfo& info() const { return info_; }
    OperationalParameters parameters() const { return negotiation_.final_parameters(); }
    /// The PDU that is being answered.
    const LoginRequest& request() const { return request_; }

private:
    using Refusal = std::optional<LoginRefused>;

    Refusal check_request(const LoginRequest& request) const;
    Refusal check_stages(const LoginRequest& request) const;
    Refusal read_names();
    Refusal declare_name(const KeyRow& row, std::string_view value);
    Refusal negotiate();
    Refusal negotiate_pair(const TextPair& pair);
    Refusal negotiate_security(const KeyRow& row, std::string_view value);
    Refusal choose_method(const KeyRow& row, std::string_view offer);
    Refusal authenticate();
    bool must_authenticate() const {
        return decision_.chap && !(chap_ && chap_->is_authenticated());
    }
    void declare_ours();
    LoginStep answer();

    ConnectionLimits limits_;
    void (*random_)(MutableBytes);
    TextCollector collector_;
    KeyNegotiation negotiation_;
    LoginRequestInfo info_;
    LoginDecision decision_;
    LoginRequest request_{};
    std::optional<LoginStage> stage_;  ///< none before the first request
    bool names_read_ = false;
    bool group_tag_declared_ = false, receive_length_declared_ = false;
    std::string text_;  ///< of the step that is being negotiated
    std::string answer_text_;
    std::optional<std::string> first_burst_offer_;
    bool method_chosen_ = false;
    std::optional<Chap> chap_;  ///< since AuthMethod=CHAP was answered
    ChapKeys chap_keys_;        ///< of the text that is being negotiated
    TextPieces pieces_;
};

}  // namespace cowtgt::iscsi
