#include "cow-store/store/documents.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "cow-store/base/bytes.h"
#include "cow-store/base/checksum.h"
#include "cow-store/store/recipe_json.h"

namespace cowtgt::store {

namespace {

using nlohmann::json;

constexpr std::string_view checksum_key = "checksum";

/// A value that cannot be what it is said to be; never leaves this file.
struct BadValue {};

// Bytes that are no UTF-8 (a label, say) must not prevent a template from being described.
std::string compact(const json& fields) {
    return fields.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string checksum_of(const json& fields) {
    return hex_text(xxh3_64(bytes_of(compact(fields))));
}

std::string render(json fields, std::string_view kind) {
    fields["format"] = store_format;
    fields["kind"] = kind;
    // The sum is over what a reader will see, replaced characters included.
    fields = json::parse(compact(fields));
    fields[std::string(checksum_key)] = checksum_of(fields);
    return fields.dump(2) + "\n";
}

Error corrupt(const std::string& where, std::string_view what) {
    return Error{ErrorCode::corrupt,
                 where + " is damaged (" + std::string(what) + "); restore it from a backup"};
}

Result<json> parse(std::string_view text, std::string_view kind, const std::string& where) {
    json fields = json::parse(text, nullptr, false);
    if (!fields.is_object()) return corrupt(where, "it is not the JSON that was written");
    const auto format = fields.find("format");
    if (format != fields.end() && format->is_number_unsigned() &&
        format->get<std::uint64_t>() > store_format) {
        return Error{ErrorCode::unsupported,
                     where + " has format " + std::to_string(format->get<std::uint64_t>()) +
                         ", which is newer than the " + std::to_string(store_format) +
                         " that this cowtgt knows; use a newer cowtgt"};
    }
    const auto sum = fields.find(checksum_key);
    if (sum == fields.end() || !sum->is_string()) return corrupt(where, "its checksum is missing");
    const std::string expected = sum->get<std::string>();
    fields.erase(sum);
    if (checksum_of(fields) != expected) return corrupt(where, "its checksum does not match");
    if (fields.value("format", json()) != json(store_format) ||
        fields.value("kind", json()) != json(kind)) {
        return corrupt(where, "it is not what belongs there");
    }
    return fields;
}

/// Parses, then takes the fields out; whatever is missing or of another type is damage.
template <typename Document>
Result<Document> decode(std::string_view text, std::string_view kind, const std::string& where,
                        void (*take)(const json&, Document&)) {
    const Result<json> fields = parse(text, kind, where);
    if (!fields) return fields.error();
    try {
        Document document;
        take(*fields, document);
        return document;
    } catch (const json::exception&) {
        return corrupt(where, "a field is missing or of another type");
    } catch (const BadValue&) {
        return corrupt(where, "a field has an impossible value");
    }
}

void take_uuid(const json& fields, const char* key, Uuid& uuid) {
    const std::optional<Uuid> parsed = parse_uuid(fields.at(key).get<std::string>());
    if (!parsed) throw BadValue{};
    uuid = *parsed;
}

void take_hex(const json& fields, const char* key, std::uint64_t& value) {
    const std::string text = fields.at(key).get<std::string>();
    const char* end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, value, 16);
    if (stop != end || failure != std::errc{}) throw BadValue{};
}

json to_json(const Fingerprint& print) {
    return {{"size", print.size}, {"mtime_ns", print.mtime_ns}, {"inode", print.inode}};
}

Fingerprint fingerprint_from(const json& fields) {
    return Fingerprint{.size = fields.at("size").get<std::uint64_t>(),
                       .mtime_ns = fields.at("mtime_ns").get<std::int64_t>(),
                       .inode = fields.at("inode").get<std::uint64_t>()};
}

json to_json(const LayerEntry& layer) {
    return {{"uuid", to_string(layer.uuid)},
            {"file", layer.file},
            {"parent", to_string(layer.parent)},
            {"owner", to_string(layer.owner)},
            {"size_bytes", layer.size_bytes},
            {"sealed_at", layer.sealed_at},
            {"fingerprint", to_json(layer.fingerprint)},
            {"content_id", hex_text(layer.content_id)}};
}

LayerEntry layer_from(const json& fields) {
    LayerEntry layer;
    take_uuid(fields, "uuid", layer.uuid);
    fields.at("file").get_to(layer.file);
    take_uuid(fields, "parent", layer.parent);
    take_uuid(fields, "owner", layer.owner);
    fields.at("size_bytes").get_to(layer.size_bytes);
    fields.at("sealed_at").get_to(layer.sealed_at);
    layer.fingerprint = fingerprint_from(fields.at("fingerprint"));
    // Entries from before layers were hashed have none.
    if (fields.contains("content_id")) take_hex(fields, "content_id", layer.content_id);
    return layer;
}

json to_json(const std::vector<LayerEntry>& layers) {
    json list = json::array();
    for (const LayerEntry& layer : layers)
        list.push_back(to_json(layer));
    return list;
}

json to_json(const SnapshotEntry& snapshot) {
    return {{"label", snapshot.label},
            {"layer", to_string(snapshot.layer)},
            {"created_at", snapshot.created_at}};
}

SnapshotEntry snapshot_from(const json& fields) {
    SnapshotEntry snapshot;
    fields.at("label").get_to(snapshot.label);
    take_uuid(fields, "layer", snapshot.layer);
    fields.at("created_at").get_to(snapshot.created_at);
    return snapshot;
}

constexpr std::array identity_mode_names = {
    std::pair{IdentityMode::automatic, "auto"},
    std::pair{IdentityMode::keep, "keep"},
    std::pair{IdentityMode::require, "require"},
};

constexpr std::array reference_mode_names = {
    std::pair{ReferenceMode::rewrite, "rewrite"},
    std::pair{ReferenceMode::keep, "keep"},
    std::pair{ReferenceMode::ignore, "ignore"},
};

/// Requires: a row for the value.
template <typename Names, typename Value>
json name_in(const Names& names, Value wanted) {
    const auto row = std::ranges::find(names, wanted, &Names::value_type::first);
    CHECK(row != names.end());
    return row->second;
}

constexpr std::array boot_phase_names = {
    std::pair{BootPhase::running, "running"},
    std::pair{BootPhase::armed, "armed"},
    std::pair{BootPhase::fresh, "fresh"},
};

/// Documents of instances that never stood on nothing have none.
void take_flattening(const json& fields, InstanceDocument& document) {
    document.is_flattening = fields.value("is_flattening", false);
    if (fields.contains("former_parent")) {
        take_uuid(fields, "former_parent", document.former_parent);
    }
}

/// Documents from before there were ephemeral instances have none.
void take_boot_phase(const json& fields, BootPhase& phase) {
    const auto found = fields.find("boot_phase");
    if (found == fields.end()) return;
    for (const auto& [value, name] : boot_phase_names) {
        if (*found != name) continue;
        phase = value;
        return;
    }
    throw BadValue{};
}

json to_json(const std::vector<IdentityWishes::Value>& values) {
    json list = json::array();
    for (const IdentityWishes::Value& value : values)
        list.push_back({{"target", value.target}, {"value", value.value}});
    return list;
}

std::vector<IdentityWishes::Value> values_from(const json& list) {
    std::vector<IdentityWishes::Value> values;
    for (const json& one : list) {
        values.push_back({one.at("target").get<std::string>(), one.at("value").get<std::string>()});
    }
    return values;
}

json to_json(const IdentityWishes& wishes) {
    return {{"mode", name_in(identity_mode_names, wishes.mode)},
            {"references", name_in(reference_mode_names, wishes.references)},
            {"labels", to_json(wishes.labels)},
            {"uuids", to_json(wishes.uuids)},
            {"grow_last_partition", wishes.grow_last_partition}};
}

/// Documents from before there were wishes have none.
void take_wishes(const json& fields, IdentityWishes& wishes) {
    const auto found = fields.find("identity_wishes");
    if (found == fields.end()) return;
    for (const auto& [value, name] : identity_mode_names) {
        if (found->at("mode") == name) wishes.mode = value;
    }
    for (const auto& [value, name] : reference_mode_names) {
        if (found->value("references", "rewrite") == name) wishes.references = value;
    }
    wishes.labels = values_from(found->at("labels"));
    wishes.uuids = values_from(found->at("uuids"));
    found->at("grow_last_partition").get_to(wishes.grow_last_partition);
}

/// The layers of an instance; documents from before there were snapshots have none.
void take_chain(const json& fields, InstanceDocument& document) {
    const auto chain = fields.find("chain");
    if (chain == fields.end()) return;
    chain->at("live_file").get_to(document.live_file);
    take_uuid(*chain, "live_parent", document.live_parent);
    for (const json& layer : chain->at("sealed"))
        document.sealed.push_back(layer_from(layer));
    for (const json& snapshot : chain->at("snapshots"))
        document.snapshots.push_back(snapshot_from(snapshot));
    chain->at("origin").get_to(document.origin);
    take_uuid(*chain, "origin_layer", document.origin_layer);
}

json chain_of(const InstanceDocument& document) {
    json snapshots = json::array();
    for (const SnapshotEntry& snapshot : document.snapshots)
        snapshots.push_back(to_json(snapshot));
    return {
        {"live_file", document.live_file},    {"live_parent", to_string(document.live_parent)},
        {"sealed", to_json(document.sealed)}, {"snapshots", std::move(snapshots)},
        {"origin", document.origin},          {"origin_layer", to_string(document.origin_layer)}};
}

json to_json(const IdentityItem& item) {
    return {{"where", item.where},
            {"kind", item.kind},
            {"label", item.label},
            {"old_value", item.old_value},
            {"new_value", item.new_value},
            {"kept_because", item.kept_because},
            {"note", item.note}};
}

IdentityItem item_from(const json& fields) {
    return IdentityItem{.where = fields.at("where").get<std::string>(),
                        .kind = fields.at("kind").get<std::string>(),
                        .label = fields.at("label").get<std::string>(),
                        .old_value = fields.at("old_value").get<std::string>(),
                        .new_value = fields.at("new_value").get<std::string>(),
                        .kept_because = fields.at("kept_because").get<std::string>(),
                        .note = fields.at("note").get<std::string>()};
}

void take_store(const json& fields, StoreDocument& document) {
    take_uuid(fields, "uuid", document.uuid);
    fields.at("created_at").get_to(document.created_at);
}

void take_template(const json& fields, TemplateDocument& document) {
    take_uuid(fields, "uuid", document.uuid);
    take_hex(fields, "content_id", document.content_id);
    fields.at("size_bytes").get_to(document.size_bytes);
    fields.at("imported_at").get_to(document.imported_at);
    fields.at("source").get_to(document.source);
    document.note = fields.value("note", "");
    document.fingerprint = fingerprint_from(fields.at("fingerprint"));
    fields.at("recipe").get_to(document.recipe);
    document.image_uuid = document.uuid;
    document.image_bytes = document.size_bytes;
    const auto committed = fields.find("committed");
    if (committed == fields.end()) return;
    take_uuid(*committed, "image_uuid", document.image_uuid);
    committed->at("image_bytes").get_to(document.image_bytes);
    for (const json& layer : committed->at("layers"))
        document.layers.push_back(layer_from(layer));
}

void take_sums(const json& fields, SumsDocument& document) {
    take_uuid(fields, "uuid", document.uuid);
    take_hex(fields, "content_id", document.content_id);
    fields.at("size_bytes").get_to(document.size_bytes);
}

void take_tags(const json& fields, TagsDocument& document) {
    fields.at("versions").get_to(document.versions);
}

void take_instance(const json& fields, InstanceDocument& document) {
    take_uuid(fields, "uuid", document.uuid);
    const json& source = fields.at("template");
    source.at("name").get_to(document.template_name);
    source.at("version").get_to(document.template_version);
    take_uuid(source, "uuid", document.template_uuid);
    take_hex(source, "content_id", document.template_content_id);
    fields.at("size_bytes").get_to(document.size_bytes);
    fields.at("block_size").get_to(document.block_size);
    fields.at("created_at").get_to(document.created_at);
    take_uuid(fields, "identity_seed", document.identity_seed);
    take_wishes(fields, document.identity_wishes);
    for (const json& item : fields.at("identity"))
        document.identity.push_back(item_from(item));
    take_chain(fields, document);
    take_flattening(fields, document);
    take_boot_phase(fields, document.boot_phase);
}

void take_stream(const json& fields, StreamDocument& document) {
    fields.at("instance").get_to(document.instance);
    fields.at("label").get_to(document.label);
    take_uuid(fields, "layer", document.layer);
    fields.at("from").get_to(document.from);
    take_uuid(fields, "from_layer", document.from_layer);
    fields.at("from_size_bytes").get_to(document.from_size_bytes);
    fields.at("size_bytes").get_to(document.size_bytes);
    fields.at("block_size").get_to(document.block_size);
    fields.at("created_at").get_to(document.created_at);
    take_uuid(fields, "identity_seed", document.identity_seed);
    for (const json& item : fields.at("identity"))
        document.identity.push_back(item_from(item));
    fields.at("first_offset").get_to(document.first_offset);
    fields.at("is_whole").get_to(document.is_whole);
}

}  // namespace

std::string hex_text(std::uint64_t value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(16, '0');
    for (std::size_t i = text.size(); i-- > 0; value >>= 4)
        text[i] = digits[value & 0xf];
    return text;
}

std::string encode(const StoreDocument& document) {
    return render({{"uuid", to_string(document.uuid)}, {"created_at", document.created_at}},
                  "store");
}

std::string encode(const TemplateDocument& document) {
    json fields = {
        {"uuid", to_string(document.uuid)},  {"content_id", hex_text(document.content_id)},
        {"size_bytes", document.size_bytes}, {"imported_at", document.imported_at},
        {"source", document.source},         {"fingerprint", to_json(document.fingerprint)},
        {"recipe", document.recipe}};
    if (!document.note.empty()) fields["note"] = document.note;
    if (!document.layers.empty()) {
        fields["committed"] = {{"image_uuid", to_string(document.image_uuid)},
                               {"image_bytes", document.image_bytes},
                               {"layers", to_json(document.layers)}};
    }
    return render(std::move(fields), "template");
}

std::string encode(const TagsDocument& document) {
    return render({{"versions", document.versions}}, "tags");
}

std::string encode(const InstanceDocument& document) {
    json items = json::array();
    for (const IdentityItem& item : document.identity)
        items.push_back(to_json(item));
    json fields = {{"uuid", to_string(document.uuid)},
                   {"template",
                    {{"name", document.template_name},
                     {"version", document.template_version},
                     {"uuid", to_string(document.template_uuid)},
                     {"content_id", hex_text(document.template_content_id)}}},
                   {"size_bytes", document.size_bytes},
                   {"block_size", document.block_size},
                   {"created_at", document.created_at},
                   {"identity_seed", to_string(document.identity_seed)},
                   {"identity_wishes", to_json(document.identity_wishes)},
                   {"identity", std::move(items)},
                   {"boot_phase", name_in(boot_phase_names, document.boot_phase)},
                   {"chain", chain_of(document)}};
    if (document.is_flattening) fields["is_flattening"] = true;
    if (!document.former_parent.is_nil()) {
        fields["former_parent"] = to_string(document.former_parent);
    }
    return render(std::move(fields), "instance");
}

std::string encode(const SumsDocument& document) {
    return render({{"uuid", to_string(document.uuid)},
                   {"content_id", hex_text(document.content_id)},
                   {"size_bytes", document.size_bytes}},
                  "sums");
}

std::string encode(const StreamDocument& document) {
    json items = json::array();
    for (const IdentityItem& item : document.identity)
        items.push_back(to_json(item));
    return render({{"instance", document.instance},
                   {"label", document.label},
                   {"layer", to_string(document.layer)},
                   {"from", document.from},
                   {"from_layer", to_string(document.from_layer)},
                   {"from_size_bytes", document.from_size_bytes},
                   {"size_bytes", document.size_bytes},
                   {"block_size", document.block_size},
                   {"created_at", document.created_at},
                   {"identity_seed", to_string(document.identity_seed)},
                   {"identity", std::move(items)},
                   {"first_offset", document.first_offset},
                   {"is_whole", document.is_whole}},
                  "stream");
}

Result<StoreDocument> decode_store(std::string_view text, const std::string& where) {
    return decode<StoreDocument>(text, "store", where, take_store);
}

Result<TemplateDocument> decode_template(std::string_view text, const std::string& where) {
    return decode<TemplateDocument>(text, "template", where, take_template);
}

Result<TagsDocument> decode_tags(std::string_view text, const std::string& where) {
    return decode<TagsDocument>(text, "tags", where, take_tags);
}

Result<InstanceDocument> decode_instance(std::string_view text, const std::string& where) {
    return decode<InstanceDocument>(text, "instance", where, take_instance);
}

Result<SumsDocument> decode_sums(std::string_view text, const std::string& where) {
    return decode<SumsDocument>(text, "sums", where, take_sums);
}

Result<StreamDocument> decode_stream(std::string_view text, const std::string& where) {
    return decode<StreamDocument>(text, "stream", where, take_stream);
}

const LayerEntry* find_layer(const InstanceDocument& document, const Uuid& uuid) {
    const auto found = std::ranges::find(document.sealed, uuid, &LayerEntry::uuid);
    return found == document.sealed.end() ? nullptr : &*found;
}

const SnapshotEntry* find_snapshot(const InstanceDocument& document, std::string_view label) {
    const auto found = std::ranges::find(document.snapshots, label, &SnapshotEntry::label);
    return found == document.snapshots.end() ? nullptr : &*found;
}

std::vector<IdentityItem> identity_items(const std::vector<identity::Finding>& findings) {
    std::vector<IdentityItem> items;
    items.reserve(findings.size());
    for (const identity::Finding& finding : findings) {
        items.push_back(IdentityItem{.where = finding.where,
                                     .kind = finding.kind,
                                     .label = finding.label,
                                     .old_value = finding.old_value,
                                     .new_value = finding.new_value,
                                     .kept_because = finding.kept_because,
                                     .note = finding.note});
    }
    return items;
}

}  // namespace cowtgt::store
