#include "cow-store/store/check.h"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/check_sealed.h"
#include "cow-store/store/live_lock.h"
#include "cow-store/store/verification.h"
#include "cow-store/volume/examine_layer.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt::store {

namespace {

/// What is looked at: all, or what a name means.
class Selection {
public:
    static Result<Selection> of(const Context& context, const std::string& name) {
        Selection selection;
        if (name.empty()) return selection;
        selection.all_ = false;
        const Result<std::vector<std::string>> instances = instance_names(context);
        if (!instances) return instances.error();
        const bool is_instance = std::ranges::find(*instances, name) != instances->end();
        if (is_instance) selection.instance_ = name;
        const Result<TemplateRef> ref = parse_template_ref(name);
        if (!ref) return ref.error();
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, ref->name);
        if (!versions) return versions.error();
        if (!versions->empty() && !is_instance) {
            selection.template_ = ref->name;
            if (ref->version != 0 || !ref->tag.empty()) {
                const Result<std::uint32_t> version = resolve(context, *ref);
                if (!version) return version.error();
                selection.version_ = *version;
            }
        }
        if (is_instance || !versions->empty()) return selection;
        return Error{ErrorCode::not_found, "there is no instance or template " + name +
                                               "; `cowtgt ls` and `cowtgt template ls` list those "
                                               "that are there"};
    }

    bool has(const Owner& owner) const {
        if (all_) return true;
        if (owner.version == 0) return owner.name == instance_;
        return owner.name == template_ && (version_ == 0 || owner.version == version_);
    }
    /// The template below an instance is part of what the instance is.
    void add_template_of(const Context& context) {
        if (instance_.empty()) return;
        const Result<InstanceDocument> document = load_instance(context, instance_);
        if (!document) return;
        template_ = document->template_name;
        version_ = document->template_version;
    }

private:
    bool all_ = true;
    std::string instance_;
    std::string template_;
    std::uint32_t version_ = 0;  ///< 0: all
};

class StoreCheck {
public:
    StoreCheck(const Context& context, const CheckOptions& options, const CheckHost& host,
               Selection selection)
        : context_(context), options_(options), host_(host), selection_(std::move(selection)) {}

    Result<CheckReport> run() {
        if (Result<void> done = check_documents(); !done) return done.error();
        if (Result<void> done = check_sealed(); !done) return done.error();
        const Result<std::vector<std::string>> names = instance_names(context_);
        if (!names) return names.error();
        for (const std::string& name : *names) {
            if (selection_.has({name, 0})) check_live(name);
        }
        return std::move(report_);
    }

private:
    template <typename T>
    void expect(const Result<T>& result, const std::filesystem::path& file,
                const std::string& object) {
        ++report_.files;
        if (result) return;
        report_.findings.push_back(
            {.file = file.string(), .objects = {object}, .sentence = result.error().message});
    }

    Result<void> check_documents() {
        const Result<std::vector<std::string>> templates =
            list_directory(context_.layout.templates());
        if (!templates) return templates.error();
        for (const std::string& name : *templates) {
            const Result<std::vector<std::uint32_t>> versions = versions_of(context_, name);
            if (!versions) return versions.error();
            for (const std::uint32_t version : *versions) {
                if (!selection_.has({name, version})) continue;
                expect(load_template(context_, name, version),
                       context_.layout.version(name, version) / Layout::template_file,
                       owner_text({name, version}));
                expect(load_tags(context_, name), context_.layout.tags_of(name),
                       "template " + name);
            }
        }
        const Result<std::vector<std::string>> instances = instance_names(context_);
        if (!instances) return instances.error();
        for (const std::string& name : *instances) {
            if (!selection_.has({name, 0})) continue;
            expect(load_instance(context_, name),
                   context_.layout.instance(name) / Layout::instance_file, owner_text({name, 0}));
        }
        return {};
    }

    Result<void> check_sealed() {
        const Result<std::vector<SealedUse>> uses = sealed_files(context_);
        if (!uses) return uses.error();
        const Result<Usage> usage = find_usage(context_);
        if (!usage) return usage.error();
        std::vector<const SealedUse*> selected;
        std::uint64_t total = 0;
        for (const SealedUse& use : *uses) {
            if (std::ranges::none_of(use.owners,
                                     [&](const Owner& owner) { return selection_.has(owner); })) {
                continue;
            }
            selected.push_back(&use);
            total += std::min(use.file.fingerprint.size, allocated_bytes_of(use.file.path));
        }
        const Pace pace = [&](std::uint64_t bytes) -> Result<void> {
            report_.bytes += bytes;
            if (host_.progress) host_.progress(std::min(report_.bytes, total), total);
            return host_.pace ? host_.pace(bytes) : Result<void>{};
        };
        for (const SealedUse* use : selected) {
            Result<void> done = check_sealed_file(context_, *use, objects_on(*use, *usage),
                                                  options_, pace, report_);
            if (!done) return done;
        }
        return {};
    }

    /// Whose disks a sealed file is part of.
    static std::vector<std::string> objects_on(const SealedUse& use, const Usage& usage) {
        std::vector<std::string> objects;
        const auto add = [&objects](std::string object) {
            if (std::ranges::find(objects, object) == objects.end()) {
                objects.push_back(std::move(object));
            }
        };
        for (const Owner& owner : use.owners) {
            add(owner_text(owner));
            if (owner.version == 0) continue;
            for (const std::string& instance : usage.instances_of(owner.name, owner.version)) {
                add(owner_text({instance, 0}));
            }
        }
        return objects;
    }

