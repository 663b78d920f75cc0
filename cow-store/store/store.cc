#include "cow-store/store/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/boot.h"
#include "cow-store/store/boot_folder.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/changes.h"
#include "cow-store/store/commit.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/export.h"
#include "cow-store/store/import.h"
#include "cow-store/store/instances.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/space.h"
#include "cow-store/store/templates.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

constexpr std::size_t lock_text_max = 128;  ///< bytes

Context make_context(const std::filesystem::path& directory, const Environment& environment) {
    return Context{.layout = Layout{directory},
                   .files = FileSystem(environment.before_step),
                   .environment = environment,
                   .locking = Locking::none,
                   .boot_id = Uuid{},
                   .read_sums = std::make_shared<ReadSums>()};
}

/// What a store that was never finished may consist of. A new file system has lost+found.
bool may_lie_in_a_new_store(const std::string& name) {
    constexpr std::array<std::string_view, 5> own = {"templates", "instances", "tmp", "lock",
                                                     "lost+found"};
    return std::find(own.begin(), own.end(), name) != own.end();
}

Result<void> check_is_free(const Layout& layout) {
    const Result<std::vector<std::string>> entries = list_directory(layout.root);
    if (!entries) return entries.error();
    for (const std::string& entry : *entries) {
        if (entry == layout.document().filename()) {
            return Error{ErrorCode::exists, "there is a store in " + layout.root.string() +
                                                " already; use it, or choose another folder"};
        }
    }
    for (const std::string& entry : *entries) {
        if (!may_lie_in_a_new_store(entry)) {
            return Error{ErrorCode::refused, "the folder " + layout.root.string() +
                                                 " is not empty: it holds " + entry +
                                                 "; choose an empty one for the store"};
        }
    }
    return {};
}

Result<void> make_if_absent(const Context& context, const std::filesystem::path& folder) {
    Result<void> made = context.files.make_directory(folder);
    if (!made && made.error().os_errno == EEXIST) return {};
    return made;
}

/// "by cowtgtd (process 4711)", as far as the lock file tells.
std::string holder_of(int fd) {
    std::array<std::byte, lock_text_max> text{};
    const Result<std::size_t> got = read_some_at(fd, 0, text, "the lock");
    const int pid = got ? std::atoi(std::string(text_of(Bytes{text}.first(*got))).c_str()) : 0;
    if (pid <= 0) return "by another process";
    return "by " + program_name(pid) + " (process " + std::to_string(pid) + ")";
}

Result<Descriptor> take_lock(const Layout& layout) {
    Result<Descriptor> file = open_descriptor(layout.lock(), O_RDWR | O_CREAT);
    if (!file) return file;
    const Result<bool> locked =
        lock_description(file->get(), 0, std::chrono::milliseconds{0}, layout.lock().string());
    if (!locked) return locked.error();
    if (!*locked) {
        return Error{ErrorCode::in_use, "the store " + layout.root.string() + " is in use " +
                                            holder_of(file->get()) + "; stop it first"};
    }
    // Only for the message above; the lock itself is the kernel's.
    const std::string text = std::to_string(::getpid()) + " " + program_name() + "\n";
    if (::ftruncate(file->get(), 0) == 0) {
        (void)write_all_at(file->get(), 0, bytes_of(text), layout.lock().string());
    }
    return file;
}

Result<void> check_format(const Layout& layout) {
    const Result<std::string> text = read_text_file(layout.document());
    if (!text && text.error().code == ErrorCode::not_found) {
        return Error{ErrorCode::not_found,
                     "there is no store in " + layout.root.string() + "; `cowtgt init` makes one"};
    }
    if (!text) return text.error();
    const Result<StoreDocument> document = decode_store(*text, layout.document().string());
    if (!document) return document.error();
    return {};
}

/// Folders of templates of which no version was ever finished.
void remove_empty_templates(const Context& context) {
    const Result<std::vector<std::string>> names = list_directory(context.layout.templates());
    if (!names) return;
    for (const std::string& name : *names) {
        const Result<std::vector<std::string>> inside =
            list_directory(context.layout.versions_of(name));
        if (inside && inside->empty()) {
            (void)context.files.remove_empty_directory(context.layout.versions_of(name));
        }
    }
}

}  // namespace

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::~Store() = default;

