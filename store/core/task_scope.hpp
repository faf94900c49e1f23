// SPDX-License-Identifier: MIT
// What the write transactions of one operation have in common: several operations share a Store,
// its loop and its connection. A task hands it to those that it
// awaits (store/event/task.hpp), and Store::begin_writing() goes by it.
#ifndef XLSTORE_STORE_CORE_TASK_SCOPE_HPP_
#define XLSTORE_STORE_CORE_TASK_SCOPE_HPP_

#include <string>

#include "store/database/reserve.hpp"

namespace xlstore {

struct TaskScope {
    /// What an ordinary transaction takes (R21): a recovery may take the reserve.
    Room room = Room::ordinary;
    /// What Db::written_for() says while one is open; "": nothing.
    std::string token;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_TASK_SCOPE_HPP_
