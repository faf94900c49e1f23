// SPDX-License-Identifier: MIT
#include "tests/crash/trap.hpp"

#include <sqlite3.h>

#include <cstdlib>
#include <new>
#include <stdexcept>

namespace xlstore::test {
namespace {

/// Counts calls, and says which one fails. One in a process, since operator new has no other way
/// to find it.
struct Trap {
    std::size_t fails_at = 0;  ///< this call; 0: none
    bool stays = false;        ///< and every later one
    std::size_t calls = 0;
    bool hit() const { return fails_at != 0 && calls >= fails_at; }
    bool springs()
    {
        if (fails_at == 0) return false;
        ++calls;
        return calls == fails_at || (stays && calls > fails_at);
    }
};
Trap io_trap;
SqliteCall io_call = SqliteCall::open;
Trap sqlite_memory_trap;
Trap memory_trap;

sqlite3_mem_methods sqlite_memory;

void* sqlite_allocate(int size)
{
    return sqlite_memory_trap.springs() ? nullptr : sqlite_memory.xMalloc(size);
}
void* sqlite_reallocate(void* old, int size)
{
    return sqlite_memory_trap.springs() ? nullptr : sqlite_memory.xRealloc(old, size);
}

void* allocate(std::size_t size)
{
    if (!memory_trap.springs())
        if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
    throw std::bad_alloc();
}

}  // namespace
}  // namespace xlstore::test

void* operator new(std::size_t size)
{
    return xlstore::test::allocate(size);
}
void* operator new[](std::size_t size)
{
    return xlstore::test::allocate(size);
}
void operator delete(void* memory) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory) noexcept
{
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept
{
    std::free(memory);
}

namespace xlstore::test {

std::vector<Kind> kinds()
{
    std::vector<Kind> all;
    for (int i = 0; i < kSqliteCalls; ++i)
        for (const bool stays : {false, true}) {
            const auto call = static_cast<SqliteCall>(i);
            all.push_back({std::string(name_of(call)) + (stays ? " and all later ones" : ""), false,
                           [call, stays](std::size_t number) {
                               io_call = call;
                               io_trap = {number, stays};
                           }});
        }
    for (const bool stays : {false, true})
        all.push_back({std::string("SQLite's memory") + (stays ? " for good" : ""), false,
                       [stays](std::size_t number) {
                           sqlite_memory_trap = {number, stays};
                       }});
    all.push_back({"memory", true, [](std::size_t number) { memory_trap = {number}; }});
    return all;
}

void watch_sqlite_memory()
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods watched = sqlite_memory;
    watched.xMalloc = sqlite_allocate;
    watched.xRealloc = sqlite_reallocate;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &watched) != SQLITE_OK)
        throw std::runtime_error("SQLite's memory cannot be watched");
}

void let_all_succeed()
{
    io_trap.stays = sqlite_memory_trap.stays = memory_trap.stays = false;
}

bool has_failed()
{
    return io_trap.hit() || sqlite_memory_trap.hit() || memory_trap.hit();
}

bool FailingIo::may(SqliteCall call, const std::string& /*name*/)
{
    return call != io_call || !io_trap.springs();
}

}  // namespace xlstore::test
