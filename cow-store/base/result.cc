#include "cow-store/base/result.h"

#include <cerrno>
#include <system_error>

namespace cowtgt {

Error system_error(std::string doing, int os_errno) {
    const bool full = os_errno == ENOSPC || os_errno == EDQUOT;
    return Error{full ? ErrorCode::no_space : ErrorCode::io,
                 std::move(doing) + ": " + std::generic_category().message(os_errno), os_errno};
}

}  // namespace cowtgt
