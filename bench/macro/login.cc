#include "bench/macro/login.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "tests/support/iscsi_initiator.h"

namespace cowtgt::bench {

namespace {

using test::InitiatorCommand;
using test::InitiatorCompletion;
using test::IscsiInitiator;

constexpr int attempts_max = 8;  ///< unit attentions that a new session may meet

Error failed(std::string text) {
    return {ErrorCode::failed, std::move(text)};
}

Result<int> connect_to(const LoginWish& wish) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(wish.port);
    if (inet_pton(AF_INET, wish.host.c_str(), &address.sin_addr) != 1) {
        return failed("'" + wish.host + "' is no IPv4 address");
    }
    const int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0) return system_error("make a socket", errno);
    const int on = 1;
    setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(made, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        close(made);
        return system_error("connect to " + wish.host + ":" + std::to_string(wish.port), error);
    }
    return made;
}

/// One turn of talk: everything out, then whatever comes.
Result<void> exchange(int socket, IscsiInitiator& initiator) {
    const std::vector<std::byte> output = initiator.take_output();
    for (Bytes rest = output; !rest.empty();) {
        const ssize_t put = send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (put <= 0) return system_error("send", errno);
        rest = rest.subspan(static_cast<std::size_t>(put));
    }
    std::array<std::byte, 16384> input{};
    const ssize_t got = recv(socket, input.data(), input.size(), 0);
    if (got < 0) return system_error("receive", errno);
    if (got == 0) return failed("the target closed the connection during the login");
    initiator.receive(Bytes(input).first(static_cast<std::size_t>(got)));
    return {};
}

Result<InitiatorCompletion> run(int socket, IscsiInitiator& initiator, InitiatorCommand command) {
    const std::uint32_t tag = initiator.submit(std::move(command));
    while (true) {
        if (auto done = initiator.take_completion(tag)) return std::move(*done);
        if (auto done = exchange(socket, initiator); !done) return done.error();
    }
}

/// READ CAPACITY(16), again until no unit attention is in the way; 0: there is no such LUN.
Result<std::uint64_t> capacity_bytes(int socket, IscsiInitiator& initiator, std::uint64_t lun) {
    std::vector<std::uint8_t> cdb(16);
    cdb[0] = 0x9e;
    cdb[1] = 0x10;
    cdb[13] = 32;
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        auto answer = run(socket, initiator, {.lun = lun, .cdb = cdb, .read_length = 32});
        if (!answer) return answer.error();
        if (answer->status != 0 || answer->data_in.size() < 12) continue;
        be64 last_block;
        std::memcpy(&last_block, answer->data_in.data(), sizeof last_block);
        return (last_block.get() + 1) * 512;
    }
    return std::uint64_t{0};
}

Result<void> log_in_to(int socket, IscsiInitiator& initiator, const LoginWish& wish) {
    initiator.start_login();
    while (!initiator.logged_in()) {
        if (auto done = exchange(socket, initiator); !done) return done.error();
        const std::uint16_t status = initiator.login_status().value_or(0);
        if (status != 0) {
            return failed("the login to " + wish.target_name + " is refused, status " +
                          std::to_string(status >> 8) + "/" + std::to_string(status & 0xff));
        }
    }
    return {};
}

LoginOutcome outcome_of(const IscsiInitiator& initiator, const test::InitiatorSettings& settings) {
    const auto number_or = [&](std::string_view key, std::uint32_t otherwise) {
        const std::string value = initiator.answered(key);
        return value.empty() ? otherwise : static_cast<std::uint32_t>(std::stoul(value));
    };
    const test::InitiatorNumbers numbers = initiator.numbers();
    LoginOutcome outcome;
    outcome.cmd_sn = numbers.cmd_sn;
    outcome.exp_stat_sn = numbers.exp_stat_sn;
    outcome.max_cmd_sn = numbers.max_cmd_sn;
    outcome.digests = {initiator.answered("HeaderDigest") == "CRC32C",
                       initiator.answered("DataDigest") == "CRC32C"};
    outcome.target_max_recv_data_segment_length = number_or("MaxRecvDataSegmentLength", 8192);
    outcome.first_burst_length = number_or("FirstBurstLength", settings.first_burst_length);
    outcome.initial_r2t = initiator.answered("InitialR2T") != "No";
    outcome.immediate_data = initiator.answered("ImmediateData") != "No";
    return outcome;
}

}  // namespace

Result<LoggedIn> log_in(const LoginWish& wish) {
    auto connected = connect_to(wish);
    if (!connected) return connected.error();
    LoggedIn result;
    result.socket = *connected;
    test::InitiatorSettings settings;
    settings.target_name = wish.target_name;
    settings.isid = {0x80,
                     0,
                     0,
                     static_cast<std::uint8_t>(wish.index >> 16),
                     static_cast<std::uint8_t>(wish.index >> 8),
                     static_cast<std::uint8_t>(wish.index)};
    settings.max_burst_length = 1U << 20;
    settings.first_burst_length = 262144;
    if (wish.digests) settings.header_digest = settings.data_digest = "CRC32C";
    IscsiInitiator initiator(settings);
    if (auto done = log_in_to(result.socket, initiator, wish); !done) return done.error();
    // Most targets have the disk at LUN 0; tgt keeps that for its controller.
    for (const std::uint64_t lun : {std::uint64_t{0}, std::uint64_t{1} << 48}) {
        auto size = capacity_bytes(result.socket, initiator, lun);
        if (!size) return size.error();
        if (*size == 0) continue;
        result.size_bytes = *size;
        result.lun = lun;
        result.login = outcome_of(initiator, settings);
        return result;
    }
    return failed("neither LUN 0 nor LUN 1 of " + wish.target_name + " is a disk");
}

}  // namespace cowtgt::bench
