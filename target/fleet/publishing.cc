#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "target/config/names.h"
#include "target/fleet/fleet.h"
#include "target/net/chap_digest.h"

/// What the rings know of the instances before a login opens one, and of each other's sessions.
namespace cowtgt::fleet {

std::optional<iscsi::LoginDecision::Chap> Fleet::chap_of(std::string_view name) const {
    const auto found = secrets_.find(name);
    if (found == secrets_.end()) return std::nullopt;
    const config::ChapSecrets& secrets = found->second;
    return iscsi::LoginDecision::Chap{secrets.user, secrets.secret, secrets.mutual_user,
                                      secrets.mutual_secret, &net::openssl_chap_digest()};
}

std::shared_ptr<const node::CatalogueEntry> Fleet::catalogue_entry(const std::string& instance,
                                                                   const Entry& entry) const {
    node::CatalogueEntry line;
    line.instance = instance;
    line.target_name = config::target_name(config_.iqn_prefix, instance);
    if (entry.machine.mac) {
        line.mac_alias = config::mac_alias(config_.iqn_prefix, *entry.machine.mac);
        line.admitted_initiator = config::initiator_name(config_.iqn_prefix, instance);
    }
    line.admitted_addresses = entry.machine.from;
    line.chap = chap_of(instance);
    line.ephemeral = entry.machine.ephemeral;
    return std::make_shared<const node::CatalogueEntry>(std::move(line));
}

void Fleet::publish(const std::string& instance, const Entry& entry) {
    const auto line = catalogue_entry(instance, entry);
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get(), line] { worker->catalogue().put(line); });
    }
}

void Fleet::publish_removal(const std::string& instance) {
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get(), instance] { worker->catalogue().remove(instance); });
    }
}

void Fleet::publish_all() {
    std::vector<std::shared_ptr<const node::CatalogueEntry>> lines;
    for (const auto& [instance, entry] : entries_)
        lines.push_back(catalogue_entry(instance, entry));
    const auto chap = chap_of(config::discovery_entry);
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get(), lines, chap] {
            for (const auto& line : lines)
                worker->catalogue().put(line);
            worker->catalogue().set_discovery_chap(chap);
        });
    }
}

void Fleet::publish_session(const std::string& instance, const IpAddress& address,
                            SessionChange change) {
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get(), instance, address, change] {
            (worker->catalogue().*change)(instance, address);
        });
    }
}

void Fleet::session_began(const std::string& instance, const node::SessionFacts& session) {
    executor_([this, instance, session] {
        publish_session(instance, session.address, &node::Catalogue::session_began);
        if (observer_ != nullptr) observer_->session_began(instance, session);
    });
}

void Fleet::session_ended(const std::string& instance, const node::SessionFacts& session) {
    executor_([this, instance, session] {
        publish_session(instance, session.address, &node::Catalogue::session_ended);
        if (observer_ != nullptr) observer_->session_ended(instance, session);
    });
}

void Fleet::set_secrets(const config::Secrets& secrets) {
    secrets_ = secrets;
    publish_all();
    if (observer_ != nullptr) observer_->secrets_changed(secrets_);
}

}  // namespace cowtgt::fleet
