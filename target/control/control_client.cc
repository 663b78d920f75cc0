#include "target/control/control_client.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "target/control/protocol.h"
#include "target/control/unix_socket.h"

namespace cowtgt::control {

Result<std::optional<ControlClient>> ControlClient::connect(const std::filesystem::path& socket) {
    auto connected = connect_unix(socket);
    if (!connected) return connected.error();
    if (!*connected) return std::optional<ControlClient>();
    return std::optional(ControlClient(std::move(**connected)));
}

Result<nlohmann::json> ControlClient::call(std::string_view command,
                                           const nlohmann::json& arguments, int descriptor,
                                           const store::Progress& progress) {
    const std::string request = encode_request(command, arguments);
    if (auto sent = send_with_descriptor(socket_.get(), request, descriptor); !sent) {
        return sent.error();
    }
    while (true) {
        auto line = read_line();
        if (!line) return line.error();
        auto answer = decode_answer(*line);
        if (!answer) return Error{ErrorCode::failed, "the daemon's answer is no answer: " + *line};
        if (auto* result = std::get_if<Result<nlohmann::json>>(&*answer)) return std::move(*result);
        const auto& step = std::get<AnswerProgress>(*answer);
        if (progress) progress(step.done, step.total);
    }
}

Result<std::string> ControlClient::read_line() {
    std::array<char, 65536> piece;  // filled by recv
    std::size_t searched = 0;
    while (true) {
        const std::size_t end = received_.find('\n', searched);
        if (end != std::string::npos) {
            std::string line = received_.substr(0, end);
            received_.erase(0, end + 1);
            return line;
        }
        searched = received_.size();
        const ssize_t count = ::recv(socket_.get(), piece.data(), piece.size(), 0);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("waiting for the daemon's answer", errno);
        if (count == 0) {
            return Error{ErrorCode::failed,
                         "the daemon ended before it answered; look at its log, then see with "
                         "cowtgt ls what was done"};
        }
        received_.append(piece.data(), static_cast<std::size_t>(count));
    }
}

}  // namespace cowtgt::control
