// Ephemeral instances: what a boot takes away, what it keeps, and that both are there at once.

#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

using Boot = MarkedDisks;

TEST_F(Boot, PutsTheTemplateBackUnderTheSameIdentityAndKeepsWhatWasThereAsLast) {
    const Content fresh = export_of(*store_, "web01");
    for (char mark = 'a'; mark < 'd'; ++mark) {
        write_mark("web01", mark);
        const Result<void> reset = store_->reset_for_boot("web01", BootPhase::fresh);
        ASSERT_TRUE(reset) << message_of(reset);
        EXPECT_EQ(difference(export_of(*store_, "web01"), fresh), Difference{});
        EXPECT_EQ(static_cast<char>(snapshot_content("web01", "last")[mark_offset]), mark);
        EXPECT_EQ(store_->find_instance("web01")->snapshots, std::vector<std::string>{"last"});
        EXPECT_EQ(layer_files("web01"), 2U);
        EXPECT_EQ(store_->find_instance("web01")->boot_phase, BootPhase::fresh);
    }
}

TEST_F(Boot, OtherSnapshotsAndClonesOfTheLastOneStay) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "mine"));
    ASSERT_TRUE(store_->reset_for_boot("web01", BootPhase::running));
    ASSERT_TRUE(clone_snapshot("last", "web02"));
    ASSERT_TRUE(store_->reset_for_boot("web01", BootPhase::running));
    EXPECT_EQ(store_->find_instance("web01")->snapshots,
              (std::vector<std::string>{"mine", "last"}));
    EXPECT_EQ(mark_of("web02"), 'a');
    ASSERT_TRUE(store_->restore_snapshot("web01", "mine"));
    EXPECT_EQ(mark_of("web01"), 'a');
}

TEST_F(Boot, ThePhaseIsKeptAndTheLabelIsTaken) {
    EXPECT_EQ(store_->find_instance("web01")->boot_phase, BootPhase::running);
    for (const BootPhase phase : {BootPhase::armed, BootPhase::fresh, BootPhase::running}) {
        ASSERT_TRUE(store_->set_boot_phase("web01", phase));
        store_.reset();
        store_ = open();
        EXPECT_EQ(store_->find_instance("web01")->boot_phase, phase);
    }
    EXPECT_EQ(store_->snapshot("web01", "last").error().code, ErrorCode::usage);
    EXPECT_EQ(store_->set_boot_phase("web02", BootPhase::armed).error().code, ErrorCode::not_found);
    const auto opened = store_->open_instance("web01");
    EXPECT_EQ(store_->reset_for_boot("web01", BootPhase::fresh).error().code, ErrorCode::in_use);
    EXPECT_EQ(store_->find_instance("web01")->boot_phase, BootPhase::running);
}

}  // namespace
}  // namespace cowtgt::store
