#include "target/control/describe.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "target/config/names.h"

namespace cowtgt::control {

namespace {

using nlohmann::json;

/// A template has the values that are on its disk, an instance those before and after the clone.
enum class IdentityOf { template_version, instance };

json describe_identity(const std::vector<store::IdentityItem>& items, IdentityOf owner) {
    json list = json::array();
    for (const store::IdentityItem& item : items) {
        json entry = {{"where", item.where},
                      {"kind", item.kind},
                      {"label", item.label},
                      {"kept_because", item.kept_because},
                      {"note", item.note}};
        if (owner == IdentityOf::instance) {
            entry["old"] = item.old_value;
            entry["new"] = item.new_value.empty() ? item.old_value : item.new_value;
        } else {
            entry["value"] = item.old_value;
        }
        list.push_back(std::move(entry));
    }
    return list;
}

json describe_contents(const std::vector<store::ContentItem>& items) {
    json list = json::array();
    for (const store::ContentItem& item : items) {
        list.push_back({{"where", item.where},
                        {"format", item.format},
                        {"label", item.label},
                        {"uuid", item.uuid},
                        {"begin", item.begin},
                        {"size_bytes", item.size_bytes},
                        {"problem", item.problem}});
    }
    return list;
}

const char* name_of(store::ReferenceFate fate) {
    switch (fate) {
        case store::ReferenceFate::rewritten:
            return "rewritten";
        case store::ReferenceFate::left:
            return "left";
        case store::ReferenceFate::fixed:
            return "fixed";
        case store::ReferenceFate::kept:
            return "kept";
        case store::ReferenceFate::after_replay:
            return "told after replay";
    }
    return "";
}

json describe_references(const std::vector<store::ReferenceItem>& items) {
    json list = json::array();
    for (const store::ReferenceItem& item : items) {
        list.push_back({{"value", item.value},
                        {"where", item.where},
                        {"file", item.file},
                        {"becomes", name_of(item.fate)},
                        {"reason", item.reason}});
    }
    return list;
}

json describe_ranges(const std::vector<AddressRange>& ranges) {
    json result = json::array();
    for (const AddressRange& range : ranges)
        result.push_back(to_string(range));
    return result;
}

json describe_sessions(const std::vector<SessionInfo>& sessions) {
    json list = json::array();
    for (const SessionInfo& session : sessions) {
        list.push_back({{"initiator", session.initiator_name},
                        {"address", session.initiator_address},
                        {"isid", session.isid},
                        {"since", session.since}});
    }
    return list;
}

json boot_phase_name(store::BootPhase phase) {
    switch (phase) {
        case store::BootPhase::running:
            return "running";
        case store::BootPhase::armed:
            return "armed";
        case store::BootPhase::fresh:
            return "fresh";
    }
    return nullptr;
}

std::optional<config::Endpoint> endpoint_of(const sockaddr* address) {
    config::Endpoint endpoint;
    std::array<char, INET6_ADDRSTRLEN> text{};
    const void* bytes = nullptr;
    if (address->sa_family == AF_INET) {
        bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
    } else if (address->sa_family == AF_INET6) {
        const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
        if (IN6_IS_ADDR_LINKLOCAL(&ipv6)) return std::nullopt;  // of no use without its interface
        bytes = &ipv6;
        endpoint.ipv6 = true;
    } else {
        return std::nullopt;
    }
    if (inet_ntop(address->sa_family, bytes, text.data(), text.size()) == nullptr) {
        return std::nullopt;
    }
    endpoint.address = text.data();
    return endpoint;
}

/// The addresses behind one `listen` entry. "::" also takes IPv4 connections.
std::vector<config::Endpoint> reachable(const config::Endpoint& listen) {
    if (!listen.is_wildcard()) return {listen};
    std::vector<config::Endpoint> found;
    for (config::Endpoint& endpoint : host_addresses()) {
        endpoint.port = listen.port;
        if (!endpoint.ipv6 || listen.ipv6) found.push_back(std::move(endpoint));
    }
    if (found.empty()) found.push_back({"127.0.0.1", listen.port, false});
    return found;
}

}  // namespace

std::vector<config::Endpoint> host_addresses() {
    std::vector<config::Endpoint> found;
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) != 0) return found;
    const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(first, ::freeifaddrs);
    for (const ifaddrs* entry = first; entry != nullptr; entry = entry->ifa_next) {
        const bool is_up = (entry->ifa_flags & IFF_UP) != 0;
        const bool is_loopback = (entry->ifa_flags & IFF_LOOPBACK) != 0;
        if (entry->ifa_addr == nullptr || !is_up || is_loopback) continue;
        if (auto endpoint = endpoint_of(entry->ifa_addr)) found.push_back(std::move(*endpoint));
    }
    return found;
}

