#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "cow-store/store/open_instance.h"
#include "cow-store/store/reshape.h"
#include "cow-store/store/streams.h"
#include "tests/unit/store/power_recorder.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

/// One change of the store, harmed before each of its steps in turn.
struct Change {
    /// Brings the store to the state before the change, whichever state it is in.
    std::function<void(Store&)> prepare;
    std::function<Result<void>(Store&)> make;
    /// True: all of the change is there. False: nothing of it. The test fails for anything else.
    std::function<bool(Store&)> is_made;
    /// What the next opening says when it finds the change half made; several are possible.
    std::vector<std::string> sentences;
};

class Kill : public StoreTest {
protected:
    void SetUp() override {
        StoreTest::SetUp();
        ASSERT_TRUE(Store::create(root()));
        image_ = make_image("image", 4 * mebibyte, 1);
        content_ = read_all(image_);
    }

    static Result<void> import(Store& store, const std::filesystem::path& image) {
        ImportOptions options;
        options.image = image;
        options.name = "debian12";
        const Result<ImportResult> imported = store.import_template(options);
        return imported ? Result<void>{} : imported.error();
    }

    static Result<void> clone(Store& store, const std::string& name) {
        CloneOptions options;
        options.source.name = "debian12";
        options.name = name;
        const Result<InstanceInfo> info = store.clone(options);
        return info ? Result<void>{} : info.error();
    }

    static bool has_template(const Store& store) {
        return store.find_template({.name = "debian12", .version = 0, .tag = ""}).has_value();
    }

    void need_template(Store& store) const {
        if (!has_template(store)) {
            ASSERT_TRUE(import(store, image_));
        }
    }

    void need_instance(Store& store, const std::string& name) const {
        need_template(store);
        if (!store.find_instance(name)) {
            ASSERT_TRUE(clone(store, name));
        }
    }

    void need_fresh_instance(Store& store) const {
        need_template(store);
        need_no_instance(store, "web01");
        ASSERT_TRUE(clone(store, "web01"));
    }

    static void need_no_instance(Store& store, const std::string& name) {
        if (store.find_instance(name)) {
            ASSERT_TRUE(store.remove_instance(name));
        }
    }

    /// There, and whole: it reads like the template outside of its identity.
    bool is_whole(Store& store, const std::string& name) const {
        if (!store.find_instance(name)) return false;
        const Difference changed = difference(export_of(store, name), content_);
        EXPECT_TRUE(changed == Difference{} || (changed.begin >= signature_offset &&
                                                changed.end <= signature_offset + signature_length))
            << changed.begin << " to " << changed.end;
        return true;
    }

    /// There, and whole.
    bool has_whole_template(Store& store) const {
        EXPECT_EQ(store.templates().value().size(), has_template(store) ? 1U : 0U);
        if (!has_template(store)) return false;
        EXPECT_EQ(
            difference(export_of(store, {.name = "debian12", .version = 1, .tag = ""}), content_),
            Difference{});
        return true;
    }

    static Uuid layer_of(Store& store, const std::string& name) {
        const auto opened = store.open_instance(name);
        EXPECT_TRUE(opened) << message_of(opened);
        return opened ? (*opened)->layer.summary().uuid : Uuid{};
    }

    /// Runs the change in a child that kills itself before the given step. True: it was killed.
    bool kill_at(int step, const Change& change) const {
        const pid_t child = ::fork();
        if (child == 0) {
            int steps = -1;
            Environment environment;
            environment.before_step = [&](std::string_view) {
                if (steps >= 0 && steps++ == step) ::kill(::getpid(), SIGKILL);
                return 0;
            };
            Result<std::unique_ptr<Store>> store =
                Store::open(root(), Locking::exclusive, environment);
            steps = 0;
            ::_exit(store && change.make(**store) ? 0 : 1);
        }
        int status = 0;
        EXPECT_EQ(::waitpid(child, &status, 0), child);
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the change failed";
        return false;
    }

