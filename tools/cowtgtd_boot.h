#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "boot-helper/server/boot_server.h"
#include "boot-helper/site/site.h"
#include "cow-store/store/store.h"
#include "target/config/config.h"

namespace cowtgt::tools {

/// The boot-helper inside the daemon: the site, its HTTP servers, and the thread that takes kernels
/// from templates that came to be without an import.
///
/// Threads: that of `io`. An address that is taken is tried again: the disks are served meanwhile.
class BootHelper {
public:
    /// `script_asked` hears of each boot script before it is sent.
    BootHelper(boost::asio::io_context& io, const config::Config& config, const store::Store& store,
               std::function<void(const std::string& machine)> script_asked);
    ~BootHelper();
    BootHelper(const BootHelper&) = delete;
    BootHelper& operator=(const BootHelper&) = delete;

    boot::Site& site() { return site_; }
    /// Begins to serve and to look after what changes.
    void start();

private:
    void listen(const config::Endpoint& endpoint);
    void keep_ticking();
    void capture_missing();

    boost::asio::io_context& io_;
    const config::Config& config_;
    boot::Site site_;
    std::vector<std::unique_ptr<boot::BootServer>> servers_;
    std::vector<config::Endpoint> taken_;  ///< by other programs
    boost::asio::steady_timer timer_;
    std::thread capturing_;
    std::atomic<bool> is_capturing_ = false;
    std::atomic<bool> is_stopping_ = false;
};

}  // namespace cowtgt::tools