    void check_live(const std::string& name) {
        const Result<InstanceDocument> document = load_instance(context_, name);
        if (!document) return;  // said already
        const std::filesystem::path path = context_.layout.instance(name) / document->live_file;
        const bool mending = options_.repair || options_.accept_copy;
        if (!mending || !mend_live(name, path, document->live_file)) examine_live(name, path);
    }

    /// Changes what may be changed while nobody uses the layer. True: it has been examined, too.
    bool mend_live(const std::string& name, const std::filesystem::path& path,
                   const std::string& file) {
        const LayerExamination before = examined(path, name);
        const bool is_fenced =
            before.summary && before.summary->phase == LayerPhase::fenced && options_.repair;
        const bool takes_copy = before.is_copy && options_.accept_copy;
        const bool mends = !before.damage.empty() && options_.repair;
        if (!is_fenced && !takes_copy && !mends) return false;
        const Result<void> done = host_.at_rest(
            name, [&]() -> Result<void> { return mend(name, path, file, takes_copy); });
        if (!done) add(name, path, {.sentence = done.error().message});
        return false;
    }

    Result<void> mend(const std::string& name, const std::filesystem::path& path,
                      const std::string& file_name, bool takes_copy) {
        Result<LockedLayer> locked = lock_live_layer(context_, name, file_name);
        if (!locked) return locked.error();
        PosixFile file(std::move(locked->buffered), path.string());
        const auto repaired = [&](std::string sentence) {
            add(name, path,
                {.kind = CheckFinding::Kind::repaired,
                 .sentence = path.string() + ": " + sentence});
        };
        if (options_.repair) {
            const Result<std::vector<std::string>> mended = mend_layer(file, context_.boot_id);
            if (!mended) return mended.error();
            for (const std::string& sentence : *mended)
                repaired(sentence);
        }
        OpenContext opening;
        opening.boot_id = context_.boot_id;
        opening.accept_fenced = options_.repair;
        opening.accept_copy = takes_copy;
        const Result<LayerSummary> before = inspect_layer(file);
        const Result<RecoveredLayer> layer = open_layer(file, opening);
        if (!layer) return layer.error();
        if (takes_copy) repaired("the copy is taken over as it is; " + layer->recovery_note());
        if (before && before->phase == LayerPhase::fenced) {
            repaired(
                "was fenced and is open again; what was written since its last good flush may "
                "be lost");
        }
        return {};
    }

    LayerUse use_of(const std::string& name) const {
        return host_.is_in_use && host_.is_in_use(name) ? LayerUse::in_use : LayerUse::at_rest;
    }

    LayerExamination examined(const std::filesystem::path& path, const std::string& name) const {
        const Result<std::unique_ptr<PosixFile>> file = PosixFile::open(path, O_RDONLY);
        if (!file) return {};
        Result<LayerExamination> found = examine_layer(**file, use_of(name), context_.boot_id);
        return found ? std::move(*found) : LayerExamination{};
    }

    void examine_live(const std::string& name, const std::filesystem::path& path) {
        ++report_.files;
        const Result<std::unique_ptr<PosixFile>> file = PosixFile::open(path, O_RDONLY);
        if (!file) {
            add(name, path,
                {.sentence = "the layer " + path.string() +
                             " is gone or cannot be read; restore it from a backup"});
            return;
        }
        const Result<LayerExamination> found =
            examine_layer(**file, use_of(name), context_.boot_id);
        if (!found) {
            add(name, path, {.sentence = found.error().message});
            return;
        }
        for (const LayerDamage& damage : found->damage) {
            CheckFinding finding{
                .place = {damage.offset, damage.offset + damage.length},
                .sentence = path.string() + ": " + damage.what +
                            "; `cowtgt check --repair` puts right what can be derived"};
            if (damage.guest_end > damage.guest_begin) {
                finding.guest = {{damage.guest_begin, damage.guest_end}};
            }
            add(name, path, std::move(finding));
        }
        say_state(name, path, *found);
    }

    void say_state(const std::string& name, const std::filesystem::path& path,
                   const LayerExamination& found) {
        if (found.is_copy) {
            add(name, path,
                {.kind = CheckFinding::Kind::refused,
                 .sentence = path.string() +
                             " was copied while it was being written, so it may be a mixture of "
                             "old and new; `cowtgt check --accept-copy` takes it over as it is"});
        } else if (found.summary && found.summary->phase == LayerPhase::fenced) {
            add(name, path,
                {.kind = CheckFinding::Kind::refused,
                 .sentence = path.string() +
                             " is fenced: a sync failed, and what was written since the last good "
                             "flush is in doubt; `cowtgt check --repair` opens it again"});
        } else if (found.needs_recovery) {
            add(name, path,
                {.kind = CheckFinding::Kind::notice,
                 .sentence = path.string() +
                             " was left open; its journal is replayed when it is used next"});
        }
    }

    void add(const std::string& name, const std::filesystem::path& path, CheckFinding finding) {
        finding.file = path.string();
        finding.objects = {owner_text({name, 0})};
        report_.findings.push_back(std::move(finding));
    }

    const Context& context_;
    const CheckOptions& options_;
    const CheckHost& host_;
    Selection selection_;
    CheckReport report_;
};

}  // namespace

bool CheckReport::is_clean() const {
    return std::ranges::none_of(findings, [](const CheckFinding& finding) {
        return finding.kind == CheckFinding::Kind::damage ||
               finding.kind == CheckFinding::Kind::refused;
    });
}

Result<CheckReport> check_store(const Context& context, const CheckOptions& options,
                                const CheckHost& host) {
    Result<Selection> selection = Selection::of(context, options.name);
    if (!selection) return std::move(selection).error();
    selection->add_template_of(context);
    return StoreCheck(context, options, host, std::move(*selection)).run();
}

}  // namespace cowtgt::store