    /// Runs the change with one step failing. True: the step was reached.
    bool fail_at(int step, int os_errno, const Change& change) const {
        int steps = -1;
        bool failed = false;
        std::string failed_step;
        Environment environment;
        environment.before_step = [&](std::string_view what) {
            if (steps < 0 || steps++ != step) return 0;
            failed = true;
            failed_step = what;
            return os_errno;
        };
        {
            const auto store = open(Locking::exclusive, environment);
            steps = 0;
            const Result<void> made = change.make(*store);
            steps = -1;
            // Once the change is made, what cannot be tidied up is no failure.
            EXPECT_TRUE(!made || !failed || change.is_made(*store)) << failed_step;
            EXPECT_TRUE(made || failed) << message_of(made);
        }
        if (!failed_step.starts_with("removing")) {
            EXPECT_TRUE(leftovers().empty()) << failed_step;
        }
        return failed;
    }

    void expect_all_or_nothing(const Change& change, bool harmed) {
        const std::vector<std::string> left = leftovers();
        const bool object_left = std::ranges::any_of(
            left, [](const std::string& name) { return !name.starts_with("replace."); });
        const auto store = open();
        ASSERT_NE(store, nullptr);
        EXPECT_EQ(store->cleaned_up().size(), object_left ? 1U : 0U);
        for (const std::string& sentence : store->cleaned_up()) {
            EXPECT_NE(std::ranges::find(change.sentences, sentence), change.sentences.end())
                << sentence;
        }
        EXPECT_TRUE(leftovers().empty());
        const bool made = change.is_made(*store);
        EXPECT_TRUE(made || harmed);
        (made ? seen_made_ : seen_not_made_) += 1;
    }

    /// Runs the change; before each step and at the end the power goes in some of the possible
    /// ways. Returns how often a change that had been answered was gone afterwards.
    int cut_power(const Change& change, PowerRecorder::Syncs syncs) {
        constexpr std::uint64_t cuts_per_step = 3;
        const std::filesystem::path keep = folder() / "keep";
        const std::filesystem::path cut = folder() / "cut";
        std::filesystem::create_directory(keep);
        std::unique_ptr<PowerRecorder> recorder;
        int lost = 0;
        const auto cut_now = [&](std::string_view step, bool answered) {
            recorder->step(step);
            for (std::uint64_t i = 0; i < cuts_per_step && !HasFailure(); ++i) {
                SCOPED_TRACE("power cut before " + std::string(step));
                std::filesystem::create_directory(cut);
                recorder->cut_into(cut);
                Result<std::unique_ptr<Store>> found = Store::open(cut, Locking::exclusive);
                ASSERT_TRUE(found) << message_of(found);
                if (!change.is_made(**found) && answered) ++lost;
                found = Error{};
                std::filesystem::remove_all(cut);
                ++power_cuts_;
            }
        };
        Environment environment;
        environment.before_step = [&](std::string_view what) {
            if (recorder) cut_now(what, false);
            return 0;
        };
        const auto store = open(Locking::exclusive, environment);
        recorder = std::make_unique<PowerRecorder>(root(), keep, 1, syncs);
        EXPECT_TRUE(change.make(*store));
        cut_now("the end", true);
        recorder.reset();
        std::filesystem::remove_all(keep);
        return lost;
    }

    /// Every step is killed once, fails once with each errno, and sees the power go.
    void walk(const Change& change) {
        for (int step = 0, harmed = 1; harmed != 0 && !HasFatalFailure(); ++step) {
            SCOPED_TRACE("killed before step " + std::to_string(step));
            change.prepare(*open());
            harmed = kill_at(step, change) ? 1 : 0;
            expect_all_or_nothing(change, harmed != 0);
            if (harmed == 0) {
                EXPECT_GT(step, 1);
            }
        }
        EXPECT_GT(seen_not_made_, 0);
        EXPECT_GT(seen_made_, 0);
        for (const int os_errno : {EIO, ENOSPC}) {
            for (int step = 0, harmed = 1; harmed != 0 && !HasFatalFailure(); ++step) {
                SCOPED_TRACE("errno " + std::to_string(os_errno) + " at step " +
                             std::to_string(step));
                change.prepare(*open());
                harmed = fail_at(step, os_errno, change) ? 1 : 0;
                expect_all_or_nothing(change, harmed != 0);
            }
        }
        change.prepare(*open());
        EXPECT_EQ(cut_power(change, PowerRecorder::Syncs::honest), 0);
        EXPECT_GT(power_cuts_, 5);
    }

