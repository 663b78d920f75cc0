#include "target/iscsi/login.h"

#include <algorithm>
#include <utility>

namespace cowtgt::iscsi {

namespace {

/// Data segment of a Login Response: the default MaxRecvDataSegmentLength holds until full feature
/// phase (RFC 7143 section 13.12).
constexpr std::size_t login_segment_max = 8192;

std::uint8_t current_stage_of(const LoginRequest& request) {
    return request.flags >> LoginRequest::current_stage_shift & LoginRequest::stage_mask;
}
std::uint8_t next_stage_of(const LoginRequest& request) {
    return request.flags & LoginRequest::stage_mask;
}
bool wants_transit(const LoginRequest& request) {
    return (request.flags & LoginRequest::flag_transit) != 0;
}
bool continues(const LoginRequest& request) {
    return (request.flags & LoginRequest::flag_continue) != 0;
}

LoginRefused initiator_error(std::string reason) {
    return {LoginStatus::initiator_error, std::move(reason)};
}

LoginRefused authentication_failure(std::string reason) {
    return {LoginStatus::authentication_failure, std::move(reason)};
}

bool is_name_key(Key key) {
    return key == Key::initiator_name || key == Key::initiator_alias || key == Key::target_name ||
           key == Key::session_type;
}

}  // namespace

LoginStep Login::receive(const LoginRequest& request, Bytes data) {
    if (Refusal refusal = check_request(request)) return *std::move(refusal);
    request_ = request;
    if (!stage_) {
        stage_ = static_cast<LoginStage>(current_stage_of(request));
        info_.isid = request.isid;
        info_.tsih = request.tsih.get();
        info_.cid = request.cid.get();
        info_.cmd_sn = request.cmd_sn.get();
    }
    if (!collector_.append(data)) {
        return LoginRefused{LoginStatus::out_of_resources, "the text of one step is too long"};
    }
    if (continues(request)) {
        return LoginAnswer{static_cast<std::uint8_t>(current_stage_of(request)
                                                     << LoginRequest::current_stage_shift),
                           {}};
    }
    text_ = collector_.take();
    if (!pieces_.empty()) {
        if (!text_.empty()) return initiator_error("text while our answer is not yet complete");
        return answer();
    }
    if (!names_read_) {
        names_read_ = true;
        if (Refusal refusal = read_names()) return *std::move(refusal);
        return LoginNeedsDecision{};
    }
    if (Refusal refusal = negotiate()) return *std::move(refusal);
    return answer();
}

Login::Refusal Login::check_request(const LoginRequest& request) const {
    if (request.version_min != 0) {
        return LoginRefused{LoginStatus::unsupported_version, "version-min is not 0"};
    }
    if (request.total_ahs_length != 0) return initiator_error("login with an additional header");
    if (!stage_) return check_stages(request);
    if (request.isid != request_.isid || request.tsih != request_.tsih ||
        request.cid != request_.cid || request.initiator_task_tag != request_.initiator_task_tag) {
        return initiator_error("ISID, TSIH, CID or task tag differs from the first request");
    }
    return check_stages(request);
}

Login::Refusal Login::check_stages(const LoginRequest& request) const {
    const std::uint8_t current = current_stage_of(request);
    const std::uint8_t next = next_stage_of(request);
    if (current > static_cast<std::uint8_t>(LoginStage::operational)) {
        return initiator_error("no such current stage");
    }
    if (stage_ && current != static_cast<std::uint8_t>(*stage_)) {
        return initiator_error("current stage is not the one that was reached");
    }
    if (!wants_transit(request)) return std::nullopt;
    if (continues(request)) return initiator_error("T and C bit together");
    if (next <= current || next == 2) return initiator_error("no transit to that stage");
    return std::nullopt;
}

/// The leading text has to say who logs in to what (section 6.3): that decides about the rest.
Login::Refusal Login::read_names() {
    const auto pairs = parse_text(text_);
    if (!pairs) return initiator_error("text that breaks the grammar");
    for (const TextPair& pair : *pairs) {
        const KeyRow* row = find_key(pair.key);
        if (row == nullptr || !is_name_key(row->key)) continue;
        if (Refusal refusal = declare_name(*row, pair.value)) return refusal;
    }
    if (info_.initiator_name.empty()) {
        return LoginRefused{LoginStatus::missing_parameter, "InitiatorName is missing"};
    }
    if (info_.target_name.empty() && info_.session_type == SessionType::normal) {
        return LoginRefused{LoginStatus::missing_parameter, "TargetName is missing"};
    }
    return std::nullopt;
}

Login::Refusal Login::declare_name(const KeyRow& row, std::string_view value) {
    if (!negotiation_.use_once(row.key)) {
        return initiator_error(std::string(row.name) + " is declared twice");
    }
    const std::size_t length_max =
        row.key == Key::initiator_alias ? text_value_length_max : iscsi_name_length_max;
    if (value.size() > length_max) return initiator_error(std::string(row.name) + " is too long");
    switch (row.key) {
        case Key::initiator_name:
            info_.initiator_name = value;
            break;
        case Key::initiator_alias:
            info_.initiator_alias = value;
            break;
        case Key::target_name:
            info_.target_name = value;
            break;
        default:
            if (value != "Normal" && value != "Discovery") {
                return LoginRefused{LoginStatus::session_type_not_supported,
                                    "SessionType is neither Normal nor Discovery"};
            }
            info_.session_type = value == "Normal" ? SessionType::normal : SessionType::discovery;
    }
    return std::nullopt;
}

LoginStep Login::decide(const LoginDecision& decision) {
    decision_ = decision;
    if (decision.status != LoginStatus::success) {
        return LoginRefused{decision.status, "refused by the target"};
    }
    if (info_.tsih != 0 && info_.session_type == SessionType::discovery) {
        return LoginRefused{LoginStatus::session_does_not_exist, "TSIH of no session"};
    }
    if (decision.chap && stage_ != LoginStage::security) {
        return authentication_failure("CHAP is required, but the login begins without security");
    }
    if (Refusal refusal = negotiate()) return *std::move(refusal);
    return answer();
}

Login::Refusal Login::negotiate() {
    const auto pairs = parse_text(text_);
    if (!pairs) return initiator_error("text that breaks the grammar");
    const bool is_leading = !group_tag_declared_;
    declare_ours();
    for (const TextPair& pair : *pairs) {
        const KeyRow* row = find_key(pair.key);
        if (is_leading && row != nullptr && is_name_key(row->key)) continue;
        if (Refusal refusal = negotiate_pair(pair)) return refusal;
    }
    if (first_burst_offer_) {
        append_pair(answer_text_, row_of(Key::first_burst_length).name,
                    *negotiation_.answer_first_burst_length(*first_burst_offer_));
        first_burst_offer_.reset();
    }
    return authenticate();
}

Login::Refusal Login::negotiate_pair(const TextPair& pair) {
    const KeyRow* row = find_key(pair.key);
    if (row == nullptr) {
        append_pair(answer_text_, pair.key, "NotUnderstood");
        return std::nullopt;
    }
    if (is_name_key(row->key)) {
        return initiator_error(std::string(row->name) + " outside of the leading text");
    }
    if (!negotiation_.use_once(row->key)) {
        return initiator_error(std::string(row->name) + " is offered twice");
    }
    if (row->result == ResultFunction::security) return negotiate_security(*row, pair.value);
    if (row->result == ResultFunction::send_targets) {
        append_pair(answer_text_, row->name, "Reject");  // full feature phase only
        return std::nullopt;
    }
    if (row->key == Key::first_burst_length && info_.session_type == SessionType::normal) {
        first_burst_offer_ = pair.value;
        return std::nullopt;
    }
    if (const auto value = negotiation_.answer(*row, pair.value, info_.session_type)) {
        append_pair(answer_text_, row->name, *value);
    }
    return std::nullopt;
}

Login::Refusal Login::negotiate_security(const KeyRow& row, std::string_view value) {
    if (stage_ != LoginStage::security) {
        append_pair(answer_text_, row.name, "Reject");
        return std::nullopt;
    }
    if (row.key == Key::auth_method) return choose_method(row, value);
    if (!decision_.chap) {
        append_pair(answer_text_, row.name, "Reject");
        return std::nullopt;
    }
    switch (row.key) {
        case Key::chap_a:
            chap_keys_.algorithms = value;
            break;
        case Key::chap_i:
            chap_keys_.identifier = value;
            break;
        case Key::chap_c:
            chap_keys_.challenge = value;
            break;
        case Key::chap_n:
            chap_keys_.name = value;
            break;
        default:
            chap_keys_.response = value;
    }
    if (!chap_) return authentication_failure(std::string(row.name) + " before AuthMethod=CHAP");
    return std::nullopt;
}

/// Section 12: of the methods that both sides accept. There is one: CHAP if it is demanded, else
/// None.
Login::Refusal Login::choose_method(const KeyRow& row, std::string_view offer) {
    const std::string_view ours = decision_.chap ? "CHAP" : "None";
    const std::vector<std::string_view> methods = split_list(offer);
    if (std::ranges::find(methods, ours) == methods.end()) {
        return authentication_failure("AuthMethod=" + std::string(offer) + ", but it must be " +
                                      std::string(ours));
    }
    append_pair(answer_text_, row.name, ours);
    method_chosen_ = true;
    return std::nullopt;
}

/// What the CHAP keys of one text come to; section 12.1.3 has them in texts of their own, after
/// the one that chooses the method.
Login::Refusal Login::authenticate() {
    if (!decision_.chap || stage_ != LoginStage::security) return std::nullopt;
    const ChapKeys keys = std::exchange(chap_keys_, {});
    if (chap_) {
        const ChapStep step = chap_->receive(keys);
        if (const auto* failure = std::get_if<ChapFailure>(&step)) {
            return authentication_failure(failure->reason);
        }
        answer_text_ += std::get<ChapAnswer>(step).text;
    } else if (method_chosen_) {
        chap_.emplace(*decision_.chap, random_);
    } else if (wants_transit(request_)) {
        return authentication_failure("CHAP is required, but AuthMethod was not offered");
    }
    return std::nullopt;
}

/// What the target says without being asked: the portal group in the first answer (section 13.9),
/// our MaxRecvDataSegmentLength once operational parameters may be declared.
void Login::declare_ours() {
    if (!group_tag_declared_) {
        group_tag_declared_ = true;
        if (info_.session_type == SessionType::normal) {
            append_pair(answer_text_, row_of(Key::target_portal_group_tag).name,
                        std::to_string(decision_.target_portal_group_tag));
            if (!decision_.target_alias.empty()) {
                append_pair(answer_text_, row_of(Key::target_alias).name, decision_.target_alias);
            }
        }
    }
    const bool leaves_for_full_feature =
        wants_transit(request_) &&
        next_stage_of(request_) == static_cast<std::uint8_t>(LoginStage::full_feature);
    if (receive_length_declared_ ||
        (stage_ != LoginStage::operational && !leaves_for_full_feature)) {
        return;
    }
    receive_length_declared_ = true;
    append_pair(answer_text_, row_of(Key::max_recv_data_segment_length).name,
                std::to_string(limits_.max_recv_data_segment_length));
}

LoginStep Login::answer() {
    pieces_.append(answer_text_);
    answer_text_.clear();
    // Section 6.3.2: the target decides when security negotiation is over.
    const bool transits = wants_transit(request_) && !must_authenticate();
    const auto next = static_cast<LoginStage>(next_stage_of(request_));
    const std::string_view piece = pieces_.take(login_segment_max);
    auto flags =
        static_cast<std::uint8_t>(current_stage_of(request_) << LoginRequest::current_stage_shift);
    if (!pieces_.empty()) {
        flags |= LoginRequest::flag_continue;
    } else if (transits) {
        flags |= static_cast<std::uint8_t>(LoginRequest::flag_transit | next_stage_of(request_));
    }
    LoginAnswer result{flags, std::string(piece)};
    if (!pieces_.empty()) return result;
    pieces_.clear();
    if (!transits) return result;
    if (next == LoginStage::full_feature) {
        answer_text_ = std::move(result.text);
        return LoginNeedsSession{};
    }
    stage_ = next;
    return result;
}

LoginAnswer Login::finish() {
    return {
        static_cast<std::uint8_t>(LoginRequest::flag_transit |
                                  current_stage_of(request_) << LoginRequest::current_stage_shift |
                                  static_cast<std::uint8_t>(LoginStage::full_feature)),
        std::move(answer_text_)};
}

}  // namespace cowtgt::iscsi
