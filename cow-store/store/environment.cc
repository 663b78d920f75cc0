#include "cow-store/store/environment.h"

#include <sys/random.h>
#include <sys/statvfs.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <fstream>

#include "cow-store/base/check.h"

namespace cowtgt::store {

namespace {

std::string first_line_of(const std::string& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
}

}  // namespace

Uuid draw_uuid() {
    std::array<std::uint8_t, 16> random{};
    ssize_t got = -1;
    do {
        got = ::getrandom(random.data(), random.size(), 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got == static_cast<ssize_t>(random.size()));
    return make_random_uuid(random);
}

Uuid read_boot_id() {
    return parse_uuid(first_line_of("/proc/sys/kernel/random/boot_id")).value_or(Uuid{});
}

std::string time_now() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    std::array<char, sizeof("2026-01-01T00:00:00Z")> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text.data();
}

Result<std::uint64_t> free_bytes_of(const std::filesystem::path& path) {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) {
        return system_error("asking for the free space of " + path.string(), errno);
    }
    return std::uint64_t{status.f_bavail} * status.f_frsize;
}

std::string program_name(int pid) {
    const std::string process = pid == 0 ? "self" : std::to_string(pid);
    const std::string name = first_line_of("/proc/" + process + "/comm");
    return name.empty() ? "a process" : name;
}

}  // namespace cowtgt::store