    std::filesystem::path image_;
    Content content_;
    int seen_made_ = 0;
    int seen_not_made_ = 0;
    int power_cuts_ = 0;
};

TEST_F(Kill, Import) {
    walk({.prepare =
              [](Store& store) {
                  if (!has_template(store)) return;
                  ASSERT_TRUE(store.remove_template({.name = "debian12", .version = 0, .tag = ""}));
              },
          .make = [this](Store& store) { return import(store, image_); },
          .is_made = [this](Store& store) { return has_whole_template(store); },
          .sentences = {"removed a half-made import of template debian12"}});
}

TEST_F(Kill, Clone) {
    walk({.prepare =
              [this](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
              },
          .make = [](Store& store) { return clone(store, "web01"); },
          .is_made = [this](Store& store) { return is_whole(store, "web01"); },
          .sentences = {"removed the half-made instance web01"}});
}

/// The recorder proves itself: without the syncs of folders a clone that was answered is lost.
TEST_F(Kill, AFolderThatIsNotSyncedIsFound) {
    const Change change = {.prepare = {},
                           .make = [](Store& store) { return clone(store, "web01"); },
                           .is_made = [this](Store& store) { return is_whole(store, "web01"); },
                           .sentences = {}};
    need_template(*open());
    EXPECT_GT(cut_power(change, PowerRecorder::Syncs::folders_lie), 0);
}

TEST_F(Kill, RemoveInstance) {
    walk({.prepare = [this](Store& store) { need_instance(store, "web01"); },
          .make = [](Store& store) { return store.remove_instance("web01"); },
          .is_made = [this](Store& store) { return !is_whole(store, "web01"); },
          .sentences = {"finished the removal of instance web01"}});
}

TEST_F(Kill, RemoveTemplate) {
    walk({.prepare = [this](Store& store) { need_template(store); },
          .make =
              [](Store& store) {
                  return store.remove_template({.name = "debian12", .version = 0, .tag = ""});
              },
          .is_made = [this](Store& store) { return !has_whole_template(store); },
          .sentences = {"finished the removal of template debian12"}});
}

TEST_F(Kill, Rename) {
    walk({.prepare =
              [this](Store& store) {
                  need_no_instance(store, "web02");
                  need_instance(store, "web01");
              },
          .make = [](Store& store) { return store.rename_instance("web01", "web02"); },
          .is_made =
              [this](Store& store) {
                  const bool made = is_whole(store, "web02");
                  EXPECT_NE(is_whole(store, "web01"), made);
                  return made;
              },
          .sentences = {}});
}

TEST_F(Kill, Reset) {
    Uuid before;
    walk({.prepare =
              [this, &before](Store& store) {
                  need_instance(store, "web01");
                  before = layer_of(store, "web01");
              },
          .make = [](Store& store) { return store.reset_instance("web01"); },
          .is_made =
              [this, &before](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  return layer_of(store, "web01") != before;
              },
          .sentences = {"dropped an interrupted reset of instance web01, which keeps what it "
                        "has"}});
}

TEST_F(Kill, Snapshot) {
    Content before;
    walk({.prepare =
              [this, &before](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
                  before = export_of(store, "web01");
              },
          .make =
              [](Store& store) {
                  const auto made = store.snapshot("web01", "s");
                  return made ? Result<void>{} : made.error();
              },
          .is_made =
              [this, &before](Store& store) {
                  EXPECT_EQ(difference(export_of(store, "web01"), before), Difference{});
                  const bool made = store.snapshots("web01").value().size() == 1;
                  if (made) {
                      EXPECT_TRUE(store.restore_snapshot("web01", "s"));
                      EXPECT_TRUE(store.snapshot("web01", "again"));
                  }
                  EXPECT_EQ(difference(export_of(store, "web01"), before), Difference{});
                  return made;
              },
          .sentences = {"dropped an interrupted snapshot of instance web01, which keeps what it "
                        "has"}});
}

