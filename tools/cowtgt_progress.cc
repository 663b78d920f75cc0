#include "tools/cowtgt_progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "target/config/size.h"

namespace cowtgt::tools {

namespace {

constexpr std::chrono::milliseconds redraw_interval{100};
/// Before that a rate says more about the start than about the work.
constexpr std::chrono::milliseconds rate_after{500};
constexpr std::size_t bar_width = 20;  ///< columns
constexpr std::size_t columns_default = 80;

std::string clock_text(std::uint64_t seconds) {
    const auto two = [](std::uint64_t number) {
        return std::string(number < 10 ? "0" : "") + std::to_string(number);
    };
    const std::string tail = ":" + two(seconds % 60);
    if (seconds < 3600) return std::to_string(seconds / 60) + tail;
    return std::to_string(seconds / 3600) + ":" + two(seconds / 60 % 60) + tail;
}

std::string bar_of(std::uint64_t done, std::uint64_t total) {
    const auto share = static_cast<double>(done) / static_cast<double>(total);
    const std::size_t full = std::min(bar_width, static_cast<std::size_t>(share * bar_width));
    return "[" + std::string(full, '#') + std::string(bar_width - full, ' ') + "]";
}

std::size_t terminal_columns() {
    winsize size{};
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return columns_default;
    return size.ws_col;
}

}  // namespace

std::string progress_text(std::string_view what, std::uint64_t done, std::uint64_t total,
                          std::chrono::milliseconds elapsed) {
    if (total != 0) done = std::min(done, total);
    std::string text(what);
    text += "  " + config::short_size(done);
    if (total != 0) {
        text += " of " + config::short_size(total) + "  " + bar_of(done, total) + " " +
                std::to_string(static_cast<int>(100.0 * static_cast<double>(done) /
                                                static_cast<double>(total))) +
                "%";
    }
    if (elapsed < rate_after) return text;
    const double rate = static_cast<double>(done) * 1000 / static_cast<double>(elapsed.count());
    text += "  " + config::short_size(static_cast<std::uint64_t>(rate)) + "/s";
    if (total != 0 && rate >= 1) {
        const double left = static_cast<double>(total - done) / rate;
        text += "  " + clock_text(static_cast<std::uint64_t>(left + 0.5)) + " left";
    }
    return text;
}

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), is_terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
    if (is_drawn_) std::fputs("\r\033[K", stderr);
}

void ProgressLine::update(std::uint64_t done, std::uint64_t total) {
    const Clock::time_point now = Clock::now();
    if (!is_terminal_ || now - last_ < redraw_interval) return;
    last_ = now;
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
    // A line that is wider than the terminal could not be drawn over.
    const std::string text =
        progress_text(what_, done, total, elapsed).substr(0, terminal_columns() - 1);
    std::fprintf(stderr, "\r%s\033[K", text.c_str());
    std::fflush(stderr);
    is_drawn_ = true;
}

}  // namespace cowtgt::tools
