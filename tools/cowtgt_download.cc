#include "tools/cowtgt_download.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

namespace cowtgt::tools {

namespace {

constexpr long redirections_max = 10;
constexpr long connect_timeout_s = 30;
constexpr long silence_max_s = 60;
constexpr int wait_ms = 1000;
constexpr std::size_t ahead_max = std::size_t{1} << 20;  ///< bytes; then the server has to wait

class Download final : public store::ByteStream {
public:
    explicit Download(const std::string& url)
        : name_(without_secrets(url)),
          easy_(curl_easy_init(), curl_easy_cleanup),
          multi_(curl_multi_init(), curl_multi_cleanup) {
        CHECK(easy_ && multi_);
        set(CURLOPT_URL, url.c_str());
        set(CURLOPT_PROTOCOLS_STR, "http,https");
        set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
        set(CURLOPT_FOLLOWLOCATION, 1L);
        set(CURLOPT_MAXREDIRS, redirections_max);
        set(CURLOPT_FAILONERROR, 1L);
        set(CURLOPT_CONNECTTIMEOUT, connect_timeout_s);
        set(CURLOPT_LOW_SPEED_LIMIT, 1L);
        set(CURLOPT_LOW_SPEED_TIME, silence_max_s);
        set(CURLOPT_NOSIGNAL, 1L);
        set(CURLOPT_USERAGENT, "cowtgt");
        set(CURLOPT_ERRORBUFFER, complaint_.data());
        set(CURLOPT_WRITEFUNCTION, &Download::take);
        set(CURLOPT_WRITEDATA, this);
        CHECK(curl_multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK);
    }
    ~Download() override { curl_multi_remove_handle(multi_.get(), easy_.get()); }
    Download(const Download&) = delete;
    Download& operator=(const Download&) = delete;

    Result<std::size_t> read(MutableBytes into) override {
        while (ahead_.size() == handed_out_ && !is_done_) {
            if (Result<void> moved = move_on(); !moved) return std::move(moved).error();
        }
        const std::size_t count = std::min(into.size(), ahead_.size() - handed_out_);
        std::memcpy(into.data(), ahead_.data() + handed_out_, count);
        handed_out_ += count;
        position_ += count;
        return count;
    }
    std::uint64_t position() const override { return position_; }
    std::uint64_t size() const override {
        curl_off_t length = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        return length > 0 ? static_cast<std::uint64_t>(length) : 0;
    }

private:
    template <typename Value>
    void set(CURLoption option, Value value) {
        CHECK(curl_easy_setopt(easy_.get(), option, value) == CURLE_OK);
    }

    /// Called by curl with what has arrived.
    static std::size_t take(char* data, std::size_t size, std::size_t count, void* context) {
        auto& self = *static_cast<Download*>(context);
        if (self.ahead_.size() - self.handed_out_ >= ahead_max) {
            self.is_paused_ = true;
            return CURL_WRITEFUNC_PAUSE;
        }
        const Bytes bytes = bytes_of({data, size * count});
        self.ahead_.insert(self.ahead_.end(), bytes.begin(), bytes.end());
        return bytes.size();
    }

    /// Waits until something arrives, the download ends or time is up.
    Result<void> move_on() {
        ahead_.clear();
        handed_out_ = 0;
        if (std::exchange(is_paused_, false)) curl_easy_pause(easy_.get(), CURLPAUSE_CONT);
        int running = 0;
        CURLMcode code = curl_multi_perform(multi_.get(), &running);
        if (code == CURLM_OK && running > 0 && ahead_.empty()) {
            code = curl_multi_poll(multi_.get(), nullptr, 0, wait_ms, nullptr);
        }
        if (code != CURLM_OK) return failed(curl_multi_strerror(code));
        int left = 0;
        const CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
        if (message == nullptr || message->msg != CURLMSG_DONE) return {};
        is_done_ = true;
        if (message->data.result == CURLE_OK) return {};
        return failed(reason_of(message->data.result));
    }

    std::string reason_of(CURLcode code) const {
        long status = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
        switch (code) {
            case CURLE_HTTP_RETURNED_ERROR:
                return "the server answers " + std::to_string(status);
            case CURLE_TOO_MANY_REDIRECTS:
                return "it is redirected more than " + std::to_string(redirections_max) + " times";
            case CURLE_PARTIAL_FILE:
                return "the connection ended before all of it had come";
            case CURLE_OPERATION_TIMEDOUT:
                return "the server was silent for too long";
            default:
                break;
        }
        return complaint_[0] != '\0' ? complaint_.data() : curl_easy_strerror(code);
    }

    Error failed(const std::string& why) const {
        return {ErrorCode::failed, name_ + " cannot be imported: " + why};
    }

    std::string name_;
    std::unique_ptr<CURL, void (*)(CURL*)> easy_;
    std::unique_ptr<CURLM, CURLMcode (*)(CURLM*)> multi_;
    std::array<char, CURL_ERROR_SIZE> complaint_{};
    std::vector<std::byte> ahead_;
    std::size_t handed_out_ = 0;  ///< bytes of `ahead_`
    bool is_paused_ = false;
    bool is_done_ = false;
    std::uint64_t position_ = 0;
};

}  // namespace

bool is_url(std::string_view text) {
    return text.starts_with("http://") || text.starts_with("https://");
}

std::string without_secrets(const std::string& url) {
    const std::size_t host = url.find("://") + 3;
    const std::size_t end = std::min(url.find_first_of("/?#", host), url.size());
    const std::size_t at = url.rfind('@', end);
    if (at == std::string::npos || at < host) return url;
    return url.substr(0, host) + url.substr(at + 1);
}

std::shared_ptr<store::ByteStream> open_url(const std::string& url) {
    return std::make_shared<Download>(url);
}

}  // namespace cowtgt::tools
