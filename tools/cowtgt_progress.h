#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cowtgt::tools {

/// What the bar says: "importing debian12  1.2G of 4G  30%  412M/s  0:07 left". With `total` 0
/// (unknown): "importing debian12  1.2G  412M/s".
std::string progress_text(std::string_view what, std::uint64_t done, std::uint64_t total,
                          std::chrono::milliseconds elapsed);

/// One line on standard error that is drawn over and over; silent when that is no terminal.
class ProgressLine {
public:
    explicit ProgressLine(std::string what);
    /// Takes the line away again.
    ~ProgressLine();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    void update(std::uint64_t done, std::uint64_t total);

private:
    using Clock = std::chrono::steady_clock;

    std::string what_;
    bool is_terminal_;
    bool is_drawn_ = false;
    Clock::time_point start_ = Clock::now();
    Clock::time_point last_;
};

}  // namespace cowtgt::tools
