#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "boot-helper/core/fleet.h"
#include "boot-helper/core/request.h"

/// The boot-helper's HTTP interface as a function: a request and the fleet in, an answer out.
/// What can be asked for is the table in documents.cc; everything only reads.
namespace cowtgt::boot {

/// An answer that is made on the spot.
struct Document {
    int status = 200;
    std::string_view content_type;
    std::string body;
};

/// An answer that is a file of the server's: the kernel or the initrd of a template.
struct BlobAnswer {
    Blob blob;
};

/// An answer that is one of the iPXE programs in the server's folders.
struct FirmwareAnswer {
    std::string name;  ///< to be looked up in a list, never joined to a path
};

using Answer = std::variant<Document, BlobAnswer, FirmwareAnswer>;

/// What a request says about the boot of a machine.
struct BootEvent {
    Sighting sighting = Sighting::script_asked;
    std::string machine;  ///< its name; empty: unknown, and only script_asked is reported
    config::MacAddress mac;
    std::string uuid;
    std::string arch;
    std::string peer;  ///< address
};

/// Told of every request that says something about a boot.
class BootEvents {
public:
    virtual ~BootEvents() = default;
    /// On the server's thread; must not wait.
    virtual void boot_event(const BootEvent& event) = 0;
};

struct Outcome {
    Answer answer;
    std::optional<BootEvent> event;  ///< for a GET
};

/// Answers a GET or HEAD of `target`. `now_ms` (since 1970) is for times in the answer.
Outcome answer_request(std::string_view target, const Fleet& fleet, const Reached& reached,
                       std::int64_t now_ms);

/// A sentence as text/plain, for every status that is no success.
Document plain_answer(int status, std::string_view sentence);

}  // namespace cowtgt::boot
