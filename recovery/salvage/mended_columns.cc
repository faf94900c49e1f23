// SPDX-License-Identifier: MIT
#include "recovery/salvage/mended_columns.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>

#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::int64_t kMostOf = std::int64_t{1} << 56;  // no store counts that far
constexpr std::size_t kTurned = 2;

// Its images say what an intent is: one that has no image before adds.
void mend_operation(Mending& mending, const Row& row)
{
    if (!mending.has("image_before") || !mending.has("image_after")) return;
    mending.one_of("operation", {"add", "remove", "change"},
                   row.is_null("image_before")  ? "add"
                   : row.is_null("image_after") ? "remove"
                                                : "change");
}

using MendTable = void (*)(Mending&, const Row&);

const std::map<std::string, MendTable, std::less<>>& menders()
{
    static const std::map<std::string, MendTable, std::less<>> of = {
        {"product",
         [](Mending& mending, const Row&) {
             mending.one_of("kind",
                            {"device", "anonymous", "node", "chardev", "object", "netdev", "fdset"},
                            nullptr);
             mending.one_of("image", {"", "before", "after"}, "");
             mending.flag("claimed", 1);
             mending.object_or_null("undo");
         }},
        {"initial_device",
         [](Mending& mending, const Row&) {
             mending.one_of(
                 "kind", {"device", "anonymous", "node", "chardev", "object", "netdev", "medium"},
                 nullptr);
         }},
        {"intent",
         [](Mending& mending, const Row& row) {
             mend_operation(mending, row);
             if (mending.has("replaced_state") && !row.is_null("replaced_state"))
                 mending.one_of("replaced_state", {"adding", "present", "stale"}, nullptr);
             // It is closed by what QEMU shows, and nothing is undone.
             mending.flag("older_state", 1);
         }},
        {"history",
         [](Mending& mending, const Row&) {
             mending.one_of("outcome", {"done", "not done", "begun"}, nullptr);
             mending.one_of_or_null("image", {"before", "after", "neither"});
         }},
        {"retired_document",
         [](Mending& mending, const Row&) {
             mending.one_of("layout", {"yajl", "json-c"}, "yajl");
             mending.flag("layout_tight", 0);
             mending.object_or_null("things");
         }},
        {"undo_row",
         [](Mending& mending, const Row&) {
             mending.one_of("operation", {"insert", "update", "delete"}, nullptr);
         }},
    };
    return of;
}

}  // namespace

void Mending::set(const char* column, Value value, const std::string& words)
{
    row_.set(column, std::move(value));
    mended_.push_back(std::string(column) + ": " + words);
}

void Mending::one_of(const char* column, const std::vector<std::string>& allowed,
                     const char* otherwise)
{
    if (!has(column)) return;
    const auto text = row_.text(column);
    if (std::ranges::count(allowed, text) != 0) return;
    const auto near = std::ranges::find_if(
        allowed, [&](const std::string& word) { return !word.empty() && is_nearly(text, word); });
    if (near == allowed.end() && otherwise == nullptr) return;
    const std::string taken = near != allowed.end() ? *near : otherwise;
    set(column, taken, "'" + taken + "' was taken");
}

void Mending::one_of_or_null(const char* column, const std::vector<std::string>& allowed)
{
    if (!has(column) || row_.is_null(column)) return;
    one_of(column, allowed, nullptr);
    if (std::ranges::count(allowed, row_.text(column)) == 0)
        set(column, std::monostate(), "it is not known any more");
}

void Mending::flag(const char* column, std::int64_t otherwise)
{
    if (!has(column) || (!row_.is_null(column) && row_.integer(column) >> 1 == 0)) return;
    set(column, otherwise, std::to_string(otherwise) + " was taken");
}

void Mending::counts(const char* column, std::int64_t above)
{
    if (!has(column)) return;
    const auto value = row_.integer(column);
    if (value >= 1 && value <= kMostOf) return;
    set(column, above, std::to_string(above) + " was taken, which no caller has seen");
}

void Mending::object_or_null(const char* column)
{
    if (!has(column) || row_.is_null(column)) return;
    if (is_object(row_.text(column))) return;
    set(column, std::monostate(), "it is not known any more");
}

bool is_object(const std::string& text)
{
    return text.starts_with('{') && text.ends_with('}') && json_minify(text, "its text");
}

bool is_nearly(std::string_view text, std::string_view other)
{
    return text.size() == other.size() &&
           std::transform_reduce(text.begin(), text.end(), other.begin(), std::size_t{0},
                                 std::plus<>(), std::not_equal_to<>()) <= kTurned;
}

std::vector<std::string> mend_columns(const std::string& table, Row& row)
{
    const auto mend = menders().find(table);
    if (mend == menders().end()) return {};
    Mending mending(row);
    mend->second(mending, row);
    return mending.mended();
}

}  // namespace xlstore::recovery
