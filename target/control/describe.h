#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/machine.h"
#include "target/control/live_instances.h"

/// Values of the store as the JSON that operations.h documents.
namespace cowtgt::control {

nlohmann::json describe_template(const store::TemplateInfo& info);
nlohmann::json describe_instance(const store::InstanceInfo& info, const config::Machine& machine,
                                 const config::Config& config,
                                 const std::vector<SessionInfo>& sessions);

/// "debian12@3"
std::string template_ref_text(std::string_view name, std::uint32_t version);

/// Addresses of this host that others may use: of interfaces that are up, without loopback and
/// link-local ones; no ports.
std::vector<config::Endpoint> host_addresses();

/// What an initiator is given: iscsi://ADDRESS:PORT/TARGET/0, one for each address on which this
/// configuration listens. An address that means all of them (0.0.0.0, ::) becomes this host's own
/// addresses, or loopback when it has no other.
std::vector<std::string> portal_urls(const config::Config& config, std::string_view instance);

}  // namespace cowtgt::control