std::string template_ref_text(std::string_view name, std::uint32_t version) {
    return std::string(name) + "@" + std::to_string(version);
}

json describe_template(const store::TemplateInfo& info) {
    return {{"name", info.name},
            {"version", info.version},
            {"ref", template_ref_text(info.name, info.version)},
            {"tags", info.tags},
            {"size_bytes", info.size_bytes},
            {"allocated_bytes", info.allocated_bytes},
            {"block_size", info.block_size},
            {"content_id", info.content_id},
            {"verified", info.verified},
            {"imported_at", info.imported_at},
            {"source", info.source},
            {"note", info.note},
            {"uuid", to_string(info.uuid)},
            {"identity", describe_identity(info.identity, IdentityOf::template_version)},
            {"contents", describe_contents(info.contents)},
            {"references", describe_references(info.references)},
            {"instances", info.instances},
            {"damage", info.damage}};
}

json describe_instance(const store::InstanceInfo& info, const config::Machine& machine,
                       const config::Config& config, const std::vector<SessionInfo>& sessions) {
    json mac = nullptr;
    json initiator = nullptr;
    if (machine.mac) {
        mac = config::to_string(*machine.mac);
        initiator = config::initiator_name(config.iqn_prefix, info.name);
    }
    return {{"name", info.name},
            {"template", info.template_name.empty()
                             ? json()
                             : json(template_ref_text(info.template_name, info.template_version))},
            {"target", config::target_name(config.iqn_prefix, info.name)},
            {"lun", 0},
            {"urls", portal_urls(config, info.name)},
            {"initiator", std::move(initiator)},
            {"mac", std::move(mac)},
            {"size_bytes", info.size_bytes},
            {"allocated_bytes", info.allocated_bytes},
            {"quota_bytes", machine.quota_bytes == 0 ? json() : json(machine.quota_bytes)},
            {"block_size", info.block_size},
            {"settings", config::setting_words(machine)},
            {"uuid", to_string(info.uuid)},
            {"created_at", info.created_at},
            {"snapshots", info.snapshots},
            {"origin", info.origin},
            {"identity", describe_identity(info.identity, IdentityOf::instance)},
            {"from", describe_ranges(machine.from)},
            {"ephemeral", machine.ephemeral},
            {"boot_phase", machine.ephemeral ? boot_phase_name(info.boot_phase) : json()},
            {"sessions", describe_sessions(sessions)},
            {"damage", info.damage}};
}

std::vector<std::string> portal_urls(const config::Config& config, std::string_view instance) {
    const std::string target = config::target_name(config.iqn_prefix, instance);
    std::vector<std::string> urls;
    for (const config::Endpoint& listen : config.listen) {
        for (const config::Endpoint& endpoint : reachable(listen)) {
            std::string url = "iscsi://" + to_string(endpoint) + "/" + target + "/0";
            if (std::find(urls.begin(), urls.end(), url) == urls.end()) {
                urls.push_back(std::move(url));
            }
        }
    }
    return urls;
}

}  // namespace cowtgt::control