TEST_F(Kill, RestoreSnapshot) {
    Uuid before;
    walk({.prepare =
              [this, &before](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
                  ASSERT_TRUE(store.snapshot("web01", "one"));
                  ASSERT_TRUE(store.snapshot("web01", "two"));
                  before = layer_of(store, "web01");
              },
          .make = [](Store& store) { return store.restore_snapshot("web01", "one"); },
          .is_made =
              [this, &before](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  EXPECT_EQ(store.snapshots("web01").value().size(), 2U);
                  return layer_of(store, "web01") != before;
              },
          .sentences = {"dropped an interrupted restore of instance web01, which keeps what it "
                        "has"}});
}

TEST_F(Kill, RemoveSnapshot) {
    walk({.prepare =
              [this](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
                  ASSERT_TRUE(store.snapshot("web01", "one"));
                  ASSERT_TRUE(store.reset_instance("web01"));
              },
          .make = [](Store& store) { return store.remove_snapshot("web01", "one"); },
          .is_made =
              [this](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  return store.snapshots("web01").value().empty();
              },
          .sentences = {}});
}

TEST_F(Kill, CloneSnapshot) {
    walk({.prepare =
              [this](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web02");
                  need_instance(store, "web01");
                  if (store.snapshots("web01").value().empty()) {
                      ASSERT_TRUE(store.snapshot("web01", "s"));
                  }
              },
          .make =
              [](Store& store) {
                  CloneOptions options;
                  options.name = "web02";
                  const auto made = store.clone_snapshot("web01", "s", options);
                  return made ? Result<void>{} : made.error();
              },
          .is_made = [this](Store& store) { return is_whole(store, "web02"); },
          .sentences = {"removed the half-made instance web02"}});
}

TEST_F(Kill, Commit) {
    const TemplateRef golden{.name = "golden", .version = 0, .tag = ""};
    walk({.prepare =
              [this, golden](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
                  if (store.find_template(golden)) {
                      ASSERT_TRUE(store.remove_template(golden));
                  }
              },
          .make =
              [](Store& store) {
                  const auto made = store.commit({.instance = "web01", .name = "golden"});
                  return made ? Result<void>{} : made.error();
              },
          .is_made =
              [this, golden](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  if (!store.find_template(golden)) return false;
                  EXPECT_EQ(difference(export_of(store, golden), export_of(store, "web01")),
                            Difference{});
                  return true;
              },
          .sentences = {"dropped an interrupted snapshot of instance web01, which keeps what it "
                        "has",
                        "removed a half-made version of template golden"}});
}

TEST_F(Kill, Resize) {
    walk({.prepare =
              [this](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
              },
          .make =
              [](Store& store) {
                  const auto made = store.resize_instance("web01", 5 * mebibyte);
                  return made ? Result<void>{} : made.error();
              },
          .is_made =
              [](Store& store) {
                  const std::uint64_t size = store.find_instance("web01").value().size_bytes;
                  const auto opened = store.open_instance("web01");
                  EXPECT_TRUE(opened) << message_of(opened);
                  EXPECT_EQ((*opened)->layer.summary().virtual_size, size);
                  return size == 5 * mebibyte;
              },
          .sentences = {}});
}

TEST_F(Kill, ResetForABoot) {
    Uuid before;
    walk({.prepare =
              [this, &before](Store& store) {
                  need_template(store);
                  need_no_instance(store, "web01");
                  need_instance(store, "web01");
                  before = layer_of(store, "web01");
              },
          .make = [](Store& store) { return store.reset_for_boot("web01", BootPhase::fresh); },
          .is_made =
              [this, &before](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  const InstanceInfo info = store.find_instance("web01").value();
                  const bool made = info.boot_phase == BootPhase::fresh;
                  EXPECT_EQ(layer_of(store, "web01") != before, made);
                  EXPECT_EQ(info.snapshots.size(), made ? 1U : 0U);
                  return made;
              },
          .sentences = {"dropped an interrupted reset of instance web01, which keeps what it "
                        "has"}});
}