Result<void> Store::create(const std::filesystem::path& directory, const Environment& environment) {
    const Context context = make_context(directory, environment);
    if (Result<void> free = check_is_free(context.layout); !free) return free;
    const Layout& layout = context.layout;
    for (const std::filesystem::path& folder :
         {layout.root, layout.templates(), layout.instances(), layout.work()}) {
        if (Result<void> made = make_if_absent(context, folder); !made) return made;
    }
    if (Result<std::vector<std::string>> cleaned = clean_up(context); !cleaned) {
        return std::move(cleaned).error();
    }
    // Last of all: a folder without it is no store, and can be made one again.
    const StoreDocument document{.uuid = draw_uuid(), .created_at = time_now()};
    Result<void> done = replace_file(context, layout.document(), encode(document));
    if (done) restore_ballast(context);
    return done;
}

Result<std::unique_ptr<Store>> Store::open(const std::filesystem::path& directory, Locking locking,
                                           const Environment& environment) {
    auto state = std::make_unique<State>(
        State{.context = make_context(directory, environment), .lock = {}, .cleaned_up = {}});
    Context& context = state->context;
    if (Result<void> known = check_format(context.layout); !known) {
        return std::move(known).error();
    }
    context.locking = locking;
    context.boot_id = read_boot_id();
    if (locking == Locking::exclusive) {
        Result<Descriptor> lock = take_lock(context.layout);
        if (!lock) return std::move(lock).error();
        state->lock = std::move(*lock);
        Result<std::vector<std::string>> cleaned = clean_up(context);
        if (!cleaned) return std::move(cleaned).error();
        state->cleaned_up = std::move(*cleaned);
        remove_empty_templates(context);
        restore_ballast(context);
    }
    return std::unique_ptr<Store>(new Store(std::move(state)));
}

const std::vector<std::string>& Store::cleaned_up() const {
    return state_->cleaned_up;
}

const Context& Store::context() const {
    return state_->context;
}

Result<ImportResult> Store::import_template(const ImportOptions& options) {
    return store::import_template(state_->context, options);
}

Result<std::vector<TemplateInfo>> Store::templates() const {
    return list_templates(state_->context);
}

Result<TemplateInfo> Store::find_template(const TemplateRef& ref) const {
    return store::find_template(state_->context, ref);
}

Result<void> Store::remove_template(const TemplateRef& ref) {
    return store::remove_template(state_->exclusive(), ref);
}

Result<TemplateInfo> Store::note_template(const TemplateRef& ref, std::string_view note) {
    return store::note_template(state_->exclusive(), ref, note);
}

Result<std::uint64_t> Store::try_remove_template(const TemplateRef& ref) const {
    return store::try_remove_template(state_->context, ref);
}

Result<std::unique_ptr<identity::BlockSource>> Store::open_template(const TemplateRef& ref) const {
    return store::open_template(state_->context, ref);
}

Result<void> Store::add_boot_folder(const TemplateRef& ref, const FillBootFolder& fill) {
    return store::add_boot_folder(state_->context, ref, fill);
}

std::filesystem::path Store::boot_folder(std::string_view name, std::uint32_t version) const {
    return state_->context.layout.boot_folder_of(name, version);
}

std::filesystem::path Store::boot_folder(const InstanceInfo& info) const {
    if (info.template_name.empty()) return state_->context.layout.own_boot_folder(info.name);
    return boot_folder(info.template_name, info.template_version);
}

Result<TemplateInfo> Store::tag_template(const TemplateRef& ref, std::string_view tag) {
    return store::tag_template(state_->exclusive(), ref, tag);
}

Result<TemplateInfo> Store::commit(const CommitOptions& options) {
    return commit_instance(state_->exclusive(), options);
}

Result<InstanceInfo> Store::clone(const CloneOptions& options) {
    return clone_template(state_->exclusive(), options);
}

