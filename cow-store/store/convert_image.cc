#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cow-store/file_posix.h"
#include "cow-store/store/image_input.h"

/// qemu-img as a child process: it knows the formats, we know the store.
namespace cowtgt::store {

namespace {

constexpr int poll_interval_ms = 250;
constexpr int not_executable = 127;                ///< exit status, as of a shell
constexpr std::size_t complaint_size_max = 65536;  ///< bytes of stderr that are kept

struct Pipe {
    Descriptor read_end, write_end;
};

struct Child {
    pid_t pid = -1;
    Descriptor progress;   ///< its stdout
    Descriptor complaint;  ///< its stderr
};

Result<Pipe> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_error("starting qemu-img", errno);
    return Pipe{Descriptor{ends[0]}, Descriptor{ends[1]}};
}

/// Runs in the child, between fork and exec: only calls that are safe there.
[[noreturn]] void become(char* const* arguments, pid_t parent, int out, int err) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(not_executable);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, STDIN_FILENO);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::execvp(arguments[0], arguments);
    ::_exit(not_executable);
}

Result<Child> start(std::vector<std::string> words) {
    Result<Pipe> out = make_pipe();
    if (!out) return std::move(out).error();
    Result<Pipe> err = make_pipe();
    if (!err) return std::move(err).error();
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) return system_error("starting qemu-img", errno);
    if (pid == 0) {
        become(arguments.data(), parent, out->write_end.get(), err->write_end.get());
    }
    return Child{pid, std::move(out->read_end), std::move(err->read_end)};
}

/// "    (12.50/100%)" becomes 12.5; what it cannot read, 0.
double percent_in(std::string_view text) {
    const std::size_t open = text.rfind('(');
    if (open == std::string_view::npos) return 0;
    return std::strtod(std::string(text.substr(open + 1)).c_str(), nullptr);
}

void tell_progress(const Progress& progress, std::string_view said,
                   const std::filesystem::path& destination) {
    struct stat status {};
    if (!progress || ::stat(destination.c_str(), &status) != 0) return;
    const double size = static_cast<double>(status.st_size);
    progress(static_cast<std::uint64_t>(size * percent_in(said) / 100),
             static_cast<std::uint64_t>(status.st_size));
}

/// Reads what is there; false at the end.
bool read_more(int fd, std::string& text) {
    std::array<char, 4096> piece{};
    const ssize_t n = ::read(fd, piece.data(), piece.size());
    if (n < 0) return errno == EINTR;
    if (text.size() < complaint_size_max) text.append(piece.data(), static_cast<std::size_t>(n));
    return n > 0;
}

/// Follows the child until it has closed both its outputs.
Result<std::string> listen(const Child& child, const std::filesystem::path& destination,
                           const Progress& progress,
                           const std::function<Result<void>()>& keep_going) {
    std::string complaint;
    std::array<pollfd, 2> ends{pollfd{child.progress.get(), POLLIN, 0},
                               pollfd{child.complaint.get(), POLLIN, 0}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        if (Result<void> go = keep_going(); !go) return go.error();
        if (::poll(ends.data(), ends.size(), poll_interval_ms) < 0) continue;
        if (ends[0].revents != 0) {
            std::string said;
            if (!read_more(ends[0].fd, said)) ends[0].fd = -1;
            tell_progress(progress, said, destination);
        }
        if (ends[1].revents != 0 && !read_more(ends[1].fd, complaint)) ends[1].fd = -1;
    }
    return complaint;
}

/// The last thing qemu-img said, without its own name.
std::string last_words(std::string complaint) {
    while (!complaint.empty() && complaint.back() == '\n')
        complaint.pop_back();
    const std::size_t line = complaint.rfind('\n');
    if (line != std::string::npos) complaint.erase(0, line + 1);
    constexpr std::string_view prefix = "qemu-img: ";
    if (complaint.starts_with(prefix)) complaint.erase(0, prefix.size());
    return complaint;
}

}  // namespace

Result<void> convert_image(const ImageInput& input, const std::filesystem::path& destination,
                           const Progress& progress,
                           const std::function<Result<void>()>& keep_going) {
    const std::string format(input.format);
    Result<Child> child = start({"qemu-img", "convert", "-p", "-f", format, "-O", "raw", "-S", "4k",
                                 input.path.string(), destination.string()});
    if (!child) return std::move(child).error();
    const Result<std::string> complaint = listen(*child, destination, progress, keep_going);
    if (!complaint) ::kill(child->pid, SIGKILL);
    int status = 0;
    while (::waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!complaint) return complaint.error();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    if (WIFEXITED(status) && WEXITSTATUS(status) == not_executable) {
        return Error{ErrorCode::failed, "importing " + input.name + ", a " + format +
                                            " image, needs qemu-img; install qemu-utils"};
    }
    std::string words = last_words(*complaint);
    if (words.empty()) words = "qemu-img ended without a word";
    return Error{ErrorCode::failed, input.name + " cannot be imported: " + words};
}

}  // namespace cowtgt::store
