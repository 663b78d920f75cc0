#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

/// The connection states of RFC 7143 section 8.1 as seen by a target, and the transitions between
/// them by their numbers there. Every pair that has no row is a protocol error.
namespace cowtgt::iscsi {

enum class ConnectionState : std::uint8_t {
    free,              ///< S1
    xpt_up,            ///< S3
    in_login,          ///< S4
    logged_in,         ///< S5
    in_logout,         ///< S6
    logout_requested,  ///< S7
    cleanup_wait,      ///< S8
};

enum class ConnectionEvent : std::uint8_t {
    transport_accepted,
    login_received,
    login_finished,
    login_failed,
    logout_received,
    logout_requested,  ///< we sent an Asynchronous Message that asks for a logout
    logout_finished,
    transport_lost,  ///< or dropped by us, which is the same to the initiator
    cleaned_up,
};

struct Transition {
    ConnectionState from;
    ConnectionEvent event;
    ConnectionState to;
};

namespace detail {
using enum ConnectionState;
using Event = ConnectionEvent;

inline constexpr std::array transitions = {
    Transition{free, Event::transport_accepted, xpt_up},                      // T3
    Transition{xpt_up, Event::login_received, in_login},                      // T4
    Transition{in_login, Event::login_finished, logged_in},                   // T5
    Transition{xpt_up, Event::transport_lost, free},                          // T6
    Transition{in_login, Event::login_failed, free},                          // T7
    Transition{in_login, Event::transport_lost, free},                        // T7
    Transition{logged_in, Event::logout_received, in_logout},                 // T9
    Transition{logout_requested, Event::logout_received, in_logout},          // T10
    Transition{logged_in, Event::logout_requested, logout_requested},         // T11
    Transition{logout_requested, Event::logout_requested, logout_requested},  // T12
    Transition{in_logout, Event::logout_finished, free},                      // T13
    Transition{in_logout, Event::logout_requested, in_logout},                // T14
    Transition{logged_in, Event::transport_lost, cleanup_wait},               // T15
    Transition{logout_requested, Event::transport_lost, cleanup_wait},        // T16
    Transition{in_logout, Event::transport_lost, cleanup_wait},               // T17
    Transition{cleanup_wait, Event::cleaned_up, free},                        // M1, section 8.2
};

constexpr bool one_row_per_state_and_event() {
    for (std::size_t i = 0; i < transitions.size(); ++i) {
        for (std::size_t j = i + 1; j < transitions.size(); ++j) {
            if (transitions[i].from == transitions[j].from &&
                transitions[i].event == transitions[j].event) {
                return false;
            }
        }
    }
    return true;
}
static_assert(one_row_per_state_and_event());
}  // namespace detail

/// The state after `event`, or nothing where the standard has no transition.
constexpr std::optional<ConnectionState> next_state(ConnectionState from, ConnectionEvent event) {
    for (const Transition& row : detail::transitions) {
        if (row.from == from && row.event == event) return row.to;
    }
    return std::nullopt;
}

}  // namespace cowtgt::iscsi
