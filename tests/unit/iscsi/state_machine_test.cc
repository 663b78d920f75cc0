#include "target/iscsi/state_machine.h"

#include <gtest/gtest.h>

namespace cowtgt::iscsi {
namespace {

using enum ConnectionState;
using Event = ConnectionEvent;

TEST(StateMachine, FollowsTheStandard) {
    EXPECT_EQ(next_state(free, Event::transport_accepted), xpt_up);
    EXPECT_EQ(next_state(xpt_up, Event::login_received), in_login);
    EXPECT_EQ(next_state(in_login, Event::login_finished), logged_in);
    EXPECT_EQ(next_state(logged_in, Event::logout_received), in_logout);
    EXPECT_EQ(next_state(in_logout, Event::logout_finished), free);
    EXPECT_EQ(next_state(logged_in, Event::transport_lost), cleanup_wait);
    EXPECT_EQ(next_state(cleanup_wait, Event::cleaned_up), free);
}

TEST(StateMachine, HasNoOtherTransitions) {
    int rows = 0;
    for (int state = 0; state <= static_cast<int>(cleanup_wait); ++state) {
        for (int event = 0; event <= static_cast<int>(Event::cleaned_up); ++event) {
            if (next_state(static_cast<ConnectionState>(state), static_cast<Event>(event))) ++rows;
        }
    }
    EXPECT_EQ(rows, 16);
    EXPECT_EQ(next_state(xpt_up, Event::login_finished), std::nullopt);
    EXPECT_EQ(next_state(in_login, Event::logout_received), std::nullopt);
    EXPECT_EQ(next_state(free, Event::transport_lost), std::nullopt);
}

}  // namespace
}  // namespace cowtgt::iscsi