Result<std::vector<InstanceInfo>> Store::instances() const {
    const Context& context = state_->context;
    const Result<std::vector<std::string>> names = store::instance_names(context);
    if (!names) return names.error();
    std::vector<InstanceInfo> list;
    for (const std::string& name : *names) {
        const Result<InstanceDocument> document = load_instance(context, name);
        if (document) {
            list.push_back(describe(context, name, *document));
            continue;
        }
        InstanceInfo damaged;
        damaged.name = name;
        damaged.damage = document.error().message;
        list.push_back(std::move(damaged));
    }
    return list;
}

Result<std::vector<std::string>> Store::instance_names() const {
    return store::instance_names(state_->context);
}

Result<InstanceInfo> Store::find_instance(std::string_view name) const {
    const Result<InstanceDocument> document = load_instance(state_->context, name);
    if (!document) return document.error();
    return describe(state_->context, name, *document);
}

Result<void> Store::remove_instance(std::string_view name) {
    return store::remove_instance(state_->exclusive(), name);
}

Result<std::uint64_t> Store::try_remove_instance(std::string_view name) const {
    return store::try_remove_instance(state_->context, name);
}

Result<void> Store::rename_instance(std::string_view from, std::string_view to) {
    return store::rename_instance(state_->exclusive(), from, to);
}

Result<void> Store::reset_instance(std::string_view name) {
    return store::reset_instance(state_->exclusive(), name);
}

Result<void> Store::set_boot_phase(std::string_view name, BootPhase phase) {
    return store::set_boot_phase(state_->exclusive(), name, phase);
}

Result<void> Store::reset_for_boot(std::string_view name, BootPhase phase) {
    return store::reset_for_boot(state_->exclusive(), name, phase);
}

Result<InstanceInfo> Store::resize_instance(std::string_view name, std::uint64_t size_bytes) {
    return store::resize_instance(state_->exclusive(), name, size_bytes);
}

Result<SnapshotInfo> Store::snapshot(std::string_view name, std::string_view label) {
    return make_snapshot(state_->exclusive(), name, label);
}

Result<std::vector<SnapshotInfo>> Store::snapshots(std::string_view name) const {
    return list_snapshots(state_->context, name);
}

Result<void> Store::remove_snapshot(std::string_view name, std::string_view label) {
    return store::remove_snapshot(state_->exclusive(), name, label);
}

Result<void> Store::try_remove_snapshot(std::string_view name, std::string_view label) const {
    return store::try_remove_snapshot(state_->context, name, label);
}

Result<void> Store::restore_snapshot(std::string_view name, std::string_view label) {
    return store::restore_snapshot(state_->exclusive(), name, label);
}

Result<InstanceInfo> Store::clone_snapshot(std::string_view name, std::string_view label,
                                           const CloneOptions& options) {
    return store::clone_snapshot(state_->exclusive(), name, label, options);
}

Result<StoreSpace> Store::space() const {
    return measure_store(state_->context);
}

Result<PoolSpace> Store::pool() const {
    return measure_pool(state_->context);
}

Result<SpaceInfo> Store::space_of(std::string_view name) const {
    return measure_instance(state_->context, name);
}

Result<Changes> Store::changes(std::string_view name, std::string_view label,
                               std::string_view from) {
    return find_changes(state_->context, name, label, from);
}

Result<std::unique_ptr<OpenedInstance>> Store::open_instance(std::string_view name) {
    return store::open_instance(state_->context, name);
}

Result<void> Store::export_instance(std::string_view name, const Sink& sink,
                                    const Progress& progress) {
    return store::export_instance(state_->context, name, sink, progress);
}

Result<void> Store::export_template(const TemplateRef& ref, const Sink& sink,
                                    const Progress& progress) const {
    return store::export_template(state_->context, ref, sink, progress);
}

Result<void> Store::export_snapshot(std::string_view name, std::string_view label, const Sink& sink,
                                    const Progress& progress) const {
    return store::export_snapshot(state_->context, name, label, sink, progress);
}

}  // namespace cowtgt::store