TEST_F(Kill, FlattenWithoutADaemon) {
    walk({.prepare = [this](Store& store) { need_fresh_instance(store); },
          .make = [](Store& store) { return Reshape(store).flatten_now("web01"); },
          .is_made =
              [this](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  return store.find_instance("web01")->template_name.empty();
              },
          .sentences = {"dropped an interrupted flatten of instance web01, which stands on what it "
                        "stood on"}});
}

TEST_F(Kill, TheEndOfAFlatten) {
    walk({.prepare =
              [this](Store& store) {
                  need_fresh_instance(store);
                  ASSERT_TRUE(Reshape(store).note_flattening("web01"));
              },
          .make = [](Store& store) -> Result<void> {
              if (auto done = Reshape(store).finish_flatten("web01"); !done) return done;
              const auto opened = store.open_instance("web01");
              return opened ? Result<void>{} : opened.error();
          },
          .is_made =
              [](Store& store) {
                  const InstanceInfo info = store.find_instance("web01").value();
                  const auto opened = store.open_instance("web01");
                  EXPECT_TRUE(opened) << message_of(opened);
                  const bool stands_alone = (*opened)->layer.summary().parent.uuid.is_nil();
                  EXPECT_EQ(stands_alone, info.template_name.empty() && !info.is_flattening);
                  return stands_alone;
              },
          .sentences = {}});
}

TEST_F(Kill, Rebase) {
    const TemplateRef second{.name = "debian12", .version = 2, .tag = ""};
    walk({.prepare =
              [this, second](Store& store) {
                  need_template(store);
                  if (!store.find_template(second)) {
                      ASSERT_TRUE(import(store, image_));
                  }
                  need_no_instance(store, "web01");
                  CloneOptions options;
                  options.source = {.name = "debian12", .version = 1, .tag = ""};
                  options.name = "web01";
                  ASSERT_TRUE(store.clone(options));
              },
          .make =
              [second](Store& store) {
                  const auto made = Reshape(store).rebase("web01", second);
                  return made ? Result<void>{} : made.error();
              },
          .is_made =
              [this](Store& store) {
                  EXPECT_TRUE(is_whole(store, "web01"));
                  return store.find_instance("web01")->template_version == 2;
              },
          .sentences = {"dropped an interrupted rebase of instance web01, which keeps what it "
                        "has"}});
}

/// Sends a snapshot of web01 to the same store, as "copy".
void send_to_copy(Store& store, const std::string& label, const std::string& from) {
    std::string stream;
    const auto sink = [&stream](Bytes bytes) -> Result<void> {
        stream += text_of(bytes);
        return {};
    };
    ASSERT_TRUE(Streams(store).send({.instance = "web01", .label = label, .from = from}, sink, {}));
    std::size_t read = 0;
    const auto source = [&](MutableBytes into) -> Result<std::size_t> {
        const std::size_t count = std::min(into.size(), stream.size() - read);
        std::ranges::copy(bytes_of(stream).subspan(read, count), into.begin());
        read += count;
        return count;
    };
    const auto received = Streams(store).receive("copy", source, {});
    ASSERT_TRUE(received) << message_of(received);
}

TEST_F(Kill, AnInstanceOfAStream) {
    walk({.prepare =
              [this](Store& store) {
                  need_instance(store, "web01");
                  if (store.snapshots("web01").value().empty()) {
                      ASSERT_TRUE(store.snapshot("web01", "s"));
                  }
                  need_no_instance(store, "copy");
                  send_to_copy(store, "s", "");
              },
          .make =
              [](Store& store) {
                  const auto made = Streams(store).finish("copy");
                  return made ? Result<void>{} : made.error();
              },
          .is_made = [this](Store& store) { return is_whole(store, "copy"); },
          .sentences = {"removed the half-made instance copy",
                        "finished the removal of what had arrived of a stream for instance copy"}});
}

