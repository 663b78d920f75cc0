#pragma once

#include <memory>
#include <vector>

namespace cowtgt {

/// Objects that are used over and over. Grows when it is empty and never shrinks.
/// T has a member `T* pool_next`.
template <typename T>
class Pool {
public:
    T& take() {
        if (unused_ == nullptr) {
            all_.push_back(std::make_unique<T>());
            return *all_.back();
        }
        T& taken = *unused_;
        unused_ = taken.pool_next;
        return taken;
    }
    void give_back(T& object) {
        object.pool_next = unused_;
        unused_ = &object;
    }

private:
    std::vector<std::unique_ptr<T>> all_;
    T* unused_ = nullptr;
};

}  // namespace cowtgt