TEST_F(Kill, TheNextSnapshotOfAStream) {
    walk({.prepare =
              [this](Store& store) {
                  need_instance(store, "web01");
                  if (store.snapshots("web01").value().empty()) {
                      ASSERT_TRUE(store.snapshot("web01", "one"));
                      ASSERT_TRUE(store.snapshot("web01", "two"));
                  }
                  need_no_instance(store, "copy");
                  (void)Streams(store).abandon("copy");
                  send_to_copy(store, "one", "");
                  ASSERT_TRUE(Streams(store).finish("copy"));
                  send_to_copy(store, "two", "one");
              },
          .make =
              [](Store& store) {
                  const auto made = Streams(store).finish("copy");
                  return made ? Result<void>{} : made.error();
              },
          .is_made =
              [this](Store& store) {
                  EXPECT_TRUE(is_whole(store, "copy"));
                  return store.snapshots("copy").value().size() == 2;
              },
          .sentences = {"dropped an unfinished end of a stream for instance copy, which is still "
                        "there to be finished",
                        "finished the removal of what had arrived of a stream for instance copy"}});
}

TEST_F(Kill, CreatingAStore) {
    for (int step = 0;; ++step) {
        SCOPED_TRACE(step);
        std::filesystem::remove_all(root());
        const pid_t child = ::fork();
        if (child == 0) {
            int steps = 0;
            Environment environment;
            environment.before_step = [&](std::string_view) {
                if (steps++ == step) ::kill(::getpid(), SIGKILL);
                return 0;
            };
            ::_exit(Store::create(root(), environment) ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        const Result<void> again = Store::create(root());
        EXPECT_TRUE(again || again.error().code == ErrorCode::exists) << message_of(again);
        EXPECT_NE(open(), nullptr);
        if (!WIFSIGNALED(status)) {
            EXPECT_EQ(WEXITSTATUS(status), 0);
            return;
        }
    }
}

TEST_F(Kill, CleaningUpMayBeKilledToo) {
    need_template(*open());
    const Change cloning{.prepare = {},
                         .make = [](Store& store) { return clone(store, "web01"); },
                         .is_made = {},
                         .sentences = {}};
    int cleaned_at_last = 0;
    for (int kill_step = 0; kill_step < 4; ++kill_step) {
        SCOPED_TRACE(kill_step);
        // A clone that dies late, so that there is much to clean.
        ASSERT_TRUE(kill_at(6, cloning));
        const pid_t child = ::fork();
        if (child == 0) {
            int steps = 0;
            Environment environment;
            environment.before_step = [&](std::string_view) {
                if (steps++ == kill_step) ::kill(::getpid(), SIGKILL);
                return 0;
            };
            ::_exit(Store::open(root(), Locking::exclusive, environment) ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        const auto store = open();
        cleaned_at_last += static_cast<int>(store->cleaned_up().size());
        EXPECT_TRUE(leftovers().empty());
        EXPECT_TRUE(store->instances().value().empty());
    }
    EXPECT_GT(cleaned_at_last, 0);
}

TEST_F(Kill, AnImportThatIsStillRunningIsLeftAlone) {
    ImportOptions options;
    options.image = image_;
    options.name = "debian12";
    bool looked = false;
    options.progress = [&](std::uint64_t, std::uint64_t) {
        if (looked) return;
        looked = true;
        EXPECT_EQ(leftovers().size(), 1U);
        EXPECT_TRUE(open()->cleaned_up().empty());
        EXPECT_EQ(leftovers().size(), 1U);
    };
    const auto beside = open(Locking::none);
    const Result<ImportResult> imported = beside->import_template(options);
    EXPECT_TRUE(imported) << message_of(imported);
    EXPECT_TRUE(looked);
}

}  // namespace
}  // namespace cowtgt::store
